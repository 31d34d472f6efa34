"""Asynchronous successive halving, by promotion or by stopping: which trials are worth more epochs.

Source: Li et al. 2020 (A System for Massively Parallel Hyperparameter Tuning, arXiv 1810.05934): algorithm 2 for
`promote`; for `stop` the variant without resuming, in which a trial is compared once, when it comes to a rung.
Deviations: the rungs of a trial end with its own last epoch; trials are compared by the best value so far; one that
diverged counts as the worst at every rung that it reached, and at the next, so that it takes no promotion from others;
one that stopped early by itself counts at the rungs that it did not need to reach; the lowest rungs are passed where
their order misleads (`first_rung`); a search that ends with nothing complete takes its best trial to the end
(`Controller`). With several objectives the trials at a rung are in the order of `tuner.control.pareto`.

All of it is a function of the curves that were reported and of how trials ended, in whatever order, so that a search
that is resumed decides as one that was never interrupted.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tuner.config import schema
from tuner.control import pareto
from tuner.control.controller import NOT_FINITE, TrialState
from tuner.control.first_rung import FirstRung

Mode = Literal["promote", "stop"]
Vector = tuple[float, ...]


def value_at_rung(curve: Mapping[int, float], epoch: int) -> float:
    """What a trial counts with at a rung, lower is better: its best value so far."""
    return min((value for at, value in curve.items() if at <= epoch), default=math.inf)


def vector_at_rung(vectors: Mapping[int, Vector], epoch: int) -> Vector:
    """What a trial counts with at a rung when there are several objectives: the best so far of each."""
    return tuple(map(min, zip(*(vector for at, vector in vectors.items() if at <= epoch), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A trial has come to a level: a rung, the lowest is 0, or the last one, which is to be complete."""

    level: int
    value: float
    """As it was reported, the best so far; the worst there can be, infinite, when it diverged."""


@dataclass(slots=True, kw_only=True)
class _Trial:
    last_epoch: int
    curve: dict[int, float] = field(default_factory=dict)
    """Lower is better."""
    vectors: dict[int, Vector] = field(default_factory=dict)
    """Several objectives by epoch, lower is better; empty for one."""
    epoch: int = 0
    n_reached: int = 0
    """Rungs, from the lowest."""
    has_diverged: bool = False


