"""The median rule and its general form: stop a trial that is behind a percentile of the complete ones.

Decisions are those of Optuna's PercentilePruner (and MedianPruner, its 50th percentile), which sorts the values of all
trials anew at every report; here they are kept sorted by epoch.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

NO_EPOCH = -1
HALF = 0.5


@dataclass(slots=True)
class _Reported:
    """The curve of an open trial so far."""

    values: dict[int, float] = field(default_factory=dict)
    best: float = math.nan
    last: int = NO_EPOCH
    before: int = NO_EPOCH
    """The last epoch but one, which tells whether this is the first chance of an interval."""

    def add(self, epoch: int, value: float) -> None:
        self.values[epoch] = value
        if not self.best <= value:  # nan too: the first value that is one
            self.best = self.best if math.isnan(value) else value
        self.before = max(self.before, min(epoch, self.last))
        self.last = max(self.last, epoch)


@dataclass(slots=True)
class _Level:
    """What complete trials had after one epoch: sorted, without nan, which is only counted."""

    values: list[float] = field(default_factory=list)
    n: int = 0

    def add(self, value: float) -> None:
        self.n += 1
        if not math.isnan(value):
            insort(self.values, value)


@dataclass(slots=True, kw_only=True)
class PercentileRule:
    """Stops a trial whose best value so far is not in the best `percentile` per cent of the complete ones' values.

    Nothing is stopped before `n_startup_trials` are complete, before `n_warmup_epochs`, at an epoch that fewer than
    `n_min_trials` complete trials have, and more than once in `interval_epochs`.
    """

    percentile: float
    n_startup_trials: int
    n_warmup_epochs: int
    interval_epochs: int
    n_min_trials: int
    maximize: bool
    _open: dict[int, _Reported] = field(default_factory=dict)
    _levels: dict[int, _Level] = field(default_factory=dict)
    _n_complete: int = 0

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Take in the value of an epoch; one that is already known is left as it was."""
        reported = self._open.setdefault(trial, _Reported())
        if epoch not in reported.values:
            reported.add(epoch, -value if self.maximize else value)

    def finish(self, trial: int, *, is_complete: bool) -> None:
        """Close a trial; others are compared with it when it is complete."""
        reported = self._open.pop(trial, None)
        if not is_complete:
            return
        self._n_complete += 1
        for epoch, value in (reported.values if reported else {}).items():
            self._levels.setdefault(epoch, _Level()).add(value)

    def should_stop(self, trial: int) -> bool:
        """Whether the trial is behind, after its last reported epoch."""
        reported = self._open.get(trial)
        if reported is None or not self._n_complete or self._n_complete < self.n_startup_trials:
            return False
        if reported.last < self.n_warmup_epochs or not self._is_first_chance(reported):
            return False
        return math.isnan(reported.best) or reported.best > self._limit(reported.last)

    def _is_first_chance(self, reported: _Reported) -> bool:
        begin = (reported.last - self.n_warmup_epochs) // self.interval_epochs * self.interval_epochs
        return reported.before < begin + self.n_warmup_epochs

    def _limit(self, epoch: int) -> float:
        """The percentile, which nothing exceeds when it is nan."""
        level = self._levels.get(epoch)
        if level is None or level.n < self.n_min_trials or not level.values:
            return math.nan
        return interpolated(level.values, self.percentile / 100.0)


def interpolated(values: list[float], share: float) -> float:
    """The quantile of sorted values, with the arithmetic of numpy.percentile, to the last bit."""
    position = (len(values) - 1) * share
    index = math.floor(position)
    low, high = values[index], values[min(index + 1, len(values) - 1)]
    weight = position - index
    return high - (high - low) * (1.0 - weight) if weight >= HALF else low + (high - low) * weight
