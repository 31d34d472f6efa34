"""Which rung is the first at which trials are compared.

Source: PASHA (Bohdal et al. 2023, arXiv 2207.06940), which asks whether the order of the trials at a rung is that at
the next one, with soft ranks: trials closer than the noise are equal, and the noise is read from curves that cross and
cross back. Deviations: PASHA raises the last rung, here it is the first that moves; and it moves only where the order
clearly misleads (Kendall's tau below zero by two standard errors). One that says nothing costs little, since trials are
then promoted at random, and the few that came far are alike, so that they tell less of the order than all would.

On tables of learning curves (5 tasks, 4 seeds, random search, mean regret after 50 full trainings): .129 with the first
rung at epoch 1 for good, and .129 as here; with the order of the first two epochs reversed 1.183 and .229, and .209
with the first rung at epoch 3 for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MIN_TRIALS = 9
"""Trials that a rung needs before its order counts."""
MAX_TRIALS = 64
"""The newest ones that are compared: a bound for the time that it takes."""
CLEARLY = 2.0
"""Standard errors by which tau has to be below zero."""
NOISE_QUANTILE = 0.9

Curves = Mapping[int, Mapping[int, float]]
"""Objective (lower is better) by trial and epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well the order at a level agrees with that at the next one."""

    level: int
    n_trials: int
    tau: float
    """1 for the same order, -1 for the reverse, of the pairs that differ by more than the noise."""
    noise: float

    @property
    def misleads(self) -> bool:
        """By the standard error of tau where there is no agreement."""
        n = self.n_trials
        return self.tau < -CLEARLY * math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


@dataclass(slots=True, kw_only=True)
class FirstRung:
    """A function of the curves alone: it may move back when more of them say otherwise."""

    rungs: Sequence[int]
    """Their epochs."""
    n_highest: int
    """The highest level that may be the first."""
    _level: int = 0
    _seen: tuple[Agreement, ...] = ()
    _is_stale: bool = field(default=True)

    def changed(self) -> None:
        """Trials reached a rung, or left one."""
        self._is_stale = True

    def level(self, values: Sequence[Mapping[int, float]], curves: Curves) -> int:
        """The first level, given the value of every trial at each of the levels it reached."""
        if self._is_stale:
            self._seen = tuple(self._compare(values, curves))
            self._level = sum(seen.misleads for seen in self._seen)
            self._is_stale = False
        return self._level

    def _compare(self, values: Sequence[Mapping[int, float]], curves: Curves) -> Iterator[Agreement]:
        """Level after level, up to the first whose order does not mislead, or which is not known."""
        for level in range(min(self.n_highest, len(values) - 1)):
            seen = _agreement(level, values[level], values[level + 1], curves)
            if seen is None:
                return
            yield seen
            if not seen.misleads:
                return

    def explain(self) -> list[str]:
        """Why the first rung is where it is, as of the last question for it."""
        why = [self._explain(seen) for seen in self._seen]
        return [
            f"first rung: epoch {self.rungs[self._level]}" + ("" if why else ", until more trials came further"),
            *why,
        ]

    def _explain(self, seen: Agreement) -> str:
        later = f"epoch {self.rungs[seen.level + 1]}" if seen.level + 1 < len(self.rungs) else "the end"
        does = "misleads about" if seen.misleads else "does not mislead about"
        return (
            f"  the order at epoch {self.rungs[seen.level]} {does} that at {later}"
            f" (tau {seen.tau:.2f} over {seen.n_trials} trials, differences below {seen.noise:.3g} are noise)"
        )


def _agreement(level: int, before: Mapping[int, float], after: Mapping[int, float], curves: Curves) -> Agreement | None:
    """None while there are too few trials that have both values."""
    both = [trial for trial in sorted(before.keys() & after.keys()) if max(before[trial], after[trial]) < math.inf]
    if len(both) < MIN_TRIALS:
        return None
    newest = both[-MAX_TRIALS:]
    first, second = (np.array([values[trial] for trial in newest]) for values in (before, after))
    noise = noise_of([curves[trial] for trial in newest], second)
    return Agreement(level=level, n_trials=len(newest), tau=soft_tau(first, second, noise), noise=noise)


def soft_tau(before: NDArray[np.float64], after: NDArray[np.float64], noise: float) -> float:
    """Kendall's tau over the pairs whose later values differ by more than the noise; 1 when there is no such pair."""
    first, second = np.triu_indices(len(after), k=1)
    gap = after[first] - after[second]
    clear = np.abs(gap) > noise
    if not clear.any():
        return 1.0
    return float(np.mean(np.sign(before[first] - before[second])[clear] * np.sign(gap[clear])))


def noise_of(curves: Sequence[Mapping[int, float]], after: NDArray[np.float64]) -> float:
    """The distance below which most pairs lie whose curves cross and cross back; 0 when none do."""
    n_epochs = min((max(curve, default=0) for curve in curves), default=0)
    table = np.array([[curve.get(epoch, math.nan) for epoch in range(1, n_epochs + 1)] for curve in curves])
    first, second = np.triu_indices(len(curves), k=1)
    if n_epochs < 3 or not len(first):  # noqa: PLR2004  a curve that crosses back has three points
        return 0.0
    order = np.sign(table[first] - table[second])
    n_crossings = (order[:, 1:] * order[:, :-1] < 0).sum(axis=1)
    distances = np.abs(after[first] - after[second])[n_crossings > 1]
    return float(np.quantile(distances, NOISE_QUANTILE)) if len(distances) else 0.0
