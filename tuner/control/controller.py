"""The decision-maker of a search: a source of params, a judge of curves and a budget.

It does no I/O: the driver feeds it what happened and does what it says, so that the same decisions can be replayed from
stored records, and tested without training anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tuner.space.parameters import Params
from tuner.training.early_stopping import BestEpoch
from tuner.training.events import Decision


class TrialState(StrEnum):
    """The states of a trial as users see them."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Epochs `first_epoch` to `last_epoch` of one trial; `first_epoch` above 1 resumes."""

    trial: int
    params: Params
    first_epoch: int
    last_epoch: int


class Advisor(Protocol):
    """Suggests params and judges curves: a function of a seed and of what it was told, nothing else."""

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        """The params of the trial of this number, which is open from now on; None when the space is exhausted.

        `fixed` params are taken over where they exist, and the others are suggested given them; a grid knows no fixed
        ones, and goes on with its next combination.
        """

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Take in the objective after an epoch; an epoch that is already known is left as it was."""

    def should_stop(self, trial: int) -> bool:
        """Whether the trial is not worth going on with, after its last reported epoch."""

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:
        """Close an open trial; `value` only for COMPLETE."""


@dataclass(slots=True, kw_only=True)
class Curve:
    """An open trial: what it is allowed to train and what it reported."""

    last_epoch: int
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

    def ask(self, fixed: Params | None = None) -> Job | None:
        """The next new trial, with `fixed` params if any; None when the budget is spent or the space exhausted."""
        if self.n_trials is not None and self.next_trial >= self.n_trials:
            return None
        params = self.advisor.suggest(self.next_trial, fixed)
        if params is None:
            return None
        job = Job(trial=self.next_trial, params=params, first_epoch=1, last_epoch=self.epochs_of(params))
        self._open[job.trial] = Curve(last_epoch=job.last_epoch, best=BestEpoch(maximize=self.maximize))
        self.next_trial += 1
        return job

    @property
    def n_left(self) -> float:
        """Trials that the budget still allows to ask for."""
        return math.inf if self.n_trials is None else self.n_trials - self.next_trial

    def reopen(self, trial: int, params: Params, values: list[float]) -> Job:
        """Take an unfinished trial of an earlier session up again; `values` are its objective after epochs 1, 2, ..."""
        curve = Curve(last_epoch=self.epochs_of(params), best=BestEpoch(maximize=self.maximize))
        for epoch, value in enumerate(values, start=1):
            self._add(curve, epoch, value)
        curve.is_stopped = not all(map(math.isfinite, values))
        self._open[trial] = curve
        return Job(trial=trial, params=params, first_epoch=curve.epoch + 1, last_epoch=curve.last_epoch)

    def report(self, trial: int, epoch: int, value: float) -> Decision:
        """Decide after an epoch. nan and inf stop the trial.

        An epoch that is trained again, since its checkpoint was lost, has the same value on a CPU and changes nothing.
        On other hardware the new value counts, since the kept weights are those that gave it.
        """
        curve = self._open[trial]
        if not math.isfinite(value):
            curve.is_stopped = True
        elif epoch > curve.epoch:
            self._add(curve, epoch, value)
            self.advisor.report(trial, epoch, value)
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
        return Decision.STOP if curve.is_stopped else Decision.CONTINUE

    def best_epoch(self, trial: int) -> tuple[int, float | None]:
        """Epoch (from 1; 0 for none) and value of the trial's best epoch so far."""
        best = self._open[trial].best
        return best.epoch, best.value

    def finish(self, trial: int, state: TrialState) -> float | None:
        """Close a trial; returns its value: that of the best epoch for COMPLETE, else None."""
        curve = self._open.pop(trial)
        value = curve.best.value if state is TrialState.COMPLETE else None
        self.advisor.finish(trial, state, value)
        return value
