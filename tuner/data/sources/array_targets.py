"""Targets in arrays: classes by number, text or one-hot row, or quantities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tuner.config.schema.arrays import ArrayData
from tuner.data.decoded import Task, WantedTask
from tuner.data.scaling import Array
from tuner.data.targets import check_indicators, check_tokens
from tuner.errors import DataError

Name = Callable[[int], str]
TABLE_NDIM = 2


def read_targets(
    data: ArrayData, arrays: Sequence[Array], wanted: WantedTask, name: Name
) -> tuple[Task, tuple[str, ...], Array]:
    """The task, the class names and the targets of all rows; the first array is that of the training part.

    `name` tells a row in messages. Raises DataError.
    """
    if wanted == "autoencoding":
        return wanted, (), np.zeros((sum(map(len, arrays)), 0), dtype=np.float32)
    values = _joined(arrays, name)
    if wanted == "auto":
        wanted = "classification" if values.dtype.kind != "f" else "regression"
    if wanted == "multilabel":
        return wanted, *_indicators(data, values, name)
    if wanted == "language":
        check_tokens(values, name)
        return wanted, (), values.astype(np.int64)
    if wanted == "regression":
        return wanted, (), _quantities(values, name)
    labels, classes = _classes(values, len(arrays[0]), name)
    if data.labels and len(data.labels) != len(labels):
        raise DataError(f"data.labels: {len(data.labels)} names for {len(labels)} classes ({', '.join(labels[:20])})")
    return "classification", data.labels or labels, classes


def _joined(arrays: Sequence[Array], name: Name) -> Array:
    """All targets, [N] or [N, T]."""
    flat = [array[:, 0] if array.ndim == TABLE_NDIM and array.shape[1] == 1 else array for array in arrays]
    begins = 0
    for array in flat:
        if array.dtype.kind not in "biufUS":
            raise DataError(f"{name(begins)}: targets of type {array.dtype}; expected numbers or text")
        if array.ndim > TABLE_NDIM or array.shape[1:] != flat[0].shape[1:]:
            expected = "one target a row, or a row of them" if array.ndim > TABLE_NDIM else f"{flat[0].shape[1:]}"
            raise DataError(f"{name(begins)}: targets of shape {array.shape[1:]}; expected {expected}")
        begins += len(array)
    joined: Array = np.concatenate(flat)
    if joined.dtype.kind == "f":
        wrong = np.argwhere(~np.isfinite(joined))
        if len(wrong):
            raise DataError(
                f"{name(int(wrong[0][0]))}: the target is {joined[tuple(wrong[0])]} ({len(wrong)} such values); remove"
                " the rows, or fill the values in"
            )
    return joined


def _indicators(data: ArrayData, values: Array, name: Name) -> tuple[tuple[str, ...], Array]:
    if values.ndim != TABLE_NDIM:
        raise DataError(f"{name(0)}: one target a row; multilabel targets are a row of 0 and 1 for each label")
    labels = data.labels or tuple(map(str, range(values.shape[1])))
    if len(labels) != values.shape[1]:
        raise DataError(f"data.labels: {len(labels)} names for {values.shape[1]} labels")
    check_indicators(values, labels, name)
    return labels, values.astype(np.float32)


def _quantities(values: Array, name: Name) -> Array:
    if values.dtype.kind in "US":
        raise DataError(f"{name(0)}: {str(values[0])!r} is not a number; for classes take a metric such as accuracy")
    with np.errstate(over="ignore"):
        targets = values.astype(np.float32).reshape(len(values), -1)
    wrong = np.argwhere(~np.isfinite(targets))
    if len(wrong):
        row = int(wrong[0][0])
        raise DataError(f"{name(row)}: the target is outside float32's range; scale the targets")
    return targets


def _classes(values: Array, n_train: int, name: Name) -> tuple[tuple[str, ...], Array]:
    if values.ndim == TABLE_NDIM:
        return _one_hot(values, name)
    if values.dtype.kind == "f":
        broken = np.flatnonzero(values != np.floor(values))
        if len(broken):
            row = int(broken[0])
            raise DataError(
                f"{name(row)}: {values[row]} is no class; classes are whole numbers or text, for quantities"
                " take a metric such as rmse"
            )
        values = values.astype(np.int64)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    distinct, codes = np.unique(values, return_inverse=True)
    unseen = np.flatnonzero(~np.isin(np.arange(len(distinct)), codes[:n_train]))
    if len(unseen):
        row = int(np.flatnonzero(codes == unseen[0])[0])
        raise DataError(
            f"{name(row)}: no training row has the class {str(distinct[unseen[0]])!r}; add some, or remove it"
        )
    return tuple(str(value) for value in distinct.tolist()), codes.astype(np.int64)


def _one_hot(values: Array, name: Name) -> tuple[tuple[str, ...], Array]:
    wrong = np.flatnonzero(~(np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)))
    if len(wrong):
        raise DataError(
            f"{name(int(wrong[0]))}: {values[int(wrong[0])].tolist()} is no class; expected one number a row, or"
            " rows of 0 with a single 1"
        )
    return tuple(str(number) for number in range(values.shape[1])), values.argmax(axis=1).astype(np.int64)
