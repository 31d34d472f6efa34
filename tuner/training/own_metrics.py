"""Metrics of the user's own: functions of true targets and predictions."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.config.schema.metrics import OwnMetric
from tuner.data.describing import describe
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.registry import load_target
from tuner.training.metrics import checked
from tuner.training.own_errors import OwnCodeError
from tuner.training.predictions import Predictions


def own_values(
    functions: Mapping[str, OwnMetric], *, info: DataInfo, y_true: np.ndarray, scores: np.ndarray, base_dir: Path
) -> dict[str, float]:
    """What the functions say of one part of the data; nan where an output is not finite.

    They are called with true targets and predictions: classes [N], 0 and 1 for each label [N, K], numbers [N] or
    [N, T]; by name, where their signature has them, with `scores` (the probabilities [N, K]) and `labels`. Raises
    OwnCodeError when one raises or gives no number, with its place.
    """
    if not functions:
        return {}
    if info.task == "language":
        names = ", ".join(functions)
        raise ConfigError(f"metrics: {names}: language has no predictions to call a function with; take perplexity")
    of = checked([], task=info.task, y_true=y_true, scores=scores, labels=info.labels)
    if of is None:
        return dict.fromkeys(functions, math.nan)
    return {name: _value(name, function, of, base_dir) for name, function in functions.items()}


def _value(name: str, metric: OwnMetric, of: Predictions, base_dir: Path) -> float:
    where = f"metrics: {name}: {metric.target}"
    try:
        function = load_target(metric.target, base_dir)
        y_true, y_pred, offered = _arguments(of)
        asked = {key: value for key, value in offered.items() if key in _parameters(function)}
        found = function(y_true, y_pred, **asked, **metric.options)
    except ConfigError:
        raise
    except Exception as error:  # the user's code can raise anything
        raise OwnCodeError(f"{where} raised {describe(error)}") from error
    number = found.item() if isinstance(found, (torch.Tensor, np.ndarray)) and not found.shape else found
    if isinstance(number, numbers.Real):
        return float(number)
    raise OwnCodeError(f"{where} gave {type(found).__name__} {found!r:.60}; expected one number")


def _arguments(of: Predictions) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Copies: what a function writes into them is nobody else's affair."""
    if of.task in ("classification", "multilabel"):
        return of.y_true.copy(), of.y_pred.copy(), {"scores": of.probabilities.copy(), "labels": of.labels}
    y_true, y_pred = of.y_true.copy(), of.scores.copy()
    if of.task == "regression" and y_true.shape[1] == 1:
        y_true, y_pred = y_true[:, 0], y_pred[:, 0]
    return y_true, y_pred, {}


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-in callables have no signature
        return {}
