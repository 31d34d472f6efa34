"""The decision-maker of a search: a source of params, a judge of curves and a budget.

It does no I/O: the driver feeds it what happened and does what it says, so that the same decisions can be replayed from
stored records, and tested without training anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tuner.space.parameters import Params
from tuner.training.early_stopping import BestEpoch
from tuner.training.events import Decision

if TYPE_CHECKING:  # numpy, for what only looks at the states of trials
    from tuner.control.asha import Asha


class TrialState(StrEnum):
    """The states of a trial as users see them."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"


DIVERGED = "diverged"
"""The reason of a pruned trial whose objective was not finite."""
UNDEFINED = "undefined"
"""The reason of a pruned trial whose objective had no value beside a loss that had one."""
NOT_FINITE = (DIVERGED, UNDEFINED)
INFEASIBLE = "infeasible"
"""The reason of a trial that breaks a constraint, or whose params do not go together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Epochs `first_epoch` to `last_epoch` of one trial; `first_epoch` above 1 resumes."""

    trial: int
    params: Params
    first_epoch: int
    last_epoch: int


Values = tuple[float, ...]
"""Several objectives, in the order of the file; empty where there is one."""
Excesses = Mapping[str, float]
"""By how much a trial misses each constraint, as far as that is known; 0 or less holds."""
NONE: Excesses = MappingProxyType({})


def is_feasible(constraints: Excesses) -> bool:
    return all(excess <= 0.0 for excess in constraints.values())


class Advisor(Protocol):
    """Suggests params and judges curves: a function of a seed and of what it was told, nothing else."""

    @property
    def schedule(self) -> Asha | None:
        """Who decides at which epochs trials pause, and which of them go on; None when none pauses.

        It is told what the adviser is told, by the adviser.
        """

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        """The params of the trial of this number, which is open from now on; None when the space is exhausted.

        `fixed` params are taken over where they exist, and the others are suggested given them; a grid knows no fixed
        ones, and goes on with its next combination.
        """

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        """Take in the objective after an epoch; an epoch that is already known is left as it was.

        `values` are all objectives where there are several; `value` is then that of the leading one.
        """

    def diverge(self, trial: int) -> None:
        """Take in that the epoch after the last reported one had no finite value."""

    def should_stop(self, trial: int) -> bool:
        """Whether the trial is not worth going on with, after its last reported epoch."""

    def finish(
        self, trial: int, state: TrialState, value: float | None, values: Values = (), constraints: Excesses = NONE
    ) -> None:
        """Close an open trial; `value` and `values` only for COMPLETE."""


@dataclass(slots=True, kw_only=True)
class Curve:
    """An open trial: what it is allowed to train and what it reported."""

    params: Params
    last_epoch: int
    goal: int
    """The epoch at which it pauses, to be compared with others; its last one when it does not."""
    best: BestEpoch
    epoch: int = 0
    values: dict[int, float] = field(default_factory=dict)
    is_stopped: bool = False
    """A trial that was told to stop, and comes back because its worker died before it did, is told the same again."""


