"""Texts with a class or a number: from a file with columns, or from folders of text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tuner.config.schema.text import TextData, TextSection
from tuner.data.decoded import Decoded, Request
from tuner.data.scaling import Array
from tuner.data.sources import text_files, text_folder
from tuner.data.sources.paths import resolve_existing
from tuner.data.sources.table_targets import targets_of_columns
from tuner.data.targets import resolve_task
from tuner.data.text_rows import TextRows
from tuner.errors import DataError, NotFoundError


def files(data: TextData, base_dir: Path) -> tuple[Path, ...]:
    path = _place(data, base_dir)
    texts = text_folder.Listing.of(path).paths if path.is_dir() else (path,)
    return (*texts, *tokenizer_files(data, base_dir))


def read(data: TextData, request: Request) -> Decoded:
    path = _place(data, request.base_dir)
    return _read_folder(path, data, request) if path.is_dir() else _read_file(path, data, request)


def _place(data: TextData, base_dir: Path) -> Path:
    path = resolve_existing(data.path, base_dir)
    if path is None:
        raise NotFoundError(f"data.path {data.path}: no such file or folder; looked in {base_dir} and {Path.cwd()}")
    return path


def _read_file(path: Path, data: TextData, request: Request) -> Decoded:
    if not data.targets:
        raise DataError(f"data.target: missing; name the column of {path} that is to be predicted")
    table = text_files.read(path, data, columns=(data.text, *data.targets))
    texts = checked_texts(table.column(data.text), lambda row: table.file.place(row, data.text))
    targets = targets_of_columns(table.file, {name: table.column(name) for name in data.targets}, request)
    return Decoded(
        task=targets.task,
        labels=targets.labels,
        rows=text_rows(texts, data, request, column=data.text),
        targets=targets.values,
        row_name=lambda row: table.file.place(row, targets.column),
    )


def _read_folder(path: Path, data: TextData, request: Request) -> Decoded:
    if data.targets:
        raise DataError(f"data.target {data.target!r}: {path} is a folder, whose folders are the classes; leave it out")
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    listing = text_folder.Listing.of(path)
    texts = [text_files.decoded(file, data.encoding) for file in listing.paths]
    return Decoded(
        task=task,
        labels=listing.labels,
        rows=text_rows(checked_texts(texts, listing.name), data, request, column="text"),
        targets=np.array(listing.targets, dtype=np.int64),
        given=listing.given(),
        row_name=listing.name,
    )


def tokenizer_files(data: TextSection, base_dir: Path) -> tuple[Path, ...]:
    """The file of a tokenizer that is read and not learned; NotFoundError when it is not there."""
    name = data.tokenizer.path
    if data.tokenizer.kind != "file" or name is None:
        return ()
    path = resolve_existing(name, base_dir)
    if path is None or not path.is_file():
        raise NotFoundError(f"data.tokenizer.path {name}: no such file; looked in {base_dir} and {Path.cwd()}")
    return (path,)


def text_rows(texts: Sequence[str], data: TextSection, request: Request, *, column: str) -> TextRows:
    """Texts that have been checked, as rows."""
    if request.task == "autoencoding":
        raise DataError(
            "data.task: autoencoding is for inputs that are numbers; texts are tokens, which have no distance"
        )
    tokenizer_file = next(iter(tokenizer_files(data, request.base_dir)), None)
    return TextRows(texts=texts, section=data, column=column, tokenizer_file=tokenizer_file)


def checked_texts(values: Sequence[object] | Array, name: Callable[[int], str]) -> list[str]:
    """Refuse rows without a text."""
    wrong = [row for row, value in enumerate(values) if not isinstance(value, str) or not value.strip()]
    if wrong:
        value = values[wrong[0]]
        got = "empty" if value is None or isinstance(value, str) else f"{value!r}, which is no text"
        others = f" ({len(wrong)} of {len(values)} rows)" if len(wrong) > 1 else ""
        raise DataError(f"{name(wrong[0])}: {got}{others}; remove these rows, or fill the texts in")
    return [str(value) for value in values]
