"""What a whole part of the data comes to by class, label or target: plain data for JSON.

`{"labels", "precision", "recall", "f1", "support", "confusion"}`, each a list with one entry a class. `confusion[i][j]`
is the number of rows of class i that were taken for class j; for labels `confusion[k]` is
`[[without it and not said, without it but said], [with it but not said, with it and said]]`. Of several targets
`{"targets", "mse", "mae", "r2"}`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.data.info import DataInfo
from tuner.training.fast_metrics import compute_fast, of_each_class
from tuner.training.metrics import checked
from tuner.training.predictions import Predictions

MAX_CONFUSED = 100
"""A matrix of more classes is not looked at, and has as many entries as a small model."""
MAX_TARGETS = 100


def details_of(info: DataInfo, *, y_true: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, Any] | None:
    """The details of classes, labels or several targets; None for other tasks, and where an output is not finite."""
    if info.task in ("classification", "multilabel"):
        predictions = checked([], task=info.task, y_true=y_true, scores=scores, labels=info.labels)
        return None if predictions is None else _of_classes(predictions)
    if info.task == "regression" and 1 < info.n_targets <= MAX_TARGETS and np.isfinite(scores).all():
        return _of_targets(y_true, scores)
    return None


def _of_classes(of: Predictions) -> dict[str, Any]:
    found: dict[str, Any] = {"labels": list(of.labels)}
    found |= {name: of_each_class(name, of).tolist() for name in ("precision", "recall", "f1")}
    found["support"] = of.n_true.tolist()
    if of.n_classes <= MAX_CONFUSED:
        found["confusion"] = of.confusion.tolist()
    return found


def _of_targets(y_true: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, Any]:
    names = ("mse", "mae", "r2")
    columns = range(y_true.shape[1])
    each = [compute_fast(names, task="regression", y_true=y_true[:, [t]], scores=scores[:, [t]]) for t in columns]
    values = {name: [value if math.isfinite(value := found[name]) else None for found in each] for name in names}
    return {"targets": [str(t) for t in columns], **values}
