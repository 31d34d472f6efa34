"""A search played through in virtual time: its own controller and rules, over learning curves that may come.

What trials take was measured. Where their epochs are short, the beginnings of their curves were too: they are gone on
with, and the sampler comes to prefer what did well. Else curves are made up; for a schedule by ranks (median, asha)
only the order of values counts, so that their scale does not matter. What is not known is drawn, as a scenario: how
fast curves settle, how noisy they are, how much of the end the first epochs tell, how much better the sampler gets. A
forecast plays many and takes the range of what comes out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.control.controller import NONE, Controller, Excesses, TrialState, Values
from tuner.control.scenarios import (
    N_UNLED,
    Cost,
    Scenario,
    continued,
    made_up,
    spread_of,
    tells_enough,
    weights_of,
)
from tuner.control.stopping import StoppingRule
from tuner.space.parameters import Params
from tuner.training.early_stopping import BestEpoch
from tuner.training.events import Decision

if TYPE_CHECKING:
    from tuner.control.asha import Asha

QUANTILE = 0.025
INDEX, EPOCHS = "index", "epochs"
"""The params of a rehearsed trial: which of the costs it has, and how many epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is to be played."""

    n_trials: int
    workers: int
    epoch_s: float
    """What the driver takes for an epoch, one after the other: its record, above all."""
    trial_s: float
    """What the driver takes to begin and end a trial."""
    confirm_top: int = 0
    confirm_seeds: int = 0
    stops: bool = False
    """Whether it ends when more trials are not worth it (`search.stop: auto`)."""
    limit: float | None = None
    """The best value that there can be, smaller is better; counts where curves were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What came out of one scenario."""

    seconds: float
    n_epochs: int
    n_stopped: int
    n_trials: int = 0
    """Fewer than the budget's where it ended before."""
    confirm_s: float = 0.0
    confirm_epochs: int = 0


class Judge(Protocol):
    """The rule that stops trials; smaller values are better."""

    @property
    def schedule(self) -> Asha | None:
        """Who pauses and promotes trials; None when nobody does."""

    def begin(self, trial: int, index: int, epochs: int) -> None:
        """A trial with the cost of this index, and so many epochs, is open."""

    def diverge(self, trial: int) -> None: ...

    def report(self, trial: int, epoch: int, value: float) -> None: ...

    def should_stop(self, trial: int) -> bool: ...

    def finish(self, trial: int, state: TrialState, value: float | None) -> None: ...


@dataclass(slots=True)
class _PoolAdvisor:
    """An adviser whose trials are drawn from the costs."""

    judge: Judge
    costs: Sequence[Cost]
    weights: NDArray[np.float64]
    length: float
    random: np.random.Generator

    @property
    def schedule(self) -> Asha | None:
        return self.judge.schedule

    def diverge(self, trial: int) -> None:
        self.judge.diverge(trial)

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:  # noqa: ARG002  lanes are not played
        n = len(self.weights)
        index = int(self.random.integers(n) if trial < N_UNLED else self.random.choice(n, p=self.weights))
        epochs = self.costs[index].epochs
        if trial >= N_UNLED and not self.costs[index].is_over:
            most = max(cost.epochs for cost in self.costs)
            epochs += round(self.length * (most - epochs))
        self.judge.begin(trial, index, epochs)
        return {INDEX: index, EPOCHS: epochs}

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:  # noqa: ARG002  one is played
        self.judge.report(trial, epoch, value)

    def should_stop(self, trial: int) -> bool:
        return self.judge.should_stop(trial)

    def finish(
        self,
        trial: int,
        state: TrialState,
        value: float | None,
        values: Values = (),  # noqa: ARG002
        constraints: Excesses = NONE,  # noqa: ARG002
    ) -> None:
        self.judge.finish(trial, state, value)


@dataclass(slots=True, kw_only=True)
class _Running:
    trial: int
    cost: Cost
    values: list[float]
    best: BestEpoch
    epoch: int = 0


