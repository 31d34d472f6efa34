"""The checks that every source's targets pass before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tuner.config.metrics import metrics_of
from tuner.data.decoded import Decoded, Task, WantedTask
from tuner.data.scaling import Array
from tuner.data.splits import PARTS, Indices, SplitRows
from tuner.errors import DataError

N_SHOWN = 5
MIN_CLASSES = 2
MIN_ROWS_TO_STRATIFY = 2
IGNORED = -100
"""In place of a token: nothing is to be said here; torch's losses leave it out too."""


def resolve_task(kind: str, *, own: Task, wanted: WantedTask) -> Task:
    """The task of a source whose targets allow only one; DataError when the metric or `data.task` wants another.

    Autoencoding looks at no targets.
    """
    if wanted not in ("auto", "autoencoding", own):
        raise DataError(
            f"data.kind {kind}: its targets are for {own}, but objective.metric or data.task asks for {wanted};"
            f" take a metric of {own}, such as {metrics_of(own)[1]}"
        )
    return own


def without_targets(decoded: Decoded) -> Decoded:
    """The same rows for autoencoding, where the inputs are the targets: there are none beside them."""
    targets = np.zeros((len(decoded.targets), 0), dtype=np.float32)
    return replace(decoded, task="autoencoding", labels=(), targets=targets)


def check_labels(labels: Array, n_classes: int, row_name: Callable[[int], str]) -> None:
    """Refuse integer labels outside 0..n_classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{row_name(row)}: label {labels[row]}; expected whole numbers from 0 to {n_classes - 1}"
            f" ({len(wrong)} such {'rows' if len(wrong) > 1 else 'row'})"
        )


def check_classes(decoded: Decoded, *, stratify: bool) -> None:
    """Refuse what cannot be learned or split: no rows, one class, a class too small to be in two parts."""
    pool = decoded.pool
    if len(pool) == 0:
        raise DataError("the data has no rows to train on")
    if decoded.task == "multilabel":
        if len(decoded.labels) < MIN_CLASSES:
            raise DataError("multilabel targets have at least two labels; for one take data.task: classification")
        _check_columns(decoded, pool, "the data has")
    if decoded.task != "classification":
        return
    n_classes = len(decoded.labels)
    if n_classes < MIN_CLASSES:
        name = decoded.labels[0] if decoded.labels else "none"
        raise DataError(f"only one class ({name}) in {len(pool)} rows; classification needs at least two")
    check_labels(decoded.targets, n_classes, decoded.row_name)
    counts = np.bincount(decoded.targets[pool], minlength=n_classes)
    if (counts == 0).any():
        missing = ", ".join(decoded.labels[label] for label in np.flatnonzero(counts == 0)[:N_SHOWN])
        raise DataError(
            f"no row for training has the class {missing}; labels must be 0, 1, ... {n_classes - 1} without"
            " gaps: number the classes anew"
        )
    if stratify and (counts < MIN_ROWS_TO_STRATIFY).any():
        label = int(np.flatnonzero(counts < MIN_ROWS_TO_STRATIFY)[0])
        row = int(pool[np.flatnonzero(decoded.targets[pool] == label)[0]])
        raise DataError(
            f"{decoded.row_name(row)}: the only row of class {decoded.labels[label]!r}; a stratified split needs"
            " two of each class: remove it, merge the class with another, or set data.split.stratify: false"
        )


def check_parts(decoded: Decoded, split: SplitRows) -> None:
    """Refuse an empty part, and a training part that lacks a class or a label."""
    for part in PARTS[:2]:
        if len(split[part]) == 0:
            raise DataError(f"the {part} part has no rows; raise data.split.val, or give more data")
    if decoded.task == "multilabel":
        _check_columns(decoded, split.train, "the training part has")
    if decoded.task != "classification":
        return
    counts = np.bincount(decoded.targets[split.train], minlength=len(decoded.labels))
    if (counts == 0).any():
        name = decoded.labels[int(np.flatnonzero(counts == 0)[0])]
        remedy = "set data.split.stratify: true" if decoded.keys is None else "split by another column"
        raise DataError(f"the training part has no row of class {name!r}; {remedy}, or give more data")


def _check_columns(decoded: Decoded, rows: Indices, where: str) -> None:
    """Refuse a label that no row has, or every row: there is nothing to tell apart."""
    counts = decoded.targets[rows].sum(axis=0, dtype=np.int64)
    for name, count in zip(decoded.labels, counts.tolist(), strict=True):
        if count in (0, len(rows)):
            which = "with" if count == 0 else "without"
            raise DataError(f"{where} no row {which} the label {name!r}; leave it out, or give more data")


def check_tokens(targets: Array, row_name: Callable[[int], str], n_tokens: int | None = None) -> None:
    """Refuse what is no token among the targets [N, L] of language: IGNORED, or whole numbers from 0."""
    if targets.ndim == 1 or targets.dtype.kind not in "biuf":
        raise DataError(f"{row_name(0)}: the targets are no tokens; expected a whole number for every position")
    most = np.iinfo(np.int32).max if n_tokens is None else n_tokens
    wrong = np.argwhere((targets != np.floor(targets)) | ((targets < 0) & (targets != IGNORED)) | (targets >= most))
    if len(wrong):
        row, place = map(int, wrong[0])
        raise DataError(
            f"{row_name(row)}: the target at position {place} is {targets[row, place]}; expected a token,"
            f" {f'0 to {most - 1}' if n_tokens else '0 or more'}, or {IGNORED} where none is to be said"
        )


def check_indicators(targets: Array, names: Sequence[str], row_name: Callable[[int], str]) -> None:
    """Refuse what is not 0 or 1 among multilabel targets [N, K]."""
    wrong = np.argwhere((targets != 0) & (targets != 1))
    if len(wrong):
        row, column = map(int, wrong[0])
        raise DataError(
            f"{row_name(row)}: label {names[column]!r} is {targets[row, column]}; multilabel targets are 0 or 1"
            f" ({len(wrong)} such values)"
        )