@dataclass(slots=True, kw_only=True)
class Controller:
    """Asks for trials until the budget is spent and decides about each after every epoch.

    `n_trials` is the study's total, None for no limit; `next_trial` is the number that the next trial gets, so that
    trials of earlier sessions count. `epochs_of` tells how many epochs a trial of given params trains at most.
    """

    advisor: Advisor
    maximize: bool
    n_trials: int | None
    epochs_of: Callable[[Params], int]
    next_trial: int = 0
    _open: dict[int, Curve] = field(default_factory=dict)
    _paused: set[int] = field(default_factory=set)
    """Open trials at their goals, which nobody trains."""
    _is_exhausted: bool = False

    def ask(self, fixed: Params | None = None) -> Job | None:
        """What to train next: a paused trial that is promoted, else a new one; with `fixed` params only a new one.

        None when there is nothing to train now. While trials are open that are not paused there may be later.
        """
        if fixed is not None:
            return self._ask_new(fixed)
        return self.promote() or self._ask_new(None) or self._rescue()

    def promote(self, among: Iterable[int] | None = None) -> Job | None:
        """The paused trial that is the next to go on, of all or of those `among` them."""
        schedule = self.advisor.schedule
        if schedule is None:
            return None
        wanted = self._paused if among is None else self._paused.intersection(among)
        trial = next(iter(schedule.promotable(wanted)), None)
        return None if trial is None else self._go_on(trial, schedule)

    def promotable(self) -> list[int]:
        """Paused trials that are to go on, in the order in which they are promoted."""
        schedule = self.advisor.schedule
        return [] if schedule is None else schedule.promotable(self._paused)

    def _go_on(self, trial: int, schedule: Asha) -> Job:
        self._paused.discard(trial)
        curve = self._open[trial]
        curve.goal = schedule.goal(curve.epoch, curve.last_epoch)
        return Job(trial=trial, params=curve.params, first_epoch=curve.epoch + 1, last_epoch=curve.last_epoch)

    def _ask_new(self, fixed: Params | None) -> Job | None:
        if self._is_exhausted or (self.n_trials is not None and self.next_trial >= self.n_trials):
            return None
        params = self.advisor.suggest(self.next_trial, fixed)
        if params is None:
            self._is_exhausted = True
            return None
        trial, last_epoch = self.next_trial, self.epochs_of(params)
        self._open[trial] = self._curve(params, last_epoch, self._first_goal(last_epoch))
        self.next_trial += 1
        return Job(trial=trial, params=params, first_epoch=1, last_epoch=last_epoch)

    def _rescue(self) -> Job | None:
        """When all have paused and none is promotable, but none is complete either: the one that is best and furthest.

        A search of a few trials would have nothing to show for itself otherwise.
        """
        schedule = self.advisor.schedule
        if schedule is None or schedule.n_complete or len(self._paused) < len(self._open):
            return None
        trial = schedule.best_paused(self._paused)
        return None if trial is None else self._go_on(trial, schedule)

    def _curve(self, params: Params, last_epoch: int, goal: int) -> Curve:
        return Curve(params=params, last_epoch=last_epoch, goal=goal, best=BestEpoch(maximize=self.maximize))

    def _first_goal(self, last_epoch: int) -> int:
        schedule = self.advisor.schedule
        return last_epoch if schedule is None else schedule.goal(0, last_epoch)

    def end(self) -> None:
        """No new trials from now on."""
        self._is_exhausted = True

    @property
    def n_new(self) -> float:
        """New trials that the budget still allows."""
        return math.inf if self.n_trials is None else self.n_trials - self.next_trial

    @property
    def n_paused(self) -> int:
        """Trials that have paused, and may or may not go on."""
        return len(self._paused)

    @property
    def n_left(self) -> float:
        """Trials that could start now or later: new ones, and paused ones that are promotable."""
        return len(self.promotable()) + self.n_new

    def reopen(self, trial: int, params: Params, values: list[float], goal: int | None = None) -> Job:
        """Take an unfinished trial of an earlier session up again; `values` are its objective after epochs 1, 2, ...

        `goal` is the epoch at which it had to pause, None for a trial that never started.
        """
        last_epoch = self.epochs_of(params)
        curve = self._curve(params, last_epoch, self._first_goal(last_epoch))
        for epoch, value in enumerate(values, start=1):
            if math.isfinite(value):
                self._add(curve, epoch, value)
        curve.is_stopped = not all(map(math.isfinite, values))
        self._open[trial] = curve
        schedule = self.advisor.schedule
        if curve.is_stopped:
            self.advisor.diverge(trial)
        elif schedule is not None and goal is not None:
            # Where the rungs are others now, a trial may have paused below all of them: nothing could promote it.
            is_lost = curve.epoch >= goal and schedule.level_of(trial) < 0
            curve.goal = schedule.goal(curve.epoch, last_epoch) if is_lost else min(goal, last_epoch)
        return Job(trial=trial, params=params, first_epoch=curve.epoch + 1, last_epoch=curve.last_epoch)

    def goal(self, trial: int) -> int:
        """The epoch at which an open trial pauses, or ends."""
        return self._open[trial].goal

    def pause(self, trial: int) -> None:
        """The trial has paused at its goal: it may be promoted from now on."""
        self._paused.add(trial)

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> Decision:
        """Decide after an epoch. nan and inf stop the trial.

        An epoch that is trained again, since its checkpoint was lost, has the same value on a CPU and changes nothing.
        On other hardware the new value counts, since the kept weights are those that gave it.
        """
        curve = self._open[trial]
        if not math.isfinite(value):
            curve.is_stopped = True
            self.advisor.diverge(trial)
        elif epoch > curve.epoch:
            self._add(curve, epoch, value)
            self.advisor.report(trial, epoch, value, values)
        elif curve.values.get(epoch, value) != value:
            self._correct(curve, epoch, value)
        return self.judge(trial)

    def _add(self, curve: Curve, epoch: int, value: float) -> None:
        curve.epoch = epoch
        curve.values[epoch] = value
        curve.best.update(epoch, value)

    def _correct(self, curve: Curve, epoch: int, value: float) -> None:
        values = {**curve.values, epoch: value}
        curve.best = BestEpoch(maximize=self.maximize)
        for known in sorted(values):
            self._add(curve, known, values[known])

    def judge(self, trial: int) -> Decision:
        """The decision that stands after the last reported epoch; the last epoch of all is never cut short."""
        curve = self._open[trial]
        if 0 < curve.epoch < curve.last_epoch and not curve.is_stopped:
            curve.is_stopped = self.advisor.should_stop(trial)
        if curve.is_stopped:
            return Decision.STOP
        return Decision.PAUSE if self.is_at_goal(trial) else Decision.CONTINUE

    def is_at_goal(self, trial: int) -> bool:
        """Whether an open trial has reported the epoch at which it pauses."""
        curve = self._open[trial]
        return curve.goal <= curve.epoch < curve.last_epoch and not curve.is_stopped

    def is_at_end(self, trial: int) -> bool:
        """Whether an open trial has reported the last epoch that it may train."""
        curve = self._open[trial]
        return curve.epoch >= curve.last_epoch

    def values(self, trial: int) -> list[float]:
        """The objective of an open trial after epochs 1, 2, ..., as far as it was finite."""
        curve = self._open[trial].values
        return [curve[epoch] for epoch in sorted(curve)]

    def best_epoch(self, trial: int) -> tuple[int, float | None]:
        """Epoch (from 1; 0 for none) and value of the trial's best epoch so far."""
        best = self._open[trial].best
        return best.epoch, best.value

    def finish(self, trial: int, state: TrialState, values: Values = (), constraints: Excesses = NONE) -> float | None:
        """Close a trial; returns its value: that of the best epoch for COMPLETE, else None."""
        curve = self._open.pop(trial)
        self._paused.discard(trial)
        value = curve.best.value if state is TrialState.COMPLETE else None
        self.advisor.finish(trial, state, value, values if value is not None else (), constraints)
        return value
