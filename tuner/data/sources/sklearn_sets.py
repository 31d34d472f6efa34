"""The small data sets inside scikit-learn: they need no network, and their files are found inside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.schema import SklearnData
from tuner.data.decoded import ArrayRows, Decoded, Request, Rows, TableRows
from tuner.data.encoders import ImageEncoder
from tuner.data.sources import sklearn_files
from tuner.data.sources.sklearn_files import Table
from tuner.data.targets import resolve_task

DIGITS_PEAK = 16


def files(data: SklearnData, base_dir: Path) -> tuple[Path, ...]:  # noqa: ARG001 - the interface of all sources
    return ()


def read(data: SklearnData, request: Request) -> Decoded:
    table = sklearn_files.read(data.kind) or loaded(data.kind)
    if data.kind == "diabetes":
        task = resolve_task(data.kind, own="regression", wanted=request.task)
        targets = table.targets.astype(np.float32).reshape(-1, 1)
        return Decoded(task=task, labels=(), rows=_columns(table), targets=targets)
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    rows: Rows = _images(table) if data.kind == "digits" else _columns(table)
    return Decoded(task=task, labels=table.labels, rows=rows, targets=table.targets.astype(np.int64))


def loaded(kind: str) -> Table:
    """The data set as `sklearn.datasets` loads it."""
    from sklearn import datasets

    options = {"scaled": False} if kind == "diabetes" else {}
    bunch: Any = getattr(datasets, f"load_{kind}")(**options)
    return Table(
        values=bunch.data.astype(np.float64),
        targets=bunch.target,
        columns=tuple(map(str, bunch.feature_names)),
        labels=() if kind == "diabetes" else tuple(map(str, bunch.target_names)),
    )


def _images(table: Table) -> ArrayRows:
    images = table.values.astype(np.uint8).reshape(-1, 1, 8, 8)
    return ArrayRows(array=images, encoder=ImageEncoder(shape=(1, 8, 8), peak=DIGITS_PEAK), peak=DIGITS_PEAK)


def _columns(table: Table) -> TableRows:
    return TableRows(columns={name: table.values[:, column] for column, name in enumerate(table.columns)})
