"""All that a report is made from: read once, by the workflow, and judged here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tuner.config.metrics import COSTS
from tuner.config.spec import Spec
from tuner.control.controller import TrialState
from tuner.control.winner import Candidate
from tuner.data.info import DataInfo
from tuner.paths import DEFAULT_STORAGE
from tuner.space.parameters import Params
from tuner.study.confirmed import Standing
from tuner.study.history import History
from tuner.study.importance import FEWEST, PER_PARAMETER, Importances
from tuner.study.rows import StudyRow, TrialRow

Curve = Mapping[int, float]
"""The objective by epoch, as far as it was finite; of several objectives the leading one."""


OPEN = (TrialState.RUNNING, TrialState.PAUSED, TrialState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestScore:
    """What the weights that `tuner best` exports came to on the sealed test part, which it alone opens."""

    metrics: Mapping[str, float]
    day: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the winner's weights say of the validation part, evaluated again; or why that is not known."""

    missing: str = ""
    """Why there is nothing; empty where there is."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Every metric of the validation part, by `val/<metric>`."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """See `tuner.training.details`."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """See `tuner.training.examine`."""
    is_fresh: bool = False
    """Whether the weights are those of a run on a fresh seed."""


@dataclass(frozen=True, kw_only=True)  # without slots: cached_property needs a __dict__
class Facts:
    """A study as it was read at one moment."""

    study: StudyRow
    spec: Spec
    data: DataInfo
    versions: Mapping[str, str]
    code: Mapping[str, str]
    trials: tuple[TrialRow, ...]
    curves: Mapping[int, Curve]
    history: History
    standing: Standing
    winner: TrialRow | None
    """The confirmed one, before that the best of the search; of several objectives the picked one of the front."""
    why: str
    """Why it is this one, of several objectives."""
    default: Params
    """The base config of the file, as far as the space varies it."""
    base: int | None
    """The trial with these params, if it was tried."""
    importances: Importances | None
    level: int
    """The epoch after which trials are compared for importance and slices: see `level_of`."""
    test: TestScore | None
    examined: Examined
    explained: tuple[str, ...]
    """What the sampler and the schedule decided by themselves."""
    storage: str
    now: float

    @cached_property
    def by_number(self) -> dict[int, TrialRow]:
        return {trial.number: trial for trial in self.trials}

    @property
    def options(self) -> str:
        """What a command finds the study by: `--study mlp`, and its database unless that is the usual one."""
        storage = "" if self.storage == DEFAULT_STORAGE else f" --storage {self.storage}"
        return f"--study {self.study.name}{storage}"

    @property
    def metric(self) -> str:
        """The objective as curves name it; of several the leading one."""
        return f"val/{self.study.metric}"

    @property
    def sign(self) -> float:
        return -1.0 if self.study.maximize else 1.0

    @property
    def is_multi(self) -> bool:
        return bool(self.study.objectives)

    @property
    def candidate(self) -> Candidate | None:
        """What fresh seeds say of the winner."""
        return None if self.standing.confirmed is None else self.standing.confirmed.winner

    @cached_property
    def ranked(self) -> tuple[TrialRow, ...]:
        """Complete trials that may win, the best first."""
        able = [trial for trial in self.trials if trial.can_be_best]
        return tuple(sorted(able, key=lambda trial: (self.sign * (trial.value or 0.0), trial.number)))

    def reached(self, number: int) -> float | None:
        """The value of a trial: what it ended with, or the best epoch of one that did not."""
        trial = self.by_number[number]
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            return trial.value
        return self.best_until(number, None)

    def best_until(self, number: int, epoch: int | None) -> float | None:
        """The best value of a trial's epochs up to this one."""
        curve = self.curves.get(number, {})
        values = [value for of, value in curve.items() if epoch is None or of <= epoch]
        return self.sign * min(self.sign * value for value in values) if values else None

    def at_level(self, number: int) -> float | None:
        """The best value until the level, of a trial that came so far or was complete before."""
        trial = self.by_number[number]
        is_there = max(self.curves.get(number, {}), default=0) >= self.level or trial.state is TrialState.COMPLETE
        return self.best_until(number, self.level) if is_there else None

    @property
    def counts(self) -> dict[TrialState, int]:
        return {state: sum(trial.state is state for trial in self.trials) for state in TrialState}

    @cached_property
    def taken(self) -> frozenset[int]:
        """Trials that another study trained, and this one began with."""
        return frozenset(trial.number for trial in self.trials if trial.origin is not None)

    @property
    def costs(self) -> tuple[str, ...]:
        """Costs of a model that its epochs recorded."""
        names = {name for rows in self.history.epochs.values() for name in rows[-1].metrics}
        return tuple(name for name in COSTS if name in names)

    def last_metrics(self, number: int) -> Mapping[str, float | None]:
        """What the best epoch of a trial recorded, or its last one."""
        rows = self.history.epochs.get(number, ())
        best = self.by_number[number].best_epoch
        found = next((row for row in rows if row.epoch == best), rows[-1] if rows else None)
        return {} if found is None else found.metrics


def level_of(curves: Mapping[int, Curve], n_parameters: int) -> int:
    """The latest epoch that enough trials came to: a third of all, and enough for every parameter; 0 without any.

    Later epochs say more of what a trial is worth, and less of what was stopped on the way.
    """
    reached = [max(curve) for curve in curves.values() if curve]
    if not reached:
        return 0
    enough = min(len(reached), max(FEWEST, PER_PARAMETER * n_parameters, len(reached) // 3))
    return max(epoch for epoch in range(1, max(reached) + 1) if sum(last >= epoch for last in reached) >= enough)


def losses_at(facts_curves: Mapping[int, float | None], sign: float) -> dict[int, float]:
    """Values as losses; trials without a finite one count as the worst, since they came to nothing."""
    known = {number: sign * value for number, value in facts_curves.items() if value is not None}
    if not known:
        return {}
    worst = max(known.values())
    return {number: known.get(number, worst) for number in facts_curves}


def values_range(values: Sequence[float], *, maximize: bool, share: float = 0.05) -> tuple[float, float]:
    """From the best value to that which all but a small share reach: what is far worse is outside."""
    ordered = sorted(values, reverse=maximize)
    last = ordered[min(len(ordered) - 1, math.ceil(len(ordered) * (1.0 - share)) - 1)]
    low, high = min(ordered[0], last), max(ordered[0], last)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room
