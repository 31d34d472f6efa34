"""CSV files: read by pandas, after a scan that finds each row's line and refuses what pandas would repair silently."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.config.messages import suggestion
from tuner.config.schema import CsvData
from tuner.data.decoded import Decoded, Request, TableRows, Task, WantedTask
from tuner.data.scaling import Array
from tuner.data.sources.paths import resolve_existing
from tuner.data.tables import category_names, series_values
from tuner.errors import DataError, NotFoundError

MAX_CLASSES_OF_AN_INTEGER = 20
"""More distinct integers than that are taken for quantities, unless the metric or `task` says otherwise."""
NUMERIC_SHARE = 0.9
"""A text column of which at least this share are numbers is taken for a numeric one with errors."""
N_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A file that has been scanned: every row has as many fields as the header."""

    path: Path
    header: tuple[str, ...]
    lines: npt.NDArray[np.int64]
    """The line in which each row begins, counted from 1."""

    def place(self, row: int, column: str) -> str:
        return f"{self.path}:{self.lines[row]}: column {column!r}"


def files(data: CsvData, base_dir: Path) -> tuple[Path, ...]:
    path = resolve_existing(data.path, base_dir)
    if path is None or not path.is_file():
        raise NotFoundError(f"data.path {data.path}: no such file; looked in {base_dir} and {Path.cwd()}")
    return (path,)


def read(data: CsvData, request: Request) -> Decoded:
    file = _scan(files(data, request.base_dir)[0], data.delimiter)
    _check_names(file, data)
    frame = _parse(file, data.delimiter)
    names = [name for name in file.header if name != data.target and name not in data.drop]
    columns = {name: _feature(file, frame, name, categorical=name in data.categorical) for name in names}
    task, labels, targets = targets_of(file, series_values(frame[data.target]), data.target, request.task)
    return Decoded(
        task=task,
        labels=labels,
        rows=TableRows(columns=columns, max_categories=data.max_categories),
        targets=targets,
        row_name=lambda row: file.place(row, data.target),
    )


# ----------------------------------------------------------------------------------------------------------- the file


def _scan(path: Path, delimiter: str) -> CsvFile:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            header, lines = _rows_of(path, reader)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{_undecodable_line(path)}: not UTF-8 ({error.reason}); save the file as UTF-8"
            ) from error
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}") from error
    if not header:
        raise DataError(f"{path}: the file is empty; expected a line of column names, then rows")
    if not lines:
        raise DataError(f"{path}: no rows below the line of column names")
    return CsvFile(path=path, header=header, lines=np.array(lines))


def _rows_of(path: Path, reader: Any) -> tuple[tuple[str, ...], list[int]]:
    header: tuple[str, ...] = ()
    lines: list[int] = []
    begins = 1
    for fields in reader:
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            begins = reader.line_num + 1
            continue  # pandas leaves blank lines out
        if not header:
            header = tuple(fields)
        else:
            if len(fields) != len(header):
                raise DataError(
                    f"{path}:{begins}: {len(fields)} fields; expected {len(header)}, as the header has;"
                    " quote text that holds the delimiter, or set data.delimiter"
                )
            lines.append(begins)
        begins = reader.line_num + 1
    return header, lines


def _undecodable_line(path: Path) -> int:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return 0


def _check_names(file: CsvFile, data: CsvData) -> None:
    header = file.header
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise DataError(f"{file.path}:1: column {repeated[0]!r} is there {header.count(repeated[0])} times; rename one")
    asked = [
        ("target", data.target),
        *(("drop", n) for n in data.drop),
        *(("categorical", n) for n in data.categorical),
    ]
    for key, name in asked:
        if name not in header:
            raise DataError(f"{file.path}: data.{key}: no column {name!r}{suggestion(name, header)}")
    if data.target in (*data.drop, *data.categorical):
        raise DataError(
            f"data.target {data.target!r} is also listed in data.drop or data.categorical; take it out there"
        )
    if not set(header) - {data.target, *data.drop}:
        raise DataError(f"{file.path}: no column is left besides the target {data.target!r}")


def _parse(file: CsvFile, delimiter: str) -> Any:
    import pandas as pd

    try:
        # The types are pandas' own guess, so that a DataFrame that a user reads gives the same bits in prediction.
        frame = pd.read_csv(file.path, sep=delimiter, index_col=False, low_memory=False, encoding="utf-8-sig")
    except pd.errors.ParserError as error:
        raise DataError(f"{file.path}: {str(error).strip()}") from error
    if len(frame) != len(file.lines):
        raise DataError(
            f"{file.path}: pandas reads {len(frame)} rows, the csv module {len(file.lines)}; check the quotes"
        )
    frame.columns = list(file.header)  # pandas calls a column without a name "Unnamed: 0"
    return frame


