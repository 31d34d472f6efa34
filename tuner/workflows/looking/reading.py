"""A table as a search will read it, with what has to be known for that: how the file is written."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tuner.data.sources.table_files import Dialect, beginning, read_csv, read_parquet
from tuner.errors import UsageError
from tuner.workflows.looking.columns import HALF, Column, Role, has_decimal_commas, marks_in
from tuner.workflows.looking.draft import Asked, option, some

DELIMITERS = (",", ";", "\t", "|")
N_LINES = 50
HEAD_BYTES = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that was read, and what had to be known for that."""

    asked: Asked
    frame: Any
    columns: tuple[Column, ...]
    dialect: Dialect | None = None
    """None for parquet."""

    @property
    def n_rows(self) -> int:
        return len(self.frame)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def of(self, *roles: Role, besides: tuple[str, ...] = ()) -> list[Column]:
        return [column for column in self.columns if column.role in roles and column.name not in besides]

    def written(self) -> list[str]:
        """The options that say how the file is written."""
        dialect = self.dialect
        if dialect is None:
            return []
        lines = [option("delimiter", dialect.delimiter)] if dialect.delimiter != "," else []
        lines += [option("decimal", dialect.decimal)] if dialect.decimal != "." else []
        return lines + ([option("encoding", dialect.encoding)] if dialect.encoding != "utf-8" else [])


def read_table(asked: Asked) -> Table:
    """The whole file, as a search will read it; DataError with the line where it cannot be."""
    path = asked.path
    if path.suffix.lower() in (".parquet", ".pq"):
        return _of(asked, read_parquet(path).frame, None)
    dialect = _dialect(path)
    frame = read_csv(path, dialect).frame
    if dialect.delimiter != "," and has_decimal_commas(frame):
        dialect = replace(dialect, decimal=",")
        frame = read_csv(path, dialect).frame
    marks = tuple(dict.fromkeys(mark for name in frame.columns for mark in marks_in(frame[name])))
    if marks:
        dialect = replace(dialect, missing=marks)
        frame = read_csv(path, dialect).frame
    _refuse_without_header(path, list(frame.columns))
    return _of(asked, frame, dialect)


def read_json_lines(asked: Asked) -> Table:
    """A file with an object a line."""
    import pandas as pd

    try:
        frame = pd.read_json(asked.path, lines=True)
    except ValueError as error:
        raise UsageError(f"{asked.path}: cannot be read as an object a line: {error}") from error
    return _of(asked, frame, None)


def _of(asked: Asked, frame: Any, dialect: Dialect | None) -> Table:
    columns = tuple(Column.of(str(name), frame[name]) for name in frame.columns)
    if len(columns) < 2:  # noqa: PLR2004 - one to learn from, one to predict
        found = some([column.name for column in columns])
        raise UsageError(f"{asked.path}: one column only ({found}); a table needs one to learn from as well")
    return Table(asked=asked, frame=frame, columns=columns, dialect=dialect)


def _dialect(path: Path) -> Dialect:
    head = beginning(path, HEAD_BYTES)
    encoding = _encoding(head)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    return Dialect(delimiter=delimiter_of(text, is_whole=len(head) < HEAD_BYTES), encoding=encoding)


def _encoding(head: bytes) -> str:
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    for name in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(name)().decode(head)
        except UnicodeDecodeError:
            continue
        return name
    return "latin-1"


def delimiter_of(text: str, *, is_whole: bool = True) -> str:
    """What separates the fields of nearly all lines into the same number, and the most; a comma where nothing does."""
    found = {}
    for delimiter in DELIMITERS:
        rows = list(_rows(text, delimiter))
        counts = Counter(len(row) for row in (rows if is_whole else rows[:-1])[:N_LINES])
        usual, n_rows = counts.most_common(1)[0] if counts else (1, 0)
        if usual > 1 and n_rows > HALF * counts.total():
            found[delimiter] = (n_rows / counts.total(), usual)
    return max(found, key=lambda delimiter: found[delimiter]) if found else ","


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return []


def _refuse_without_header(path: Path, header: list[str]) -> None:
    """Numbers in the first line, unless they count the columns, are a row."""
    numbers = [number for name in header if (number := _as_number(name)) is not None]
    steps = {after - before for before, after in pairwise(numbers)}
    if numbers and (steps - {1.0} or (len(numbers) == 1 and len(header) > 1 and numbers[0] % 1)):
        raise UsageError(
            f"{path}:1: {some(header)}: numbers in the place of column names; put a line of names above the rows"
        )


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
