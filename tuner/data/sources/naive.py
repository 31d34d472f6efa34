"""What a forecast has to beat: the last value that is seen, and the value of a season ago.

R rows of the table, N windows, W rows of one, H rows after it, T columns to predict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tuner.data.scaling import Array
from tuner.data.splits import Indices

Baselines = Mapping[str, Mapping[str, float]]
"""`<split>/<metric>` of each way of guessing, by its name."""


def naive_forecasts(
    target_RT: Array, windows: Mapping[str, Indices], *, window: int, horizon: int, season: int | None, first: Indices
) -> Baselines:
    """The errors of guessing, by the rows in which the windows of each part begin.

    `first` is the first row of each row's segment: a window whose season ago is before it does not count.
    """
    steps_H = np.arange(horizon)
    ways = {"last value": np.full(horizon, -1)}
    if season is not None:
        ways[f"value {season} rows ago"] = steps_H - season * (1 + steps_H // season)
    found: dict[str, dict[str, float]] = {}
    for way, offsets_H in ways.items():
        errors: dict[str, float] = {}
        for part, starts_N in windows.items():
            usable_N = starts_N[starts_N + window + offsets_H.min() >= first[starts_N]]
            if len(usable_N):
                next_N1 = usable_N[:, None] + window
                error_NHT = target_RT[next_N1 + offsets_H] - target_RT[next_N1 + steps_H]
                errors[f"{part}/mae"] = float(np.mean(np.abs(error_NHT)))
                errors[f"{part}/rmse"] = float(np.mean(np.sqrt(np.mean(error_NHT**2, axis=0))))
        if errors:
            found[way] = errors
    return found
