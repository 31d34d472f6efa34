"""Which rung is the first at which trials are compared.

Source: PASHA (Bohdal et al. 2023, arXiv 2207.06940), which asks whether the order of the trials at a rung is that at
the next one, with soft ranks: trials closer than the noise are equal, and the noise is read from curves that cross and
cross back. Deviations: PASHA raises the last rung, here it is the first that moves, away from epochs whose order says
nothing about the later one; the later order is that of the highest rung with enough trials; and the order disagrees
when it clearly does, by Kendall's tau and its standard error, since trials that came far are few and much alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MIN_TRIALS = 9
"""Trials that a rung needs before its order counts."""
MAX_TRIALS = 100
"""The newest ones that are compared: a bound for the time that it takes."""
LEAST_AGREEMENT = 0.3
"""Soft tau between a rung and the later one, below which (by one standard error) nothing is decided at that rung."""
NOISE_QUANTILE = 0.9

Curves = Mapping[int, Mapping[int, float]]
"""Objective (lower is better) by trial and epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well the order at one rung agrees with that at a later one."""

    level: int
    later: int
    n_trials: int
    tau: float
    """1 for the same order, -1 for the reverse, of the pairs that differ by more than the noise."""
    noise: float

    @property
    def is_enough(self) -> bool:
        return self.tau + _standard_error(self.n_trials) >= LEAST_AGREEMENT


@dataclass(slots=True, kw_only=True)
class FirstRung:
    """A function of the curves alone: it may move back when more of them say otherwise."""

    rungs: Sequence[int]
    """Their epochs."""
    n_candidates: int
    """Rungs, from the lowest, that may be the first."""
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
            agreeing = (seen.level for seen in self._seen if seen.is_enough)
            self._level = next(agreeing, max((seen.level for seen in self._seen), default=0))
            self._is_stale = False
        return self._level

    def _compare(self, values: Sequence[Mapping[int, float]], curves: Curves) -> list[Agreement]:
        """Every candidate with the highest level that has enough trials."""
        finite = [{trial: value for trial, value in level.items() if math.isfinite(value)} for level in values]
        later = max((level for level, found in enumerate(finite) if len(found) >= MIN_TRIALS), default=0)
        return [_agreement(level, later, finite, curves) for level in range(min(later, self.n_candidates))]

    def explain(self) -> list[str]:
        """Why the first rung is where it is, as of the last question for it."""
        why = [self._explain(seen) for seen in self._seen[: self._level + 1]]
        return [
            f"first rung: epoch {self.rungs[self._level]}" + ("" if why else ", until more trials came further"),
            *why,
        ]

    def _explain(self, seen: Agreement) -> str:
        later = f"epoch {self.rungs[seen.later]}" if seen.later < len(self.rungs) else "the end"
        verdict = "agrees with" if seen.is_enough else "does not agree with"
        return (
            f"  the order at epoch {self.rungs[seen.level]} {verdict} that at {later}"
            f" (tau {seen.tau:.2f} over {seen.n_trials} trials, differences below {seen.noise:.3g} are noise)"
        )


def _agreement(level: int, later: int, values: Sequence[Mapping[int, float]], curves: Curves) -> Agreement:
    common = sorted(values[level].keys() & values[later].keys())[-MAX_TRIALS:]
    before, after = (np.array([values[at][trial] for trial in common]) for at in (level, later))
    noise = noise_of([curves[trial] for trial in common], after)
    return Agreement(level=level, later=later, n_trials=len(common), tau=soft_tau(before, after, noise), noise=noise)


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


def _standard_error(n: int) -> float:
    """Of Kendall's tau, when there is no agreement."""
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))) if n > 1 else math.inf
