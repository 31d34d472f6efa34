"""The table that series come from: its columns by name, with the place of every value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.series import SeriesData
from tuner.data.categories import category_names
from tuner.data.scaling import Array
from tuner.data.sources import table_files
from tuner.data.sources.paths import resolve_existing
from tuner.data.sources.table_files import Dialect
from tuner.data.splits import Indices
from tuner.data.tables import series_values
from tuner.errors import DataError, NotFoundError

PARQUET = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTable:
    """A file that has been read."""

    path: Path
    frame: Any
    lines: Indices | None
    """The line in which each row begins; None where the file has no lines."""

    def place(self, row: int, column: str = "") -> str:
        where = f"{self.path}: row {row}" if self.lines is None else f"{self.path}:{self.lines[row]}"
        return f"{where}: column {column!r}" if column else where

    def numbers_or_names(self, name: str) -> Array:
        """A column as float64 with nan for missing, or as category names with None; DataError for infinite values."""
        values = series_values(self.frame[name])
        if values.dtype != np.float64:
            return category_names(values)
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise DataError(f"{self.place(int(infinite[0]), name)}: infinite; give a finite number, or leave it empty")
        return values

    def keys(self, name: str) -> Array:
        """The same where values tell rows apart: whole numbers stay whole."""
        exact = series_values(self.frame[name], exact=True)
        return exact if exact.dtype.kind in "iu" else self.numbers_or_names(name)

    def numbers(self, name: str) -> Array:
        """A column as float64 with nan for missing; DataError names the first value that is none."""
        values = self.numbers_or_names(name)
        if values.dtype == np.float64:
            return values
        row = next((row for row, text in enumerate(values) if text is not None and not _is_number(text)), 0)
        raise DataError(f"{self.place(row, name)}: {values[row]!r} is not a number; correct it, or leave it empty")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def files(data: SeriesData, base_dir: Path) -> tuple[Path, ...]:
    path = resolve_existing(data.path, base_dir)
    if path is None or not path.is_file():
        raise NotFoundError(f"data.path {data.path}: no such file; looked in {base_dir} and {Path.cwd()}")
    return (path,)


def read_table(data: SeriesData, base_dir: Path) -> SeriesTable:
    """Read the file, and refuse names that it does not have."""
    path = files(data, base_dir)[0]
    table = _read(path, data.delimiter)
    columns = [str(name) for name in table.frame.columns]
    asked = [
        ("time", data.time),
        ("group", data.group),
        ("split.column", data.split.column),
        *(("target", name) for name in data.targets),
    ]
    asked += [("inputs", name) for name in data.inputs] + [("drop", name) for name in data.drop]
    for key, name in asked:
        if name is not None and name not in columns:
            raise DataError(f"{path}: data.{key}: no column {name!r}{suggestion(name, columns)}")
    return table


def _read(path: Path, delimiter: str) -> SeriesTable:
    is_parquet = path.suffix == PARQUET
    file = table_files.read_parquet(path) if is_parquet else table_files.read_csv(path, Dialect(delimiter=delimiter))
    return SeriesTable(path=path, frame=file.frame, lines=file.lines)


def input_names(data: SeriesData, table: SeriesTable, *, without: Sequence[str]) -> tuple[str, ...]:
    """The columns that the model sees."""
    left_out = {data.time, data.group, *data.drop, *without, None if data.split.keep else data.split.column}
    names = data.inputs or tuple(str(name) for name in table.frame.columns if name not in left_out)
    if not names:
        raise DataError(f"{table.path}: no column is left for the model to see; name some in data.inputs")
    clash = [name for name in names if name in left_out]
    if clash:
        raise DataError(
            f"data.inputs: {clash[0]!r} is also the time, the group, a target, or dropped; take it out there"
        )
    return names


def codes_of(values: Array) -> tuple[Indices, list[str]]:
    """Each value's number, in the order in which the values first come, and the values."""
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), dtype=np.int64)
    return codes, list(numbers)


def series_codes(table: SeriesTable, group: str | None) -> tuple[Indices, list[str]]:
    """Which series each row belongs to; DataError where a row does not say."""
    if group is None:
        return np.zeros(len(table.frame), dtype=np.int64), [""]
    names = category_names(series_values(table.frame[group], exact=True))
    unnamed = [row for row, name in enumerate(names) if name is None]
    if unnamed:
        raise DataError(f"{table.place(unnamed[0], group)}: missing; it says which series the row belongs to")
    return codes_of(names)


def filled(values: Array, series: Indices) -> Array:
    """Missing values of sorted rows as the last known one of their series; those before the first stay missing."""
    is_known = ~np.isnan(values) if values.dtype == np.float64 else np.array([value is not None for value in values])
    rows = np.arange(len(values))
    last = np.maximum.accumulate(np.where(is_known, rows, -1))
    usable = (last >= 0) & (series[last] == series)
    return values[np.where(usable, last, rows)]


def first_missing(values: Array) -> int | None:
    missing = np.isnan(values) if values.dtype == np.float64 else np.array([value is None for value in values])
    rows = np.flatnonzero(missing)
    return int(rows[0]) if len(rows) else None
