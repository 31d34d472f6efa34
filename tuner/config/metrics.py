"""The metrics and costs that a search can optimise: their direction and the task they belong to.

Only names live here, so that a space file can be checked without importing scikit-learn; the functions are in
`tuner.training.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TASKS = ("classification", "regression", "multilabel", "autoencoding", "language")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """Which way is better, and for which tasks the metric is defined."""

    direction: Literal["maximize", "minimize"]
    tasks: tuple[str, ...] = TASKS

    @property
    def text(self) -> str:
        """The tasks, for people."""
        return " and ".join(self.tasks)


def _classification(direction: Literal["maximize", "minimize"] = "maximize") -> MetricInfo:
    return MetricInfo(direction=direction, tasks=("classification",))


def _regression(direction: Literal["maximize", "minimize"] = "minimize") -> MetricInfo:
    return MetricInfo(direction=direction, tasks=("regression", "autoencoding"))


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics that are defined for a task, the loss first."""
    return tuple(name for name, info in METRICS.items() if task in info.tasks)


METRICS: dict[str, MetricInfo] = {
    "loss": MetricInfo(direction="minimize"),
    "accuracy": MetricInfo(direction="maximize", tasks=("classification", "language")),
    "balanced_accuracy": _classification(),
    "precision_macro": _classification(),
    "recall_macro": _classification(),
    "f1_macro": _classification(),
    "f1_weighted": _classification(),
    "roc_auc": _classification(),
    "average_precision": _classification(),
    "log_loss": _classification("minimize"),
    "mse": _regression(),
    "rmse": _regression(),
    "mae": _regression(),
    "r2": _regression("maximize"),
}

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
