"""The metrics of quantities as scikit-learn computes them: over several targets the mean of each one's.

Of autoencoders, whose values are many and of which some hardly vary, r2 and explained_variance are those of all values
together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tuner.training.predictions import Predictions

MIN_ROWS_R2 = 2
"""One row has no variance."""
LOWEST_LOGGED = -1.0
"""rmsle takes the logarithm of 1 + y."""


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
    return float(r2_score(of.y_true, of.scores, multioutput=_average_of(of)))


def _mape(of: Predictions) -> float:
    from sklearn.metrics import mean_absolute_percentage_error

    return float(mean_absolute_percentage_error(of.y_true, of.scores))


def _rmsle(of: Predictions) -> float:
    """Not defined for targets or predictions of -1 and less."""
    from sklearn.metrics import root_mean_squared_log_error

    if is_below_logarithm(of):
        return math.nan
    return float(root_mean_squared_log_error(of.y_true, of.scores))


def is_below_logarithm(of: Predictions) -> bool:
    """Whether a value has no logarithm of 1 + y."""
    return bool(min(of.y_true.min(), of.scores.min()) <= LOWEST_LOGGED)


def _median_ae(of: Predictions) -> float:
    from sklearn.metrics import median_absolute_error

    return float(median_absolute_error(of.y_true, of.scores))


def _max_error(of: Predictions) -> float:
    """scikit-learn's takes one target; of several the mean of theirs."""
    from sklearn.metrics import max_error

    return float(np.mean([max_error(of.y_true[:, t], of.scores[:, t]) for t in range(of.n_classes)]))


def _explained_variance(of: Predictions) -> float:
    from sklearn.metrics import explained_variance_score

    if len(of.y_true) < MIN_ROWS_R2:
        return math.nan
    return float(explained_variance_score(of.y_true, of.scores, multioutput=_average_of(of)))


def _average_of(of: Predictions) -> str:
    """Of an autoencoder's many values the shares of the whole variance: one that never varies has none to explain."""
    return "variance_weighted" if of.task == "autoencoding" else "uniform_average"


QUANTITIES: dict[str, Callable[[Predictions], float]] = {
    "mse": _mse,
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
    "mape": _mape,
    "rmsle": _rmsle,
    "median_ae": _median_ae,
    "max_error": _max_error,
    "explained_variance": _explained_variance,
}
