"""Tables, from csv and parquet files: what each column is, which rows have a part of their own, and the targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema import CsvData, Split
from tuner.config.schema.tables import TableData
from tuner.data.categories import category_names
from tuner.data.dates import parse_date
from tuner.data.decoded import Decoded, Request, TableRows
from tuner.data.missing import is_missing, without_marks
from tuner.data.scaling import Array
from tuner.data.sources.table_files import NA_TEXTS, Dialect, TableFile, find, read_csv, read_parquet
from tuner.data.sources.table_targets import read_targets
from tuner.data.splits import PARTS, Indices
from tuner.data.tables import LARGEST_EXACT, TableFit, series_values
from tuner.errors import DataError

NUMERIC_SHARE = 0.9
"""A text column of which at least this share are numbers, or dates, is taken for one of those with errors."""
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?\Z")
PART_NAMES = {
    **{name: name for name in PARTS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One or several files of the same columns, one below the other."""

    data: TableData
    files: dict[str, TableFile]
    """By part; `train` is the file that is split."""
    frame: Any

    def place(self, row: int, column: str) -> str:
        for file in self.files.values():
            if row < len(file.frame):
                return file.place(row, column)
            row -= len(file.frame)
        raise AssertionError(f"no row {row}")

    @property
    def path(self) -> Path:
        return self.files["train"].path

    @property
    def given(self) -> dict[str, Indices]:
        """Rows of the files that are a part by themselves."""
        given, begins = {}, 0
        for part, file in self.files.items():
            if part != "train":
                given[part] = np.arange(begins, begins + len(file.frame))
            begins += len(file.frame)
        return given

    def numbers_or_names(self, name: str) -> Array:
        """A column as numbers (float64), dates (datetime64) or category names (object)."""
        values = series_values(self.frame[name])
        if values.dtype == np.float64:
            self._refuse_infinite(name, values)
            return category_names(self._exact(name)) if name in self.data.categorical else values
        if values.dtype.kind == "M":
            return values
        if name in self.data.categorical:
            return category_names(values)
        if name in self.data.dates:
            return self._dates(name, values, self.data.date_format)
        return self._text(name, values)

    def keys(self, name: str) -> Array:
        """The same where values tell rows apart: whole numbers stay whole."""
        exact = self._exact(name)
        return exact if exact.dtype.kind in "iu" else self.numbers_or_names(name)

    def _exact(self, name: str) -> Array:
        """Values that are names; DataError where pandas has made one of several whole numbers."""
        values = series_values(self.frame[name], exact=True)
        merged = np.flatnonzero(np.abs(values) > LARGEST_EXACT) if values.dtype == np.float64 else np.arange(0)
        if len(merged):
            raise DataError(
                f"{self.place(int(merged[0]), name)}: {values[merged[0]]:.0f}: whole numbers above 2**53 merge in a"
                " column that also has empty fields or fractions; fill these in, or write the numbers as text, with a"
                " letter in front"
            )
        return values

    def _text(self, name: str, values: Array) -> Array:
        known = [(row, value) for row, value in enumerate(values) if not is_missing(value)]
        if known and all(isinstance(value, Decimal) for _, value in known):
            return np.array([np.nan if value is None else float(value) for value in values])
        if known and all(isinstance(value, date) for _, value in known):
            return self._dates(name, values, "")
        nested = next(((row, value) for row, value in known if isinstance(value, (list, dict, np.ndarray))), None)
        if nested:
            raise DataError(
                f"{self.place(nested[0], name)}: a {type(nested[1]).__name__}; expected one value a field: drop the"
                " column with data.drop, or take it apart"
            )
        texts = [(row, value) for row, value in known if isinstance(value, str)]
        if texts and not (wrong := [row for row, text in texts if not ISO_DATE.match(text)]):
            return self._dates(name, values, "")
        if texts and len(wrong) <= (1 - NUMERIC_SHARE) * len(texts):
            self._refuse(name, values, wrong[0], "date", len(texts) - len(wrong), len(texts))
        wrong = [row for row, text in texts if not is_number(text)]
        if texts and 0 < len(wrong) <= (1 - NUMERIC_SHARE) * len(texts):
            self._refuse(name, values, wrong[0], "number", len(texts) - len(wrong), len(texts))
        return category_names(values)

    def _refuse(self, name: str, values: Array, row: int, what: str, n_right: int, n_texts: int) -> None:
        """Text among numbers is a typing error or a mark for "missing": as categories they would lose their meaning."""
        raise DataError(
            f"{self.place(row, name)}: {values[row]!r} is not a {what}, but {n_right} of {n_texts} values are;"
            f" correct it, leave it empty (missing), or list {name!r} in data.categorical, or"
            f" {values[row]!r} in data.missing_values"
        )

    def _dates(self, name: str, values: Array, date_format: str) -> Array:
        dates = np.empty(len(values), dtype="datetime64[us]")
        for row, value in enumerate(values):
            try:
                dates[row] = parse_date(value, date_format)
            except ValueError as error:
                remedy = "" if date_format else ", or set data.dates and data.date_format, such as '%d.%m.%Y'"
                raise DataError(f"{self.place(row, name)}: {error}; correct it{remedy}") from error
        return dates

    def _refuse_infinite(self, name: str, values: Array) -> None:
        wrong = np.flatnonzero(np.isinf(values))
        if len(wrong):
            raise DataError(
                f"{self.place(int(wrong[0]), name)}: infinite ({len(wrong)} of {len(values)} values); give a finite"
                " number, leave the field empty (missing), or drop the column with data.drop"
            )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ----------------------------------------------------------------------------------------------------------- the source


