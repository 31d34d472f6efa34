"""The metrics and costs that a search can optimise: their direction and the task they belong to.

Only names live here, so that a space file can be checked without importing scikit-learn; the functions are in
`tuner.training.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """Which way is better, and for which task the metric is defined."""

    direction: Literal["maximize", "minimize"]
    task: Literal["any", "classification", "regression"]


def _classification(direction: Literal["maximize", "minimize"] = "maximize") -> MetricInfo:
    return MetricInfo(direction=direction, task="classification")


def _regression(direction: Literal["maximize", "minimize"] = "minimize") -> MetricInfo:
    return MetricInfo(direction=direction, task="regression")


METRICS: dict[str, MetricInfo] = {
    "loss": MetricInfo(direction="minimize", task="any"),
    "accuracy": _classification(),
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
    "params": MetricInfo(direction="minimize", task="any"),
    "latency_ms": MetricInfo(direction="minimize", task="any"),
    "epoch_seconds": MetricInfo(direction="minimize", task="any"),
}
"""What a model costs: trainable parameters, milliseconds of one forward pass of a batch, seconds of an epoch.

They belong to no part of the data, and do not tell one epoch from another: a search needs a metric beside them.
"""


TIMED = ("latency_ms", "epoch_seconds")
"""Costs that differ from run to run."""


def recorded_as(name: str) -> str:
    """The key under which the curve of a trial has a metric or cost."""
    return name if name in COSTS else f"val/{name}"
