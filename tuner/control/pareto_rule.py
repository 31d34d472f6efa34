"""The median rule, and its general form, for several objectives: stop a trial that most complete ones are ahead of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.control.pareto import ranks

Vector = tuple[float, ...]


@dataclass(slots=True)
class _Reported:
    """The vectors of an open trial so far, and the best that it had of each objective."""

    vectors: dict[int, Vector] = field(default_factory=dict)
    best: Vector = ()
    last: int = -1
    before: int = -1

    def add(self, epoch: int, vector: Vector) -> None:
        self.vectors[epoch] = vector
        self.best = tuple(map(min, self.best, vector)) if self.best else vector
        self.before = max(self.before, min(epoch, self.last))
        self.last = max(self.last, epoch)


@dataclass(slots=True, kw_only=True)
class ParetoRule:
    """Stops a trial when more than `percentile` per cent of the complete ones are ahead of it at the same epoch.

    The trial, with the best it has had of each objective, is ranked among the vectors that the complete trials had
    after that epoch (non-dominated sort); ahead of it are those of a better rank. With one objective that is the
    median rule but for the ties. A trial that nothing dominates is never stopped. The other options are those of
    `tuner.control.percentile.PercentileRule`.
    """

    percentile: float
    n_startup_trials: int
    n_warmup_epochs: int
    interval_epochs: int
    n_min_trials: int
    signs: Vector
    """1 for an objective that is minimised, -1 for one that is maximised."""
    _open: dict[int, _Reported] = field(default_factory=dict)
    _levels: dict[int, list[Vector]] = field(default_factory=dict)
    _n_complete: int = 0

    def report(self, trial: int, epoch: int, values: Sequence[float]) -> None:
        """Take in the objectives of an epoch; one that is already known is left as it was."""
        reported = self._open.setdefault(trial, _Reported())
        if epoch not in reported.vectors:
            reported.add(epoch, tuple(sign * value for sign, value in zip(self.signs, values, strict=True)))

    def finish(self, trial: int, *, is_complete: bool) -> None:
        """Close a trial; others are compared with it when it is complete."""
        reported = self._open.pop(trial, None)
        if not is_complete:
            return
        self._n_complete += 1
        for epoch, vector in (reported.vectors if reported else {}).items():
            self._levels.setdefault(epoch, []).append(vector)

    def should_stop(self, trial: int) -> bool:
        """Whether the trial is behind, after its last reported epoch."""
        reported = self._open.get(trial)
        if reported is None or not self._n_complete or self._n_complete < self.n_startup_trials:
            return False
        if reported.last < self.n_warmup_epochs or not self._is_first_chance(reported):
            return False
        level = self._levels.get(reported.last, [])
        if not level or len(level) < self.n_min_trials:
            return False
        if not all(map(math.isfinite, reported.best)):
            return True
        own, *others = ranks(np.array([reported.best, *level]))
        n_ahead = sum(int(rank < own) for rank in others)
        return n_ahead > len(level) * self.percentile / 100.0

    def _is_first_chance(self, reported: _Reported) -> bool:
        begin = (reported.last - self.n_warmup_epochs) // self.interval_epochs * self.interval_epochs
        return reported.before < begin + self.n_warmup_epochs