@dataclass(slots=True)
class _Level:
    """The trials at one level, the best first and the first of equal ones before the others."""

    values: dict[int, float] = field(default_factory=dict)
    order: list[tuple[float, int]] = field(default_factory=list)
    vectors: dict[int, Vector] = field(default_factory=dict)
    """Of several objectives, of those that did not diverge."""
    _ranked: list[tuple[float, int]] | None = None

    def put(self, trial: int, value: float, vector: Vector = ()) -> None:
        self.drop(trial)
        self.values[trial] = value
        insort(self.order, (value, trial))
        if vector:
            self.vectors[trial] = vector

    @property
    def ranked(self) -> list[tuple[float, int]]:
        """Value and trial, the best first: by value, or by several objectives."""
        if not self.vectors:
            return self.order
        if self._ranked is None:
            trials = [trial for trial in sorted(self.values) if trial in self.vectors]
            best_first = [trials[index] for index in pareto.order([self.vectors[trial] for trial in trials]).tolist()]
            others = [trial for _, trial in self.order if trial not in self.vectors]
            self._ranked = [(self.values[trial], trial) for trial in [*best_first, *others]]
        return self._ranked

    def drop(self, trial: int) -> None:
        self._ranked = None
        self.vectors.pop(trial, None)
        value = self.values.pop(trial, None)
        if value is not None:
            del self.order[bisect_left(self.order, (value, trial))]

    def top(self, eta: int) -> list[tuple[float, int]]:
        """The best 1/eta, without those that diverged."""
        return [(value, trial) for value, trial in self.ranked[: len(self.order) // eta] if value < math.inf]


class Asha:
    """The schedule of a study whose trials train at most `max_epochs`."""

    def __init__(
        self, *, min_epochs: int, eta: int, mode: Mode, max_epochs: int, maximize: bool, signs: Vector = ()
    ) -> None:
        """`signs` of several objectives: 1 for one that is minimised, -1 for one that is maximised."""
        self.eta = eta
        self._signs = signs
        self.mode = mode
        self.rungs = rungs_below(max_epochs, min_epochs=min_epochs, eta=eta)
        """Epochs of the rungs of the longest trials; shorter trials have those below their own last epoch."""
        self._sign = -1.0 if maximize else 1.0
        self._trials: dict[int, _Trial] = {}
        self._levels = [_Level() for _ in range(self.n_levels)]
        # What is stopped at a higher rung than these has had most of a training already.
        n_low = sum(epoch * eta <= max_epochs for epoch in self.rungs)
        self._first = FirstRung(rungs=self.rungs, n_highest=max(0, n_low - 1))

    @property
    def n_levels(self) -> int:
        """The rungs, and to be complete."""
        return len(self.rungs) + 1

    # ---------------------------------------------------------------------------------------------------- what was told

    def add(self, trial: int, last_epoch: int) -> None:
        """A trial that trains `last_epoch` epochs when it is not cut short."""
        self._trials[trial] = _Trial(last_epoch=last_epoch)

    def report(self, trial: int, epoch: int, value: float, values: Vector = ()) -> list[Reached]:
        """Take in a finite value; returns the levels that are reached by it. A known epoch is left as it was.

        `values` are several objectives, if there are; then `value` is that of the leading one.
        """
        found = self._trials[trial]
        if epoch in found.curve:
            return []
        found.curve[epoch] = self._sign * value
        if values:
            found.vectors[epoch] = tuple(sign * item for sign, item in zip(self._signs, values, strict=True))
        found.epoch = max(found.epoch, epoch)
        return self._reach(trial, found, found.epoch)

    def _reach(self, trial: int, found: _Trial, epoch: int) -> list[Reached]:
        """Put a trial on the rungs up to an epoch, as far as it has them."""
        reached = []
        for level in range(found.n_reached, len(self.rungs)):
            rung = self.rungs[level]
            if rung > min(epoch, found.last_epoch):
                break
            reached.append(self._put_at(trial, level, found, rung))
            found.n_reached = level + 1
        return reached

    def _put_at(self, trial: int, level: int, found: _Trial, epoch: int) -> Reached:
        vector = vector_at_rung(found.vectors, epoch)
        return self._put(trial, level, value_at_rung(found.curve, epoch), vector)

    def _put(self, trial: int, level: int, value: float, vector: Vector = ()) -> Reached:
        self._levels[level].put(trial, value, vector)
        if level:
            self._first.changed()
        return Reached(level=level, value=self._sign * value)

    def diverge(self, trial: int) -> list[Reached]:
        """The epoch after the last one that was reported has no finite value."""
        found = self._trials[trial]
        if found.has_diverged:
            return []
        found.has_diverged = True
        at_next = found.n_reached < len(self.rungs) and self.rungs[found.n_reached] <= found.last_epoch
        found.n_reached += at_next
        self._first.changed()
        return [self._put(trial, level, math.inf) for level in range(found.n_reached)]

    def finish(self, trial: int, state: TrialState) -> list[Reached]:
        """The trial is over. A complete one has reached the last level, at its last epoch or before.

        One that failed does not count any more, since that says nothing about its params.
        """
        if state is TrialState.FAILED:
            for level in self._levels:
                level.drop(trial)
            self._first.changed()
        if state is not TrialState.COMPLETE:
            return []
        found = self._trials[trial]
        last = self._put_at(trial, len(self.rungs), found, found.last_epoch)
        return [*self._reach(trial, found, found.last_epoch), last]

    def refuse(self, trial: int) -> None:
        """The trial breaks a constraint: the worst at the rungs that it reached, and as if it were not complete."""
        for level, found in enumerate(self._levels):
            if level == len(self.rungs):
                found.drop(trial)
            elif trial in found.values:
                found.put(trial, math.inf)
        self._first.changed()

    def recall(
        self,
        trial: int,
        last_epoch: int,
        curve: Mapping[int, float],
        state: TrialState,
        reason: str,
        vectors: Mapping[int, Vector] | None = None,
    ) -> None:
        """Take a stored trial in, open or over."""
        self.add(trial, last_epoch)
        for epoch in sorted(curve):
            self.report(trial, epoch, curve[epoch], (vectors or {}).get(epoch, ()))
        if reason in NOT_FINITE:
            self.diverge(trial)
        self.finish(trial, state)

    # -------------------------------------------------------------------------------------------------------- decisions

    def goal(self, epoch: int, last_epoch: int) -> int:
        """The epoch at which a trial that goes on after `epoch` has to pause; its last one for no pause."""
        if self.mode == "stop":
            return last_epoch
        ahead = self.rungs[self.first_level :]
        return next((rung for rung in ahead if epoch < rung < last_epoch), last_epoch)

    def promotable(self, paused: Collection[int]) -> list[int]:
        """Paused trials that are to go on, those of the highest rung first, at a rung the best first."""
        found: list[int] = []
        if not paused:
            return found
        for level in range(len(self.rungs) - 1, -1, -1):
            top = self._levels[level].top(self.eta)
            found += [trial for _, trial in top if trial in paused and self.level_of(trial) == level]
        return found

    def best_paused(self, paused: Collection[int]) -> int | None:
        """The best paused trial of the highest rung that has one, promotable or not."""
        for level in reversed(self._levels):
            best = next((trial for _, trial in level.ranked if trial in paused), None)
            if best is not None:
                return best
        return None

    def should_stop(self, trial: int) -> bool:
        """Whether a trial ends at the rung that its last epoch is on, for it is not in the best 1/eta there."""
        found = self._trials[trial]
        level = found.n_reached - 1
        if self.mode != "stop" or level < self.first_level or self.rungs[level] != found.epoch:
            return False
        here = self._levels[level]
        if len(here.order) < self.eta:
            return False
        return (here.values[trial], trial) not in here.top(self.eta)

    # --------------------------------------------------------------------------------------------------- looking at it

    def reached(self, trial: int) -> list[Reached]:
        """All levels that a trial has come to, the lowest first."""
        there = ((level, found.values[trial]) for level, found in enumerate(self._levels) if trial in found.values)
        return [Reached(level=level, value=self._sign * value) for level, value in there]

    def level_of(self, trial: int) -> int:
        """The highest rung that a trial has reached; -1 for none."""
        return self._trials[trial].n_reached - 1

    @property
    def n_complete(self) -> int:
        return len(self._levels[-1].values)

    @property
    def first_level(self) -> int:
        """The lowest rung at which trials pause, or are stopped, from now on."""
        if not self.rungs:
            return 0
        curves = {trial: found.curve for trial, found in self._trials.items()}
        return self._first.level([level.values for level in self._levels], curves)

    def explain(self) -> list[str]:
        """Where the rungs are, how many trials reached each, and why the first one is where it is."""
        if not self.rungs:
            return ["asha: trials are too short for a rung"]
        _ = self.first_level
        at = ", ".join(f"{epoch} ({len(level.values)})" for epoch, level in zip(self.rungs, self._levels, strict=False))
        does = "the best 1/{} go on" if self.mode == "promote" else "all but the best 1/{} are stopped"
        return [
            f"asha: rungs at epoch {at}, in brackets how many trials came so far; {does.format(self.eta)}",
            *self._first.explain(),
        ]


def build_schedule(pruner: schema.Pruner, *, max_epochs: int, maximize: bool, signs: Vector = ()) -> Asha | None:
    """The schedule of a pruner that pauses trials or has rungs of our own; None for the others."""
    if not isinstance(pruner, schema.AshaPruner):
        return None
    return Asha(
        min_epochs=pruner.min_epochs,
        eta=pruner.eta,
        mode=pruner.mode,
        max_epochs=max_epochs,
        maximize=maximize,
        signs=signs,
    )


def rungs_below(last_epoch: int, *, min_epochs: int, eta: int) -> tuple[int, ...]:
    """Epochs of the rungs of a trial: `min_epochs` times the powers of `eta`, below its last one."""
    rungs = []
    epoch = min_epochs
    while epoch < last_epoch:
        rungs.append(epoch)
        epoch *= eta
    return tuple(rungs)