@dataclass(slots=True)
class _Play:
    """The state of one rehearsal."""

    costs: Sequence[Cost]
    budget: Budget
    scenario: Scenario
    controller: Controller
    random: np.random.Generator
    is_measured: bool
    spread: float
    """Of the better half of the measured ends: the unit in which the sampler gets better."""
    stopping: StoppingRule | None = None
    events: list[tuple[float, int, _Running]] = field(default_factory=list)
    done: list[tuple[float, Cost, int]] = field(default_factory=list)
    """Complete trials: value, cost, epochs."""
    cut_short: list[tuple[int, float, Cost]] = field(default_factory=list)
    """Stopped ones: epochs (negative, so that the furthest come first), value, cost."""
    paused: dict[int, _Running] = field(default_factory=dict)
    driver_free: float = 0.0
    n_epochs: int = 0
    n_stopped: int = 0

    def start(self, now: float) -> bool:
        """The next trial that can be trained, if there is one."""
        if self.stopping is not None and self.stopping.verdict(self.controller.n_new, self.controller.n_paused):
            self.controller.end()
        while (job := self.controller.ask()) is not None:
            self.driver_free = now = max(now, self.driver_free) + self.budget.trial_s
            run = self.paused.pop(job.trial, None)
            if run is None:
                cost = replace(self.costs[int(job.params[INDEX] or 0)], epochs=job.last_epoch)
                if cost.is_infeasible:
                    self.finish(job.trial, TrialState.PRUNED, [])
                    continue
                best = BestEpoch(maximize=False, patience=cost.patience)
                run = _Running(trial=job.trial, cost=cost, values=self.values_of(job.trial, cost), best=best)
            heapq.heappush(self.events, (now + run.cost.setup_s + run.cost.epoch_s, run.trial, run))
            return True
        return False

    def finish(self, trial: int, state: TrialState, values: Sequence[float]) -> float | None:
        found = self.controller.finish(trial, state)
        if self.stopping is not None:
            self.stopping.finished(found, dict(enumerate(values, start=1)))
        return found

    def values_of(self, trial: int, cost: Cost) -> list[float]:
        if self.is_measured:
            better = self.scenario.gain * self.spread * math.log1p(max(0, trial - N_UNLED) / N_UNLED)
            return [value - better for value in continued(cost, self.scenario, self.random)]
        return made_up(trial, cost.epochs, self.scenario, self.random)

    def run(self) -> float:
        """Play to the end; when that is."""
        idle, now = self.budget.workers, 0.0
        while True:
            while idle and self.start(now):
                idle -= 1
            if not self.events:
                self.n_stopped += len(self.paused)
                self.cut_short += [(-run.epoch, run.best.value or 0.0, run.cost) for run in self.paused.values()]
                return now
            at, _, run = heapq.heappop(self.events)
            self.driver_free = now = max(at, self.driver_free) + self.budget.epoch_s
            if self.ends(run):
                idle += 1
            else:
                heapq.heappush(self.events, (now + run.cost.epoch_s, run.trial, run))

    def ends(self, run: _Running) -> bool:
        """Take in an epoch; whether its worker is free."""
        value = run.values[run.epoch]
        run.epoch += 1
        self.n_epochs += 1
        run.best.update(run.epoch, value)
        decision = self.controller.report(run.trial, run.epoch, value)
        if decision is Decision.STOP:
            self.n_stopped += 1
            self.cut_short.append((-run.epoch, run.best.value or 0.0, run.cost))
            self.finish(run.trial, TrialState.PRUNED, [])
        elif run.epoch >= run.cost.epochs or run.best.is_exhausted:
            found = self.finish(run.trial, TrialState.COMPLETE, run.values[: run.epoch])
            self.done.append((value if found is None else found, run.cost, run.epoch))
        elif decision is Decision.PAUSE:
            self.paused[run.trial] = run
            self.controller.pause(run.trial)
        else:
            return False
        return True


def rehearse(
    costs: Sequence[Cost], budget: Budget, judge: Judge, scenario: Scenario, random: np.random.Generator
) -> Rehearsed:
    """One scenario, over costs that are drawn again from those measured: few of them stand for a whole space."""
    drawn = list(random.integers(len(costs), size=len(costs)))
    if all(costs[index].is_infeasible for index in drawn):
        drawn = list(range(len(costs)))
    is_measured = all(tells_enough(cost) for cost in costs if not cost.is_infeasible)
    play = _Play(
        costs=costs,
        budget=budget,
        scenario=scenario,
        controller=Controller(
            advisor=_PoolAdvisor(
                judge=judge,
                costs=costs,
                weights=weights_of(costs, drawn, scenario, is_measured=is_measured),
                length=scenario.length,
                random=random,
            ),
            maximize=False,
            n_trials=budget.n_trials,
            epochs_of=lambda params: int(params[EPOCHS] or 1),
        ),
        random=random,
        is_measured=is_measured,
        spread=spread_of(costs),
        stopping=StoppingRule(maximize=False, limit=budget.limit if is_measured else None) if budget.stops else None,
    )
    seconds = play.run()
    confirm_s, confirm_epochs = _confirm(play.done, play.cut_short, budget)
    return Rehearsed(
        seconds=seconds * scenario.speed,
        n_epochs=play.n_epochs,
        n_stopped=play.n_stopped,
        n_trials=play.controller.next_trial,
        confirm_s=confirm_s * scenario.speed,
        confirm_epochs=confirm_epochs,
    )


def _confirm(
    done: Sequence[tuple[float, Cost, int]], cut_short: Sequence[tuple[int, float, Cost]], budget: Budget
) -> tuple[float, int]:
    """Seconds and epochs of training the best again on other seeds, on all workers.

    Where fewer are complete, the furthest of those that were stopped are trained in full.
    """
    best = sorted(done, key=lambda item: item[0])[: budget.confirm_top]
    if best:
        furthest = sorted(cut_short, key=lambda item: item[:2])[: budget.confirm_top - len(best)]
        best += [(value, cost, cost.epochs) for _, value, cost in furthest]
    free = [0.0] * budget.workers
    for _, cost, epochs in best * budget.confirm_seeds:
        taken = budget.trial_s + cost.setup_s + epochs * (cost.epoch_s + budget.epoch_s)
        heapq.heapreplace(free, free[0] + taken)
    return max(free), sum(epochs for *_, epochs in best) * budget.confirm_seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From a low that one scenario in forty stays below to a high that one in forty exceeds."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        low, high = np.quantile(np.asarray(values, dtype=np.float64), (QUANTILE, 1.0 - QUANTILE))
        return cls(low=float(low), high=float(high))

    def times(self, factor: float) -> Range:
        return Range(low=self.low * factor, high=self.high * factor)

    def to_json(self) -> list[float]:
        return [self.low, self.high]
