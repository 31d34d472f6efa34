"""The small data sets inside scikit-learn: they need neither files nor a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.schema import SklearnData
from tuner.data.decoded import ArrayRows, Decoded, Request, Rows, TableRows
from tuner.data.encoders import ImageEncoder
from tuner.data.targets import resolve_task

DIGITS_PEAK = 16.0


def files(data: SklearnData, base_dir: Path) -> tuple[Path, ...]:  # noqa: ARG001 - the interface of all sources
    return ()


def read(data: SklearnData, request: Request) -> Decoded:
    from sklearn import datasets

    if data.kind == "diabetes":
        bunch = datasets.load_diabetes(scaled=False)
        task = resolve_task(data.kind, own="regression", wanted=request.task)
        targets = bunch.target.astype(np.float32).reshape(-1, 1)
        return Decoded(task=task, labels=(), rows=_table(bunch), targets=targets)
    load = {
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
        "breast_cancer": datasets.load_breast_cancer,
    }[data.kind]
    bunch = load()
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    rows: Rows = _digits(bunch) if data.kind == "digits" else _table(bunch)
    labels = tuple(str(name) for name in bunch.target_names)
    return Decoded(task=task, labels=labels, rows=rows, targets=bunch.target.astype(np.int64))


def _digits(bunch: Any) -> ArrayRows:
    images = bunch.images.astype(np.uint8)[:, None]
    return ArrayRows(array=images, encoder=ImageEncoder(shape=(1, 8, 8)), peak=DIGITS_PEAK)


def _table(bunch: Any) -> TableRows:
    values = bunch.data.astype(np.float64)
    return TableRows(columns={str(name): values[:, column] for column, name in enumerate(bunch.feature_names)})
