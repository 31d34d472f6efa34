"""The rows of files that are to be predicted, read as the data of the training was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema import CsvData, Data
from tuner.config.schema.arrays import ArrayData
from tuner.config.schema.series import SeriesData
from tuner.config.schema.text import TextData
from tuner.data.categories import CategoricalColumn, as_numbers_are_named
from tuner.data.encoders import ImageEncoder
from tuner.data.fitting import shape_in_file
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Encoder
from tuner.data.scaling import Array
from tuner.data.sounds import SoundEncoder
from tuner.data.sources import array_files, table_files, text_files
from tuner.data.sources.arrays import ALIASES, ArrayFile
from tuner.data.sources.image_folder import EXTENSIONS, images_below
from tuner.data.sources.image_items import decoding_threads, in_blocks, raise_all
from tuner.data.sources.sound_files import WAV
from tuner.data.sources.table_files import Dialect, TableFile
from tuner.data.sources.text import checked_texts
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.windows import WindowEncoder
from tuner.errors import DataError, NotFoundError, UsageError
from tuner.export.kinds import LINES, kind_of, refuse_other_kinds

PARQUET = ".parquet"
N_SHOWN = 5
TEXT_COLUMN = "text"
ROWS_NDIM, IMAGE_NDIM = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a file, or of several, some of which are read at a time."""

    path: Path
    n_rows: int
    take: Callable[[int, int], Any]
    """Those from a row to before another, in a form that the model's `predict` takes."""
    name: Callable[[int], str]
    """Where a row is: in messages, and in what is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be predicted, and what is known of the data of the training."""

    encoder: Encoder
    data: Data
    paths: tuple[Path, ...]
    array: str | None = None
    """Which array of files with several."""


def rows_of(asked: Asked) -> list[Rows]:
    """All rows in the order of the files.

    Raises NotFoundError for what is not there, DataError for a file of another kind than the model takes, or one that
    cannot be read.
    """
    missing = [str(path) for path in asked.paths if not path.exists()]
    if missing:
        more = f" and {len(missing) - N_SHOWN} more" if len(missing) > N_SHOWN else ""
        raise NotFoundError(f"{', '.join(missing[:N_SHOWN])}{more}: no such file or folder")
    refuse_other_kinds(asked.paths, asked.encoder)
    of_arrays = [path for path in asked.paths if kind_of(path) == "arrays"]
    if asked.array is not None and not of_arrays:
        raise UsageError("--array names an array in a .npz, .npy or .pt file, and there is none among the inputs")
    if of_arrays:
        others = [path for path in asked.paths if path not in of_arrays]
        if others:
            raise UsageError(f"{others[0]}, {of_arrays[0]}: files and arrays; predict them one after the other")
        return [_array_rows(asked, path) for path in of_arrays]
    return READERS[type(asked.encoder)](asked)


def table_in(path: Path, encoder: TableEncoder, data: Data) -> Any:
    """The rows of the file of a table, in a form that `predict` takes; raises as `rows_of`."""
    (rows,) = rows_of(Asked(encoder=encoder, data=data, paths=(path,)))
    return rows.take(0, rows.n_rows)


def _below(asked: Asked, found_in: Callable[[Path], list[str]], what: str) -> list[str]:
    """The files that are named, and those in the folders that are."""
    paths: list[str] = []
    for path in asked.paths:
        found = found_in(path) if path.is_dir() else [str(path)]
        if not found:
            raise DataError(f"{path}: no {what} in it")
        paths += found
    return paths


def _of_paths(asked: Asked, paths: list[str]) -> list[Rows]:
    return [Rows(path=asked.paths[0], n_rows=len(paths), take=lambda a, b: paths[a:b], name=lambda row: paths[row])]


# --------------------------------------------------------------------------------------------------- images and sounds


def _images(asked: Asked) -> list[Rows]:
    """Every file's beginning is looked at first, so that all that are broken are named at once."""
    paths = _below(asked, lambda folder: sorted(images_below(folder)), f"images ({', '.join(EXTENSIONS)})")
    found = in_blocks(lambda row: _problem(paths[row]), len(paths), decoding_threads())
    raise_all([problem for block in found for problem in block if problem])
    return _of_paths(asked, paths)


def _problem(path: str) -> str:
    try:
        shape_in_file(path)
    except ValueError as error:
        return f"{path}: {error}"
    return ""


def _sounds(asked: Asked) -> list[Rows]:
    def wavs(folder: Path) -> list[str]:
        return sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in WAV)

    return _of_paths(asked, _below(asked, wavs, "wav files"))