def files(data: TableData, base_dir: Path) -> tuple[Path, ...]:
    return tuple(_paths(data, base_dir).values())


def _paths(data: TableData, base_dir: Path) -> dict[str, Path]:
    named = {"train": ("path", data.path), "val": ("val_path", data.val_path), "test": ("test_path", data.test_path)}
    return {part: find(path, base_dir, option) for part, (option, path) in named.items() if path is not None}


def read(data: TableData, request: Request) -> Decoded:
    table = _read_files(data, request.base_dir)
    _check_names(table)
    columns = {name: table.numbers_or_names(name) for name in _inputs(table)}
    targets = read_targets(table, request)
    given, keys = _parts_of_rows(table)
    return Decoded(
        task=targets.task,
        labels=targets.labels,
        rows=TableRows(columns=columns, how=_how(data)),
        targets=targets.values,
        given=given,
        keys=keys,
        row_name=lambda row: table.place(row, targets.column),
    )


def _how(data: TableData) -> TableFit:
    return TableFit(
        scale=data.scale,
        n_bins=data.n_bins,
        embeds=data.categories == "embedding",
        max_categories=data.max_categories,
        min_count=data.min_count,
        date_format=data.date_format,
        dates=data.dates,
        missing=(*data.missing_values, *NA_TEXTS) if isinstance(data, CsvData) else data.missing_values,
    )


def _read_files(data: TableData, base_dir: Path) -> Table:
    import pandas as pd

    found = {part: _read_file(data, path) for part, path in _paths(data, base_dir).items()}
    first, *others = found.values()
    for other in others:
        _refuse_other_columns(first, other)
    frames = [file.frame[list(first.header)] for file in found.values()]
    frame = pd.concat(frames, ignore_index=True) if others else first.frame
    return Table(data=data, files=found, frame=frame)


def _read_file(data: TableData, path: Path) -> TableFile:
    if not isinstance(data, CsvData):
        file = read_parquet(path)
        return replace(file, frame=_without_marks(file.frame, data.missing_values))
    dialect = Dialect(
        delimiter=data.delimiter, decimal=data.decimal, encoding=data.encoding, missing=data.missing_values
    )
    return read_csv(path, dialect)


def _without_marks(frame: Any, marks: tuple[str, ...]) -> Any:
    """The columns of a frame, missing where the marks say so, as they are in prediction."""
    columns = {}
    for name in frame.columns:
        values = without_marks(series_values(frame[name]), marks)
        missing = [is_missing(value) for value in values] if marks else []
        if any(missing):
            whole = frame[name].dtype.kind in "iu"
            columns[name] = (frame[name].astype("Int64") if whole else frame[name]).mask(missing)
    return frame.assign(**columns)


