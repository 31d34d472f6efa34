"""The metrics of `tuner.config.metrics`, computed by scikit-learn: what a number means and what exports are checked by.

Epochs are measured by `fast_metrics`, to the same bits. Those of language are sums over tokens, and the same in both.
Shapes: N rows, K classes or labels, T target columns, M tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.config.metrics import TOP_K, find, metrics_of
from tuner.errors import ConfigError, Place
from tuner.training.predictions import Predictions
from tuner.training.sklearn_metrics import class_function
from tuner.training.sklearn_regression import QUANTITIES

CHEAP: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy"),
    "multilabel": ("f1_macro", "subset_accuracy", "hamming_loss"),
    "regression": ("mse", "rmse", "mae", "r2"),
    "autoencoding": ("mse",),
    "language": ("accuracy", "perplexity"),
}
"""Recorded every epoch, unless the file says which: nearly free in `fast_metrics`."""


def names_for(task: str) -> tuple[str, ...]:
    """Every metric of the task, without `loss`, which the training loop has itself."""
    return tuple(name for name in metrics_of(task) if name != "loss")


def recorded_for(
    task: str, objective: str, others: Iterable[str] = (), chosen: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The metrics to record each epoch: the objective's, others that are needed, and the `chosen` or the cheap ones.

    Raises ConfigError when one of them belongs to another task.
    """
    names = names_for(task)
    wanted = {objective, *others, *(CHEAP[task] if chosen is None else chosen)} - {"loss"}
    for name in sorted(wanted):
        info = find(name)
        if info is None or task not in info.tasks:
            message = f"{name} is not a metric of {task}; use loss, {', '.join(names)}"
            raise ConfigError.of([Place(path="objective.metric", message=message)])
    return tuple(name for name in names if name in wanted) + tuple(sorted(wanted - set(names)))


def compute(
    names: Sequence[str],
    *,
    task: str,
    y_true: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    labels: tuple[str, ...] = (),
) -> dict[str, float]:
    """Compute metrics by name, to the same bits each time; targets and scores as `Predictions` has them.

    A metric is nan when it is not defined: roc_auc and average_precision without a row of every class, r2 for one row,
    and all of them when a score is not finite.
    """
    predictions = checked(names, task=task, y_true=y_true, scores=scores, labels=labels)
    if predictions is None:
        return dict.fromkeys(names, math.nan)
    return {name: function_of(name, task)(predictions) for name in names}


def checked(
    names: Sequence[str],
    *,
    task: str,
    y_true: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    labels: tuple[str, ...] = (),
) -> Predictions | None:
    """What the named metrics are computed from, in float64; None when a score is not finite."""
    unknown = [name for name in names if name == "loss" or (info := find(name)) is None or task not in info.tasks]
    if unknown:
        raise ValueError(f"no metrics of {task}: {unknown}")
    if not np.isfinite(scores).all():
        return None
    is_quantity = task in ("regression", "autoencoding")
    targets = y_true.astype(np.float64 if is_quantity else np.int64, copy=False)
    return Predictions(task=task, y_true=targets, scores=scores.astype(np.float64), labels=labels)


def function_of(name: str, task: str) -> Callable[[Predictions], float]:
    """The metric of a name that belongs to the task."""
    if task == "language":
        return token_function(name)
    return QUANTITIES[name] if name in QUANTITIES else class_function(name)


def token_function(name: str) -> Callable[[Predictions], float]:
    """The metric of tokens of that name."""
    if name == "perplexity":
        return _perplexity
    found = TOP_K.fullmatch(name)
    return partial(_among, int(found[1]) if found else 1)


def _among(k: int, of: Predictions) -> float:
    """Tokens that are among the `k` likeliest where they stand."""
    return float(np.count_nonzero(of.y_true < k) / len(of.y_true))


def _perplexity(of: Predictions) -> float:
    """Between how many equally likely tokens one would be as unsure: e to the mean surprise."""
    with np.errstate(over="ignore"):
        return float(np.exp(np.mean(of.scores)))
