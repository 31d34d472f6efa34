"""The metrics and costs that a search can optimise: their direction and the tasks they belong to.

Only names live here, so that a space file can be checked without importing scikit-learn; the functions are in
`tuner.training.metrics`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TASKS = ("classification", "regression", "multilabel", "autoencoding", "language")
_Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """Which way is better, and for which tasks the metric is defined."""

    direction: _Direction
    tasks: tuple[str, ...] = TASKS

    @property
    def text(self) -> str:
        """The tasks, for people."""
        return " and ".join(self.tasks)


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics that are defined for a task, the loss first."""
    return tuple(name for name, info in METRICS.items() if task in info.tasks)


def _of(tasks: tuple[str, ...], direction: _Direction = "maximize") -> MetricInfo:
    return MetricInfo(direction=direction, tasks=tasks)


_CLASSES = ("classification",)
_LABELS = ("multilabel",)
_EITHER = ("classification", "multilabel")
_CHOSEN = ("classification", "language")
_NUMBERS = ("regression",)
_VALUES = ("regression", "autoencoding")

METRICS: dict[str, MetricInfo] = {
    "loss": MetricInfo(direction="minimize"),
    "accuracy": _of(_CHOSEN),
    "balanced_accuracy": _of(_CLASSES),
    "top_3_accuracy": _of(_CHOSEN),
    "top_5_accuracy": _of(_CHOSEN),
    "precision": _of(_CLASSES),
    "recall": _of(_CLASSES),
    "f1": _of(_CLASSES),
    "precision_macro": _of(_EITHER),
    "recall_macro": _of(_EITHER),
    "f1_macro": _of(_EITHER),
    "precision_micro": _of(_EITHER),
    "recall_micro": _of(_EITHER),
    "f1_micro": _of(_EITHER),
    "precision_weighted": _of(_EITHER),
    "recall_weighted": _of(_EITHER),
    "f1_weighted": _of(_EITHER),
    "precision_samples": _of(_LABELS),
    "recall_samples": _of(_LABELS),
    "f1_samples": _of(_LABELS),
    "jaccard_macro": _of(_EITHER),
    "jaccard_samples": _of(_LABELS),
    "subset_accuracy": _of(_LABELS),
    "hamming_loss": _of(_LABELS, "minimize"),
    "matthews_corrcoef": _of(_CLASSES),
    "cohen_kappa": _of(_CLASSES),
    "quadratic_kappa": _of(_CLASSES),
    "ordinal_mae": _of(_CLASSES, "minimize"),
    "roc_auc": _of(_EITHER),
    "average_precision": _of(_EITHER),
    "log_loss": _of(_EITHER, "minimize"),
    "brier": _of(_EITHER, "minimize"),
    "mse": _of(_VALUES, "minimize"),
    "rmse": _of(_VALUES, "minimize"),
    "mae": _of(_VALUES, "minimize"),
    "r2": _of(_VALUES),
    "mape": _of(_NUMBERS, "minimize"),
    "rmsle": _of(_NUMBERS, "minimize"),
    "median_ae": _of(_VALUES, "minimize"),
    "max_error": _of(_VALUES, "minimize"),
    "explained_variance": _of(_VALUES),
    "perplexity": _of(("language",), "minimize"),
}

TOP_K = re.compile(r"top_([2-9]|[1-9]\d{1,3})_accuracy")
"""Any number of guesses; METRICS lists two of them."""
OF_CLASS = re.compile(r"(precision|recall|f1)_of_(.+)")
"""Of one class or label, by its name, such as recall_of_spam."""


def find(name: str) -> MetricInfo | None:
    """A metric by name, those with a number or a class in it too; None when there is none of that name."""
    if TOP_K.fullmatch(name):
        return _of(_CHOSEN)
    return _of(_EITHER) if OF_CLASS.fullmatch(name) else METRICS.get(name)


def unusable(name: str, *, task: str, labels: tuple[str, ...], n_targets: int) -> str:
    """Why data of a task, with these classes, has no such metric; empty when it has."""
    info = find(name)
    if info is not None and task not in info.tasks:
        return f"{name} is not a metric of {task}, which the data is for"
    of_class, top_k = OF_CLASS.fullmatch(name), TOP_K.fullmatch(name)
    if of_class and of_class[2] not in labels:
        return f"{name}: the data has no class {of_class[2]!r}; its classes are {', '.join(labels[:20])}"
    if top_k and int(top_k[1]) >= n_targets:
        return f"{name} is always 1 for {n_targets} classes; take accuracy, or a smaller number"
    if name in ("precision", "recall", "f1") and n_targets != 2:  # noqa: PLR2004 - of class 1, against class 0
        return f"{name} is of the second of two classes, and the data has {n_targets}; take {name}_macro"
    return ""


COSTS: dict[str, MetricInfo] = {
    "params": MetricInfo(direction="minimize"),
    "latency_ms": MetricInfo(direction="minimize"),
    "epoch_seconds": MetricInfo(direction="minimize"),
}
"""What a model costs: trainable parameters, milliseconds of one forward pass of a batch, seconds of an epoch.

They belong to no part of the data, and do not tell one epoch from another: a search needs a metric beside them.
"""


TIMED = ("latency_ms", "epoch_seconds")
"""Costs that differ from run to run."""


def recorded_as(name: str) -> str:
    """The key under which the curve of a trial has a metric or cost."""
    return name if name in COSTS else f"val/{name}"