def _refuse_other_columns(first: TableFile, other: TableFile) -> None:
    for name in first.header:
        if name not in other.header:
            raise DataError(f"{other.path}: no column {name!r}, which {first.path} has{suggestion(name, other.header)}")
        if any(file.frame[name].isna().all() for file in (first, other)):
            continue
        is_number = [series_values(file.frame[name]).dtype == np.float64 for file in (first, other)]
        if is_number[0] != is_number[1]:
            words = ["numbers" if yes else "text" for yes in is_number]
            raise DataError(f"{other.path}: column {name!r}: {words[1]}, but {words[0]} in {first.path}; correct one")


def _check_names(table: Table) -> None:
    data, header = table.data, table.files["train"].header
    asked = [*(("target", n) for n in data.targets)]
    for key in ("drop", "categorical", "dates"):
        asked += [(key, name) for name in getattr(data, key)]
    if data.split.column is not None:
        asked.append(("split.column", data.split.column))
    for key, name in asked:
        if name not in header:
            raise DataError(f"{table.path}: data.{key}: no column {name!r}{suggestion(name, header)}")
    for name in data.targets:
        if name in (*data.drop, *data.categorical, *data.dates):
            raise DataError(
                f"data.target {name!r} is also listed in data.drop, data.categorical or data.dates; take it out there"
            )
        if name == data.split.column:
            raise DataError(f"data.target {name!r} is also data.split.column; split by another column")
    if not _inputs(table):
        raise DataError(f"{table.path}: no column is left besides the target {', '.join(map(repr, data.targets))}")


def _inputs(table: Table) -> list[str]:
    """The columns that the model sees."""
    data = table.data
    left_out = {*data.targets, *data.drop}
    if data.split.column is not None and not data.split.keep:
        left_out.add(data.split.column)
    return [name for name in table.files["train"].header if name not in left_out]


# ------------------------------------------------------------------------------------------------------- parts of rows


def _parts_of_rows(table: Table) -> tuple[dict[str, Indices], Indices | None]:
    """Rows with a part of their own, and what the others are split by: group codes, or ranks in time."""
    split, given = table.data.split, table.given
    if split.column is None:
        return given, None
    return parts_by_column(split, table.keys(split.column), given, table.place)


def parts_by_column(
    split: Split, values: Array, given: dict[str, Indices], place: Callable[[int, str], str]
) -> tuple[dict[str, Indices], Indices | None]:
    """The same of the values of the column to split by; `place` tells a row and column in messages."""
    name = str(split.column)
    _refuse_missing_key(name, values, place)
    if split.by == "column":
        return given | _named_parts(name, category_names(values), given, place), None
    if split.by == "time" and values.dtype == object:
        raise DataError(
            f"{place(0, name)}: {values[0]!r} is no time; expected numbers or dates such as 2026-01-31"
            " (for others data.dates and data.date_format)"
        )
    return given, np.unique(values, return_inverse=True)[1].astype(np.int64)


def _refuse_missing_key(name: str, values: Array, place: Callable[[int, str], str]) -> None:
    missing = missing_rows(values)
    if len(missing):
        raise DataError(
            f"{place(int(missing[0]), name)}: missing in {len(missing)} of {len(values)} rows; data.split.column"
            " must say of every row where it belongs: fill it in, or remove the row"
        )


def _named_parts(
    name: str, values: Array, given: dict[str, Indices], place: Callable[[int, str], str]
) -> dict[str, Indices]:
    if given:
        raise DataError("data.split.by: column, and files for parts of their own; leave val_path and test_path out")
    for row, value in enumerate(values):
        if value.lower() not in PART_NAMES:
            raise DataError(f"{place(row, name)}: {value!r}; expected train, val or test")
    parts = np.array([PART_NAMES[value.lower()] for value in values])
    found = {part: np.flatnonzero(parts == part) for part in PARTS[1:]}
    return {part: rows for part, rows in found.items() if len(rows)}


def missing_rows(values: Array) -> Indices:
    if values.dtype.kind == "M":
        return np.flatnonzero(np.isnat(values))
    missing: Iterable[bool] = np.isnan(values) if values.dtype == np.float64 else [is_missing(v) for v in values]
    return np.flatnonzero(np.array(missing))