# --------------------------------------------------------------------------------------------------------------- tables


def _tables(asked: Asked) -> list[Rows]:
    encoder = asked.encoder
    assert isinstance(encoder, TableEncoder)
    categories = {column.name: column for column in encoder.columns if isinstance(column, CategoricalColumn)}
    return [_table(asked, path, encoder, categories) for path in asked.paths]


def _table(asked: Asked, path: Path, encoder: TableEncoder, categories: dict[str, CategoricalColumn]) -> Rows:
    dialect = _dialect(asked.data, path, tuple(categories))
    file = _file(path, dialect)
    refuse_missing_columns(file, [column.name for column in encoder.columns])
    frame = file.frame
    if path.suffix != PARQUET:
        for name, column in categories.items():
            frame[name] = _as_trained(frame[name], column, dialect)
    return Rows(
        path=path,
        n_rows=len(frame),
        take=lambda start, stop: frame.iloc[start:stop],
        name=file.row_place,
    )


def _dialect(data: Data, path: Path, as_text: tuple[str, ...]) -> Dialect:
    """How the table of the training was written; tabs in a .tsv file."""
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    if isinstance(data, SeriesData):
        delimiter = data.delimiter
    if not isinstance(data, CsvData):
        return Dialect(delimiter=delimiter, as_text=as_text)
    return Dialect(
        delimiter=delimiter if delimiter == "\t" else data.delimiter,
        decimal=data.decimal,
        encoding=data.encoding,
        missing=data.missing_values,
        as_text=as_text,
    )


def _file(path: Path, dialect: Dialect) -> TableFile:
    return table_files.read_parquet(path) if path.suffix == PARQUET else table_files.read_csv(path, dialect)


def refuse_missing_columns(file: TableFile, names: Sequence[str]) -> None:
    """DataError that names all columns which the model needs and a file does not have."""
    missing = [name for name in names if name not in file.header]
    if missing:
        hint = suggestion(missing[0], file.header) if len(missing) == 1 else f"; it has {', '.join(file.header)}"
        columns = f"column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
        raise DataError(f"{file.path}: no {columns}, which the model was trained on{hint}")


def _as_trained(texts: Any, column: CategoricalColumn, dialect: Dialect) -> Any:
    """Categories as training has them: whether it read a column as numbers depends on all that was in it.

    With only "01" and "02" in a file, pandas would read 1 and 2, and training may have had "01" beside "A1".
    """
    known = frozenset(column.categories)
    names: dict[str, str] = {}
    for text in texts.dropna().unique():
        names[text] = text if text in known else as_numbers_are_named(text.replace(dialect.decimal, "."))
    named = {text: name if name in known else text for text, name in names.items()}
    return texts.map(named, na_action="ignore")


def _series(asked: Asked) -> list[Rows]:
    encoder = asked.encoder
    assert isinstance(encoder, WindowEncoder)
    return [row for path in asked.paths for row in _windows(asked, path, encoder)]


def _windows(asked: Asked, path: Path, encoder: WindowEncoder) -> list[Rows]:
    """A window for each group of a file, for each row where rows are series, or for the file."""
    file = _file(path, _dialect(asked.data, path, ()))
    refuse_missing_columns(file, encoder.steps or encoder.names)
    frame = file.frame
    if encoder.steps:
        return [
            Rows(path=path, n_rows=len(frame), take=lambda start, stop: frame.iloc[start:stop], name=file.row_place)
        ]
    parts, names = [frame], [str(path)]
    if encoder.group and encoder.group in frame.columns:
        groups = list(frame.groupby(encoder.group, sort=False))
        parts, names = [part for _, part in groups], [f"{path}: {encoder.group} {name}" for name, _ in groups]
    return [Rows(path=path, n_rows=len(parts), take=lambda start, stop: parts[start:stop], name=names.__getitem__)]


# ---------------------------------------------------------------------------------------------------------------- texts


def _texts(asked: Asked) -> list[Rows]:
    return [row for path in asked.paths for row in _texts_of(asked, path)]


def _texts_of(asked: Asked, path: Path) -> list[Rows]:
    section = asked.data if isinstance(asked.data, TextData) else TextData(path=str(path))
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in LINES and file.is_file())
        if not files:
            raise DataError(f"{path}: no texts in it (*{LINES[0]})")
        return [_whole(file, section.encoding) for file in files]
    if kind_of(path) in ("a table", "JSON lines"):
        return [_column(path, section, asked.encoder)]
    is_of_folder = isinstance(asked.data, TextData) and not asked.data.targets
    return [_whole(path, section.encoding) if is_of_folder else _lines(path, section.encoding)]