# -------------------------------------------------------------------------------------------------------- the columns


def _feature(file: CsvFile, frame: Any, name: str, *, categorical: bool) -> Array:
    """A column as numbers (float64) or category names (object)."""
    values = series_values(frame[name])
    if values.dtype == np.float64:
        _refuse_infinite(file, name, values)
        return category_names(values) if categorical else values
    if not categorical:
        _refuse_nearly_numeric(file, name, values)
    return category_names(values)


def _refuse_infinite(file: CsvFile, name: str, values: Array) -> None:
    wrong = np.flatnonzero(np.isinf(values))
    if len(wrong):
        raise DataError(
            f"{file.place(int(wrong[0]), name)}: infinite ({len(wrong)} of {len(values)} values); give a finite number,"
            " leave the field empty (missing), or drop the column with data.drop"
        )


def _refuse_nearly_numeric(file: CsvFile, name: str, values: Array) -> None:
    """Text among numbers is a typing error or a mark for "missing": as categories the column would lose its meaning."""
    texts = [(row, value) for row, value in enumerate(values) if isinstance(value, str)]
    wrong = [(row, text) for row, text in texts if not _is_number(text)]
    if texts and 0 < len(wrong) <= (1 - NUMERIC_SHARE) * len(texts):
        row, text = wrong[0]
        raise DataError(
            f"{file.place(row, name)}: {text!r} is not a number, but {len(texts) - len(wrong)} of {len(texts)} values"
            f" are; correct it, leave it empty (missing), or list {name!r} in data.categorical"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --------------------------------------------------------------------------------------------------------- the target


def targets_of(file: CsvFile, values: Array, name: str, wanted: WantedTask) -> tuple[Task, tuple[str, ...], Array]:
    """Task, labels and checked targets from a column: float64 with nan, or objects with None for missing."""
    _refuse_missing(file, name, values)
    numeric = values.dtype == np.float64
    if numeric:
        _refuse_infinite(file, name, values)
    whole = numeric and bool((values == np.floor(values)).all())
    distinct: Sequence[Any] = np.unique(values).tolist() if numeric else ()
    if wanted == "auto":
        few = whole and len(distinct) <= MAX_CLASSES_OF_AN_INTEGER
        wanted = "classification" if few or not numeric else "regression"
    if wanted == "regression":
        return "regression", (), _quantities(file, name, values)
    if numeric and not whole and len(distinct) > MAX_CLASSES_OF_AN_INTEGER:
        raise DataError(
            f"{file.path}: column {name!r}: {len(distinct)} distinct numbers with fractions cannot be classes; for a"
            " quantity take data.task: regression and a metric such as rmse"
        )
    names = category_names(values)
    labels = tuple(category_names(np.array(distinct))) if numeric else tuple(sorted(set(names)))
    code_of = {label: code for code, label in enumerate(labels)}
    return "classification", labels, np.array([code_of[text] for text in names], dtype=np.int64)


def _quantities(file: CsvFile, name: str, values: Array) -> Array:
    if values.dtype != np.float64:
        row = next((row for row, value in enumerate(values) if not _is_number(str(value))), 0)
        raise DataError(
            f"{file.place(row, name)}: {values[row]!r} is not a number; for classes take data.task: classification"
            " and a metric such as accuracy"
        )
    with np.errstate(over="ignore"):
        targets = values.astype(np.float32).reshape(-1, 1)
    if not np.isfinite(targets).all():
        row = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise DataError(f"{file.place(row, name)}: {values[row]} is outside float32's range; scale the column")
    return targets


def _refuse_missing(file: CsvFile, name: str, values: Array) -> None:
    missing = list(_missing_rows(values))
    if missing:
        lines = ", ".join(str(file.lines[row]) for row in missing[:N_SHOWN]) + (
            ", ..." if len(missing) > N_SHOWN else ""
        )
        raise DataError(
            f"{file.place(missing[0], name)}: the target is missing in {len(missing)} of {len(values)} rows"
            f" (lines {lines}); remove these rows, or fill the value in"
        )


def _missing_rows(values: Array) -> Iterator[int]:
    missing = np.isnan(values) if values.dtype == np.float64 else np.array([value is None for value in values])
    return (int(row) for row in np.flatnonzero(missing))
