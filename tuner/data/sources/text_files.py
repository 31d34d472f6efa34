"""Files with columns of text, read as they are: pandas would take a sentence such as "null" for a missing value."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.text import TextData
from tuner.data.scaling import Array
from tuner.data.sources.table_files import CsvFile
from tuner.data.tables import LARGEST_EXACT, series_values
from tuner.errors import DataError, MissingError

WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
MAX_FIELD = 2**31 - 1
"""Characters of a field; the csv module stops at 131 072."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """Some columns of a file, and where each row is."""

    file: CsvFile
    columns: dict[str, Array]
    """Texts (object, None where missing), or numbers (float64, nan where missing)."""

    def column(self, name: str) -> Array:
        return self.columns[name]


def read(path: Path, data: TextData, *, columns: tuple[str, ...]) -> TextTable:
    """The columns of texts and of targets; DataError when the file has none, or cannot be read."""
    table = READERS.get(path.suffix.lower(), _read_csv)(path, data, columns)
    if not len(table.column(columns[0])):
        raise DataError(f"{path}: no rows; expected one a text")
    return table


def decoded(path: Path, encoding: str) -> str:
    """The content of a file as text; DataError names the byte that is none."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError):  # encodings of names, such as punycode
            raise DataError(
                f"{path}: is not {encoding} ({error}); save the file as UTF-8, or set data.encoding"
            ) from error
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte {error.start} (0x{content[error.start]:02x}) is not {encoding} ({error.reason}); save"
            " the file as UTF-8, or set data.encoding (latin-1, cp1252 ...)"
        ) from error
    return text


def _check_columns(path: Path, present: Sequence[str], columns: tuple[str, ...]) -> None:
    for number, name in enumerate(columns):
        if name not in present:
            key = "target" if number else "text"
            raise DataError(f"{path}: data.{key}: no column {name!r}{suggestion(name, present)}")
    if columns[0] in columns[1:]:
        raise DataError(f"{path}: data.text and data.target are the same column {columns[0]!r}; name another one")


# ----------------------------------------------------------------------------------------------------------------- csv


def _read_csv(path: Path, data: TextData, columns: tuple[str, ...]) -> TextTable:
    delimiter = data.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
    text = decoded(path, data.encoding)
    limit = csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = list(_rows(path, reader))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise DataError(f"{path}: the file is empty; expected a line of column names, then rows")
    header = rows[0][1]
    _check_columns(path, header, columns)
    fields = {name: [row[header.index(name)] for _, row in rows[1:]] for name in columns}
    typed = {columns[0]: _objects(fields[columns[0]]), **{name: _typed(fields[name]) for name in columns[1:]}}
    return _table(path, header, [line for line, _ in rows[1:]], typed)


def _table(path: Path, header: Sequence[str], lines: Sequence[int], columns: dict[str, Array]) -> TextTable:
    return TextTable(file=CsvFile(path=path, header=tuple(header), lines=np.array(lines)), columns=columns)


def _rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row and the line in which it begins, the header first; blank lines are left out."""
    n_fields, begins = 0, 1
    for fields in reader:
        if fields and any(field.strip() for field in fields):
            n_fields = n_fields or len(fields)
            if len(fields) != n_fields:
                raise DataError(
                    f"{path}:{begins}: {len(fields)} fields; expected {n_fields}, as the header has; quote text that"
                    " holds the delimiter, or set data.delimiter"
                )
            yield begins, fields
        begins = reader.line_num + 1


def _typed(fields: Sequence[str]) -> Array:
    """Numbers where all that is there are numbers, else texts."""
    try:
        numbers = np.array([float(field) if field.strip() else np.nan for field in fields], dtype=np.float64)
    except ValueError:
        return _objects([field if field.strip() else None for field in fields])
    is_whole = _merges(numbers) and all(WHOLE.fullmatch(field) for field in fields)
    return _whole([int(field) for field in fields]) if is_whole else numbers


def _merges(numbers: Array) -> bool:
    """Whether there may be whole numbers of which float64 makes one of several."""
    return bool((np.abs(numbers) > LARGEST_EXACT).any())


def _whole(numbers: Sequence[int]) -> Array:
    """Whole numbers as they are; beyond 64 bits as texts."""
    try:
        return np.array(numbers, dtype=np.int64 if min(numbers) < 0 else np.uint64)
    except OverflowError:
        return _objects([str(number) for number in numbers])


def _objects(values: Sequence[object]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


# -------------------------------------------------------------------------------------------------------- other formats


def _read_jsonl(path: Path, data: TextData, columns: tuple[str, ...]) -> TextTable:
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(decoded(path, data.encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: no JSON ({error}); expected an object in each line") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: {type(row).__name__}; expected an object such as {{'text': ...}}")
        _check_columns(Path(f"{path}:{number}"), list(row), columns)
        rows.append((number, row))
    texts, *targets = ([row[name] for _, row in rows] for name in columns)
    typed = {columns[0]: _objects(texts)}
    for name, values in zip(columns[1:], targets, strict=True):
        typed[name] = _typed_json(values)
    return _table(path, columns, [number for number, _ in rows], typed)


def _typed_json(values: Sequence[Any]) -> Array:
    if not all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
        return _objects(values)
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    is_whole = _merges(numbers) and all(isinstance(value, int) for value in values)
    return _whole(values) if is_whole else numbers


def _read_parquet(path: Path, data: TextData, columns: tuple[str, ...]) -> TextTable:  # noqa: ARG001 - as all readers
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingError(f"{path}: reading parquet takes pyarrow; pip install 'tuner[parquet]'") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no parquet file ({str(error).strip()})") from error
    _check_columns(path, [str(name) for name in frame.columns], columns)
    rows = range(1, len(frame) + 1)
    return _table(path, columns, rows, {name: series_values(frame[name], exact=True) for name in columns})


READERS: dict[str, Callable[[Path, TextData, tuple[str, ...]], TextTable]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
"""By suffix; other files are read as csv."""
