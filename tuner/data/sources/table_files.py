"""Files of tables, read by pandas, with the place of every row.

Text is scanned before: a scan finds each row's line and refuses what pandas would repair silently.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.data.sources.paths import resolve_existing
from tuner.errors import DataError, MissingError, NotFoundError

NA_TEXTS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Texts that pandas takes for a missing value, besides an empty field."""
PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
"""What is unpacked, by its suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a text file of a table is written."""

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    """Columns whose numbers stay the text that they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """Where the rows of a text file are."""

    path: Path
    header: tuple[str, ...]
    lines: npt.NDArray[np.int64]
    """The line in which each row begins, counted from 1."""

    def place(self, row: int, column: str) -> str:
        return f"{self.path}:{self.lines[row]}: column {column!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file that has been read: every row has as many fields as the header."""

    path: Path
    frame: Any
    lines: npt.NDArray[np.int64] | None
    """The line in which each row begins, counted from 1; None where the file has no lines."""

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(self.frame.columns)

    def place(self, row: int, column: str) -> str:
        return f"{self.row_place(row)}: column {column!r}"

    def row_place(self, row: int) -> str:
        return f"{self.path}: row {row}" if self.lines is None else f"{self.path}:{self.lines[row]}"


def find(path: str, base_dir: Path, option: str = "path") -> Path:
    """The file that an option names; NotFoundError when there is none."""
    found = resolve_existing(path, base_dir)
    if found is None or not found.is_file():
        raise NotFoundError(f"data.{option} {path}: no such file; looked in {base_dir} and {Path.cwd()}")
    return found


# ----------------------------------------------------------------------------------------------------------------- text


def read_csv(path: Path, dialect: Dialect) -> TableFile:
    """A csv file, plain or compressed; DataError with the line when it is not one."""
    content = _unpacked(path)
    header, lines = _scan(path, content, dialect)
    frame = _parse(path, content, dialect, len(lines))
    frame.columns = list(header)  # pandas calls a column without a name "Unnamed: 0"
    return TableFile(path=path, frame=frame, lines=np.array(lines))


def beginning(path: Path, n_bytes: int) -> bytes:
    """The first bytes of a text file, plain or compressed."""
    if path.suffix in PACKED:
        return _unpacked(path)[:n_bytes]
    with path.open("rb") as file:
        return file.read(n_bytes)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress, ".zip": _unzip, ".zst": _unzstd}
    if path.suffix not in unpack:
        return content
    try:
        return unpack[path.suffix](content)
    # zipfile raises RuntimeError for what is encrypted, or compressed in a way that it does not know
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); download or compress the file again") from error


def _unzip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise ValueError(f"{len(names)} files in the archive; expected one")
        return archive.read(names[0])


def _unzstd(content: bytes) -> bytes:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingError("reading .zst takes pyarrow; pip install 'tuner[parquet]', or unpack the file") from error
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        unpacked: bytes = stream.read()
        return unpacked


def _scan(path: Path, content: bytes, dialect: Dialect) -> tuple[tuple[str, ...], list[int]]:
    encoding = _without_mark(dialect.encoding)
    try:
        with io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=dialect.delimiter)
            try:
                header, lines = _rows_of(path, reader)
            except csv.Error as error:
                raise DataError(f"{path}:{reader.line_num}: {error}") from error
    except UnicodeError as error:
        raise DataError(_wrong_encoding(path, content, dialect.encoding, error)) from error
    if not header:
        raise DataError(f"{path}: the file is empty; expected a line of column names, then rows")
    if not lines:
        raise DataError(f"{path}: no rows below the line of column names")
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise DataError(f"{path}:1: column {repeated[0]!r} is there {header.count(repeated[0])} times; rename one")
    return header, lines


def _without_mark(encoding: str) -> str:
    """The encoding that leaves out the mark which some programs write at the beginning."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


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


def _wrong_encoding(path: Path, content: bytes, encoding: str, error: UnicodeError) -> str:
    reason = getattr(error, "reason", str(error))
    line = next((number for number, text in enumerate(content.split(b"\n"), 1) if not _decodes(text, encoding)), 0)
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    guess = marks.get(content[:2], "latin-1" if encoding.lower() != "latin-1" else "utf-8")
    name = encoding.upper() if encoding.lower().startswith("utf") else encoding
    return (
        f"{path}:{line}: not {name} ({reason}); say what it is, such as data.encoding: {guess}, or save the"
        " file as UTF-8"
    )


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeError:
        return False
    return True


def _parse(path: Path, content: bytes, dialect: Dialect, n_rows: int) -> Any:
    import pandas as pd

    try:
        # The types are pandas' own guess, so that a DataFrame that a user reads gives the same bits in prediction.
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=dialect.delimiter,
            decimal=dialect.decimal,
            na_values=list(dialect.missing),
            dtype=dict.fromkeys(dialect.as_text, str),
            index_col=False,
            low_memory=False,
            encoding=_without_mark(dialect.encoding),
        )
    except (pd.errors.ParserError, UnicodeError) as error:
        raise DataError(f"{path}: {str(error).strip()}") from error
    if len(frame) != n_rows:
        raise DataError(f"{path}: pandas reads {len(frame)} rows, the csv module {n_rows}; check the quotes")
    return frame


# -------------------------------------------------------------------------------------------------------------- parquet


def read_parquet(path: Path) -> TableFile:
    """A parquet file; MissingError without pyarrow, DataError when it is none or has columns that hold no values."""
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise MissingError(f"{path}: reading parquet takes pyarrow; pip install 'tuner[parquet]'") from error
    except (ValueError, OSError) as error:  # pyarrow's errors are these
        raise DataError(f"{path}: no parquet file ({str(error).splitlines()[0]})") from error
    if not len(frame):
        raise DataError(f"{path}: no rows")
    frame = frame.reset_index() if frame.index.name else frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    return TableFile(path=path, frame=frame, lines=None)
