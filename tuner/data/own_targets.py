"""The targets of a user's items: what they are taken for, and what is wrong with them.

N items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from tuner.data.decoded import Task, WantedTask
from tuner.data.info import DataInfo
from tuner.data.item_keys import TARGET_KEYS
from tuner.data.scaling import Array
from tuner.data.targets import check_indicators, check_tokens
from tuner.errors import DataError

Name = Callable[[int], str]
"""What messages call the item of a row."""


class Named(Protocol):
    """Items that have names, and maybe class names."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def name(self, row: int, /) -> str: ...


def target_value(name: Name, row: int, y: Any) -> Array:
    """One target as a vector; an empty one where an item has none."""
    if y is None:
        return np.zeros(0, dtype=np.float32)
    value = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if value.dtype.kind not in "biuf" or value.ndim > 1 or value.size == 0:
        raise DataError(
            f"{name(row)}: the target is {y!r:.60}; expected a class from 0 to K-1 (int), a number (float),"
            " or a vector of numbers"
        )
    return np.asarray(value).reshape(-1)


def targets_of(items: Named, values: Sequence[Array], wanted: WantedTask, n_train: int) -> tuple[Task, Array]:
    """The task, and the targets of all items for it; the first `n_train` rows are for training."""
    table = _table(items.name, values, len(values[0]))
    if not table.shape[1] and wanted != "autoencoding":
        raise DataError(
            f"{items.name(0)}: no target; expected (x, y), or a dict with one of {', '.join(TARGET_KEYS)}; name its key"
            " in data.target_key, or set data.task: autoencoding where there is none"
        )
    if wanted == "autoencoding":
        return wanted, np.zeros((len(table), 0), dtype=np.float32)
    if wanted == "language":
        return wanted, _tokens(items.name, table)
    if wanted == "multilabel":
        return wanted, _indicators(items.name, table, _column_names(items, table.shape[1]))
    if wanted == "auto":
        wanted = "regression" if table.dtype.kind == "f" else "classification"
    return wanted, _quantities(items.name, table) if wanted == "regression" else _classes(items.name, table, n_train)


def known_targets(name: Name, values: Sequence[Array], info: DataInfo) -> Array:
    """The targets of items that are read later, for the task that the first ones settled."""
    width = info.n_targets if info.task in ("regression", "multilabel") else len(values[0])
    table = _table(name, values, width)
    if info.task == "autoencoding":
        return np.zeros((len(table), 0), dtype=np.float32)
    if info.task == "language":
        return _tokens(name, table, info.n_targets)
    if info.task == "multilabel":
        return _indicators(name, table, info.labels)
    if info.task == "regression":
        return _quantities(name, table)
    if width != 1:
        raise DataError(f"{name(0)}: {width} targets; the training items have another number")
    labels = table[:, 0]
    wrong = np.flatnonzero((labels != np.floor(labels)) | (labels < 0) | (labels >= info.n_targets))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{name(row)}: label {labels[row]}; expected whole numbers from 0 to {info.n_targets - 1}"
            f" ({len(wrong)} of {len(labels)} items)"
        )
    return labels.astype(np.int64)


def labels_of(items: Named, task: Task, train_targets: Array) -> tuple[str, ...]:
    """What the classes, or the columns of a multilabel target, are called."""
    if task == "multilabel":
        return _column_names(items, train_targets.shape[1])
    if task != "classification":
        return ()
    n_classes = int(train_targets.max(initial=-1)) + 1
    names = items.class_names
    return names[:n_classes] if len(names) >= n_classes else tuple(str(label) for label in range(n_classes))


def _table(name: Name, values: Sequence[Array], width: int) -> Array:
    for row, value in enumerate(values):
        if len(value) != width:
            raise DataError(f"{name(row)}: {len(value)} targets; expected {width}, as the first item has")
    return np.stack(list(values))


def _tokens(name: Name, table: Array, n_tokens: int | None = None) -> Array:
    check_tokens(table, name, n_tokens)
    return table.astype(np.int64)


def _indicators(name: Name, table: Array, names: tuple[str, ...]) -> Array:
    check_indicators(table, names, name)
    return table.astype(np.float32)


def _column_names(items: Named, n_columns: int) -> tuple[str, ...]:
    names = items.class_names
    return names if len(names) == n_columns else tuple(map(str, range(n_columns)))


def _quantities(name: Name, table: Array) -> Array:
    with np.errstate(over="ignore"):
        targets = table.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{name(row)}: the target is {table[row].tolist()}; expected finite numbers of float32's range")
    return targets


def _classes(name: Name, table: Array, n_train: int) -> Array:
    if table.shape[1] != 1:
        raise DataError(f"{name(0)}: {table.shape[1]} targets; classification expects one class an item, as an int")
    labels = table[:, 0]
    wrong = np.flatnonzero((labels < 0) | (labels != np.floor(labels)) | ~(labels < n_train))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{name(row)}: label {labels[row]}; expected whole numbers from 0 to K-1, each class with rows of its"
            f" own ({len(wrong)} of {len(labels)} items); number the classes 0, 1, ..., or take a regression metric"
        )
    return labels.astype(np.int64)
