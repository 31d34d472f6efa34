"""Predictions as columns of a table, as JSON, and as arrays.

N rows, K classes or labels, T target columns, L positions.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from tuner.config.schema.series import SeriesData
from tuner.config.schema.tables import TableData
from tuner.config.schema.text import TextData
from tuner.data.tokens import CharacterEncoder
from tuner.export.loaded import LoadedModel

DIGITS = 9
"""With as many a float32 is read back to the bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What was predicted of some rows."""

    names: tuple[str, ...]
    """Where each row is."""
    scores: np.ndarray
    """As `predict_proba` gives them."""
    predictions: np.ndarray
    """As `predict` gives them."""
    errors: np.ndarray | None = None
    """Of autoencoding: how far each input is from what was rebuilt, the mean of the squares [N]."""


def table_columns(model: LoadedModel) -> tuple[str, ...]:
    """The columns of the table, besides `input`."""
    task, labels = task_of(model), label_names(model)
    probabilities = tuple(f"probability_{label}" for label in labels)
    if task == "multilabel":
        return (*(f"prediction_{label}" for label in labels), *probabilities)
    if task == "regression":
        names = target_names(model)
        return tuple(f"prediction_{name}" for name in names) if len(names) > 1 else ("prediction",)
    if task == "autoencoding":
        return ("error",)
    return ("prediction", *probabilities)


def _cells(model: LoadedModel, piece: Piece, row: int) -> list[object]:
    task = task_of(model)
    if task == "regression":
        return [_number(value) for value in piece.scores[row]]
    if task == "autoencoding":
        assert piece.errors is not None
        return [_number(piece.errors[row])]
    if task == "language":
        return [" ".join(map(str, piece.predictions[row].tolist()))]
    said = piece.predictions[row].tolist()
    return [*(said if task == "multilabel" else [said]), *map(_number, piece.scores[row])]


def _plain(model: LoadedModel, piece: Piece, row: int) -> dict[str, Any]:
    """A row as JSON has it."""
    task = task_of(model)
    if task == "regression":
        values = [_number(value) for value in piece.scores[row]]
        return {"prediction": values[0] if len(values) == 1 else dict(zip(target_names(model), values, strict=True))}
    if task == "autoencoding":
        assert piece.errors is not None
        return {"error": _number(piece.errors[row])}
    said = piece.predictions[row].tolist()
    if task == "language":
        return {"prediction": said}
    labels = label_names(model)
    return {
        "prediction": dict(zip(labels, said, strict=True)) if task == "multilabel" else said,
        "probabilities": dict(zip(labels, map(_number, piece.scores[row]), strict=True)),
    }


def _number(value: Any) -> float | None:
    """A float32 as the shortest decimal that is read back as it; None for what is no number."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def task_of(model: LoadedModel) -> str:
    """A language model of characters tells the next one as a classifier tells a class."""
    return "classification" if isinstance(model.preprocess.encoder, CharacterEncoder) else model.bundle.data.task


def label_names(model: LoadedModel) -> tuple[str, ...]:
    """What the columns of probabilities are called; of classes without names their numbers."""
    if task_of(model) not in ("classification", "multilabel"):
        return ()
    return tuple(map(str, model.labels or range(model.bundle.data.n_targets)))


def target_names(model: LoadedModel) -> tuple[str, ...]:
    """What the columns of a regression are called; forecasts have all targets for each of their steps."""
    data, n_targets = model.bundle.config.data, model.bundle.data.n_targets
    names: tuple[str, ...] = data.targets if isinstance(data, TableData | TextData | SeriesData) else ()
    if isinstance(data, SeriesData) and n_targets != len(names):
        names = tuple(f"{name}+{step}" for step in range(1, n_targets // len(names) + 1) for name in names)
    if len(names) == n_targets:
        return names
    return ("prediction",) if n_targets == 1 else tuple(map(str, range(1, n_targets + 1)))


# -------------------------------------------------------------------------------------------------------------- writers


def write_csv(file: IO[bytes], model: LoadedModel, pieces: Iterable[Piece], *, delimiter: str = ",") -> None:
    """A line a row, below a line of names; what is no number is left empty."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(("input", *table_columns(model)))
    for piece in pieces:
        for row, name in enumerate(piece.names):
            writer.writerow((name, *_cells(model, piece, row)))
    text.detach()


def write_tsv(file: IO[bytes], model: LoadedModel, pieces: Iterable[Piece]) -> None:
    write_csv(file, model, pieces, delimiter="\t")


def _objects(model: LoadedModel, pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        for row, name in enumerate(piece.names):
            yield json.dumps({"input": name, **_plain(model, piece, row)}, allow_nan=False, ensure_ascii=False).encode()


def write_json(file: IO[bytes], model: LoadedModel, pieces: Iterable[Piece]) -> None:
    """A list with an object a row, each in a line of its own."""
    separator = b"[\n"
    for item in _objects(model, pieces):
        file.write(separator + item)
        separator = b",\n"
    file.write(b"\n]\n" if separator == b",\n" else b"[]\n")


def write_jsonl(file: IO[bytes], model: LoadedModel, pieces: Iterable[Piece]) -> None:
    for item in _objects(model, pieces):
        file.write(item + b"\n")


def write_npz(file: IO[bytes], model: LoadedModel, pieces: Iterable[Piece]) -> None:
    """Arrays: `inputs` (where rows are), `predictions`, `scores` (probabilities where there are classes), `labels`."""
    found = list(pieces)
    np.savez(
        file,
        inputs=np.array([name for piece in found for name in piece.names]),
        predictions=np.concatenate([piece.predictions for piece in found]),
        scores=np.concatenate([piece.scores for piece in found]),
        labels=np.array(label_names(model), dtype=str),
    )


Writer = Callable[[IO[bytes], LoadedModel, Iterable[Piece]], None]
WRITERS: dict[str, Writer] = {
    ".csv": write_csv,
    ".tsv": write_tsv,
    ".json": write_json,
    ".jsonl": write_jsonl,
    ".npz": write_npz,
}
"""By the suffix of the file."""


def mean_squares(inputs: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """The mean of the squared differences of each row [N]."""
    squares: np.ndarray = np.square(inputs - rebuilt).reshape(len(inputs), -1).mean(axis=1)
    return squares
