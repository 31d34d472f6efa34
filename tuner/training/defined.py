"""Whether a metric has a value at all on the rows that validate, whatever is predicted for them.

N rows, K classes or labels, T target columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from tuner.data.info import DataInfo
from tuner.training.sklearn_regression import LOWEST_LOGGED, MIN_ROWS_R2

OF_EVERY_CLASS = ("roc_auc", "average_precision")
AGREEMENT = ("cohen_kappa", "quadratic_kappa")
OF_SEVERAL_ROWS = ("r2", "explained_variance")
CHECKED = (*OF_EVERY_CLASS, *AGREEMENT, *OF_SEVERAL_ROWS, "rmsle")
"""The metrics that some targets leave without a value; see `tuner.training.metrics.compute`."""
MAX_NAMED = 5


def undefined_on(name: str, info: DataInfo, targets: Tensor) -> str:
    """Why a metric has no value on rows with these targets, and what to do; empty when it has one."""
    y_true = targets.cpu().numpy()
    if name in OF_EVERY_CLASS:
        return _without_a_class(name, info, y_true)
    if name in AGREEMENT and np.unique(y_true).size == 1:
        return _text(name, f"all {len(y_true)} of its rows are of class {info.labels[int(y_true[0])]!r}", "accuracy")
    if name in OF_SEVERAL_ROWS and len(y_true) < MIN_ROWS_R2:
        return _text(name, f"it has {len(y_true)} row", "rmse")
    if name == "rmsle" and (least := float(y_true.min())) <= LOWEST_LOGGED:
        return _text(name, f"it has a target of {least:g}, and 1 + y has no logarithm there", "rmse")
    return ""


def _without_a_class(name: str, info: DataInfo, y_true: np.ndarray) -> str:
    n_rows = len(y_true)
    if info.task == "multilabel":
        n_with = y_true.astype(np.int64).sum(axis=0)
        never, always = np.flatnonzero(n_with == 0), np.flatnonzero(n_with == n_rows)
        if len(never):
            return _text(name, f"none of its {n_rows} rows has {_named(info, never)}", "log_loss")
        return _text(name, f"all {n_rows} of its rows have {_named(info, always)}", "log_loss") if len(always) else ""
    missing = np.setdiff1d(np.arange(info.n_targets), y_true)
    if not len(missing):
        return ""
    return _text(name, f"none of its {n_rows} rows is of class {_named(info, missing)}", "log_loss")


def _named(info: DataInfo, numbers: Sequence[int] | np.ndarray) -> str:
    names = [repr(info.labels[int(number)]) for number in numbers[:MAX_NAMED]]
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return ", ".join(names) + more


def _text(name: str, why: str, other: str) -> str:
    return (
        f"{name} has no value on the validation part: {why}; give that part other rows (data.split), or take a metric "
        f"that has one there, such as {other}"
    )
