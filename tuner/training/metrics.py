"""The metrics of `tuner.config.metrics`, computed by scikit-learn: what a number means and what exports are checked by.

Epochs are measured by `fast_metrics`, to the same bits. Shapes: N rows, K classes, T target columns. scikit-learn is
imported on first use (3.2 CPU seconds with all it pulls in).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.config.metrics import metrics_of
from tuner.errors import ConfigError, Place

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
N_BINARY = 2
MIN_ROWS_R2 = 2
"""One row has no variance."""

CHEAP: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy"),
    "regression": ("mse", "rmse", "mae", "r2"),
    "multilabel": (),
    "autoencoding": ("mse",),
    "language": (),
}
"""Recorded every epoch, whatever the objective is: nearly free in `fast_metrics`."""


@dataclass(frozen=True, kw_only=True)  # without slots: cached_property needs a __dict__
class Predictions:
    """True classes y_N and class probabilities [N, K], or true targets and predictions, both [N, T]."""

    y_true: npt.NDArray[Any]
    scores: Floats

    @cached_property
    def y_pred(self) -> npt.NDArray[np.intp]:
        classes: npt.NDArray[np.intp] = self.scores.argmax(axis=1)
        return classes

    @cached_property
    def probabilities(self) -> Floats:
        """Rows that sum to 1 in float64: float32 rows do not, and scikit-learn warns or refuses."""
        normalised: Floats = self.scores / self.scores.sum(axis=1, keepdims=True)
        return normalised

    @cached_property
    def is_right(self) -> npt.NDArray[np.bool_]:
        right: npt.NDArray[np.bool_] = self.y_true == self.y_pred
        return right

    @cached_property
    def n_right(self) -> Integers:
        """Rows of each class [K] that were recognised."""
        return self._count(self.y_true[self.is_right])

    @cached_property
    def n_true(self) -> Integers:
        return self._count(self.y_true)

    @cached_property
    def n_predicted(self) -> Integers:
        return self._count(self.y_pred)

    @property
    def is_seen(self) -> npt.NDArray[np.bool_]:
        """Classes [K] that have a row or were predicted: those that macro averages are over."""
        seen: npt.NDArray[np.bool_] = self.n_true + self.n_predicted > 0
        return seen

    def _count(self, classes: npt.NDArray[Any]) -> Integers:
        return np.bincount(classes, minlength=self.scores.shape[1])

    @property
    def labels(self) -> range:
        return range(self.scores.shape[1])

    @property
    def has_every_class(self) -> bool:
        return bool(np.unique(self.y_true).size == self.scores.shape[1])


def names_for(task: str) -> tuple[str, ...]:
    """Every metric of the task, without `loss`, which the training loop has itself."""
    return tuple(name for name in metrics_of(task) if name != "loss")


def recorded_for(task: str, objective: str, others: Iterable[str] = ()) -> tuple[str, ...]:
    """The metrics to record each epoch: the objective's, others that are named, and the cheap ones.

    Raises ConfigError when one of them belongs to another task.
    """
    names = names_for(task)
    wanted = {objective, *others}
    for name in sorted(wanted):
        if name != "loss" and name not in names:
            message = f"{name} is not a metric of {task}; use loss, {', '.join(names)}"
            raise ConfigError.of([Place(path="objective.metric", message=message)])
    return tuple(name for name in names if name in wanted or name in CHEAP[task])


def compute(names: Sequence[str], *, task: str, y_true: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, float]:
    """Compute metrics by name, to the same bits each time.

    Classification: integers y_true [N] and probabilities [N, K]; regression: both [N, T]. A metric is nan when it is
    not defined: roc_auc and average_precision without a row of every class, r2 for one row, and all of them when a
    score is not finite.
    """
    predictions = checked(names, task=task, y_true=y_true, scores=scores)
    if predictions is None:
        return dict.fromkeys(names, math.nan)
    return {name: FUNCTIONS[name](predictions) for name in names}


def checked(
    names: Sequence[str], *, task: str, y_true: npt.NDArray[Any], scores: npt.NDArray[Any]
) -> Predictions | None:
    """What the named metrics are computed from, in float64; None when a score is not finite."""
    unknown = [name for name in names if name not in names_for(task)]
    if unknown:
        raise ValueError(f"no metrics of {task}: {unknown}")
    if not np.isfinite(scores).all():
        return None
    targets = y_true if task == "classification" else y_true.astype(np.float64)
    return Predictions(y_true=targets, scores=scores.astype(np.float64))


def _accuracy(of: Predictions) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(of.y_true, of.y_pred))


def _balanced_accuracy(of: Predictions) -> float:
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        # A class that has no row here can still be predicted; it does not count.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true", category=UserWarning)
        warnings.filterwarnings("ignore", message="A single label was found", category=UserWarning)
        return float(balanced_accuracy_score(of.y_true, of.y_pred))


def _precision_macro(of: Predictions) -> float:
    from sklearn.metrics import precision_score

    return float(precision_score(of.y_true, of.y_pred, average="macro", zero_division=0))


def _recall_macro(of: Predictions) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(of.y_true, of.y_pred, average="macro", zero_division=0))


def _f1_macro(of: Predictions) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(of.y_true, of.y_pred, average="macro", zero_division=0))


def _f1_weighted(of: Predictions) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(of.y_true, of.y_pred, average="weighted", zero_division=0))


def _roc_auc(of: Predictions) -> float:
    """Area under the ROC curve of class 1, or the mean over one-vs-rest curves."""
    from sklearn.metrics import roc_auc_score

    if not of.has_every_class:
        return math.nan
    if of.scores.shape[1] == N_BINARY:
        return float(roc_auc_score(of.y_true, of.probabilities[:, 1]))
    return float(roc_auc_score(of.y_true, of.probabilities, multi_class="ovr", average="macro"))


def _average_precision(of: Predictions) -> float:
    """Average precision of class 1, or the mean over one-vs-rest curves."""
    from sklearn.metrics import average_precision_score

    if not of.has_every_class:
        return math.nan
    binary = of.scores.shape[1] == N_BINARY
    return float(
        average_precision_score(of.y_true, of.probabilities[:, 1] if binary else of.probabilities, average="macro")
    )


def _log_loss(of: Predictions) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(of.y_true, of.probabilities, labels=of.labels))


def _mse(of: Predictions) -> float:
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(of.y_true, of.scores))


def _rmse(of: Predictions) -> float:
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(of.y_true, of.scores))


def _mae(of: Predictions) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(of.y_true, of.scores))


def _r2(of: Predictions) -> float:
    from sklearn.metrics import r2_score

    if len(of.y_true) < MIN_ROWS_R2:
        return math.nan
    return float(r2_score(of.y_true, of.scores))


FUNCTIONS: dict[str, Callable[[Predictions], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "precision_macro": _precision_macro,
    "recall_macro": _recall_macro,
    "f1_macro": _f1_macro,
    "f1_weighted": _f1_weighted,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "mse": _mse,
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
}
"""The metric of every name in METRICS but loss."""