def _whole(path: Path, encoding: str) -> Rows:
    """A file that is one text, as those of a folder in training."""
    texts = checked_texts([text_files.decoded(path, encoding)], lambda _: str(path))
    return Rows(path=path, n_rows=1, take=lambda start, stop: texts[start:stop], name=lambda _: str(path))


def _lines(path: Path, encoding: str) -> Rows:
    """A text a line; empty lines are left out."""
    lines = text_files.decoded(path, encoding).replace("\r\n", "\n").split("\n")
    numbers = [number for number, line in enumerate(lines) if line.strip()]
    if not numbers:
        raise DataError(f"{path}: no texts; expected one a line")
    texts = [lines[number] for number in numbers]
    return Rows(
        path=path,
        n_rows=len(texts),
        take=lambda start, stop: texts[start:stop],
        name=lambda row: f"{path}:{numbers[row] + 1}",
    )


def _column(path: Path, section: TextData, encoder: Encoder) -> Rows:
    column = encoder.column if isinstance(encoder, TextEncoder) else TEXT_COLUMN
    table = text_files.read(path, section, columns=(column,))

    def name(row: int) -> str:
        return f"{path}:{table.file.lines[row]}"

    texts = checked_texts(table.column(column), name)
    return Rows(path=path, n_rows=len(texts), take=lambda start, stop: texts[start:stop], name=name)


# --------------------------------------------------------------------------------------------------------------- arrays


def _array_rows(asked: Asked, path: Path) -> Rows:
    file = array_files.opened(path)
    if isinstance(asked.encoder, NamedEncoder):
        return _named_arrays(file, asked.encoder)
    name = _name_of(asked, file)
    array = _as_rows(file.read(name), asked.encoder)
    if array.ndim == 0:
        raise DataError(f"{file.place(name)}: one number; expected rows of numbers")
    place = str(path) if len(file.names) == 1 else file.place(name)
    return Rows(
        path=path,
        n_rows=len(array),
        take=lambda start, stop: array[start:stop],
        name=lambda row: f"{place}: row {row}",
    )


def _name_of(asked: Asked, file: ArrayFile) -> str:
    """The array that is meant: the one that was asked for, or that has the name of the inputs of the training."""
    names = file.names
    if asked.array is not None:
        if asked.array not in names:
            raise NotFoundError(f"{file.path}: no array {asked.array!r}{suggestion(asked.array, names)}")
        return asked.array
    trained = asked.data.x if isinstance(asked.data, ArrayData) else None
    wanted = ([trained] if trained else []) + list(ALIASES["x"])
    found = next((name for name in wanted if name in names), names[0] if len(names) == 1 else None)
    if found is None:
        raise DataError(f"{file.path}: which array? It has {', '.join(names) or 'none'}; name one with --array")
    return found


def _as_rows(array: Array, encoder: Encoder) -> Array:
    """One row alone as one of several."""
    if isinstance(encoder, WindowEncoder):
        n_columns = len(encoder.names)
        is_window_a_row = array.ndim == ROWS_NDIM and n_columns == 1 and array.shape[1] != 1
        return array if array.ndim > ROWS_NDIM or is_window_a_row else array[None]
    is_single = array.shape == encoder.shape
    if isinstance(encoder, ImageEncoder):
        channels, height, width = encoder.shape
        is_single |= array.shape == (height, width, channels) or (channels == 1 and array.shape == (height, width))
    return array[None] if is_single else array


def _named_arrays(file: ArrayFile, encoder: NamedEncoder) -> Rows:
    names = [field.name for field in encoder.fields]
    missing = [name for name in names if name not in file.names]
    if missing:
        raise DataError(f"{file.path}: no array {missing[0]!r}{suggestion(missing[0], file.names)}")
    arrays = {name: file.read(name) for name in names}
    sizes = {name: len(np.atleast_1d(array)) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{file.path}: {', '.join(f'{name} {n}' for name, n in sizes.items())} rows; expected as many")
    return Rows(
        path=file.path,
        n_rows=next(iter(sizes.values())),
        take=lambda start, stop: {name: array[start:stop] for name, array in arrays.items()},
        name=lambda row: f"{file.path}: row {row}",
    )


READERS: dict[type[Encoder], Callable[[Asked], list[Rows]]] = {
    ImageEncoder: _images,
    SoundEncoder: _sounds,
    TableEncoder: _tables,
    WindowEncoder: _series,
    TextEncoder: _texts,
    CharacterEncoder: _texts,
}
"""By what the model takes, of files that are no arrays."""
