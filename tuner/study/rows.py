"""What the commands that look show: a study, its trials, and all that is stored of one trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.control.controller import INFEASIBLE, TrialState
from tuner.space.parameters import Scalar
from tuner.study.fronts import ObjectiveRow
from tuner.training.events import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One study of a database."""

    study_id: int
    name: str
    uid: str
    metric: str
    """The one that tells a trial's best epoch: the objective, or the leading one of several."""
    maximize: bool
    created_at: float
    seconds: float
    objectives: tuple[ObjectiveRow, ...] = ()
    """Several, in their order; empty for one."""
    planned: Mapping[str, Any] | None = None
    """The forecast that was made before it was started, as `tuner plan --json` prints it."""
    stopped: str = ""
    """Why the search ended before its budget."""
    taken: Mapping[str, Any] | None = None
    """The study that trials were taken over from, and how many: {"study", "trials"}."""

    @property
    def lead(self) -> int:
        """The index of `metric` among several objectives."""
        names = [objective.name for objective in self.objectives]
        return names.index(f"val/{self.metric}") if f"val/{self.metric}" in names else 0

    @property
    def signs(self) -> tuple[float, ...]:
        """What makes each of several objectives one that is minimised."""
        return tuple(-1.0 if objective.maximize else 1.0 for objective in self.objectives)

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial as the commands show it."""

    number: int
    state: TrialState
    value: float | None
    params: Mapping[str, Scalar]
    epochs: int
    seconds: float
    reason: str
    best_epoch: int
    values: Mapping[str, float] | None = None
    """Several objectives by name, of a complete trial; None where the study has one, or the trial no values."""
    is_on_front: bool | None = None
    """Whether no other trial is better in everything; None where the study has one objective."""
    origin: Mapping[str, Any] | None = None
    """The study and trial that it was taken over from: {"study", "trial"}."""

    @property
    def can_be_best(self) -> bool:
        """Complete, and no constraint broken."""
        return self.state is TrialState.COMPLETE and self.value is not None and self.reason != INFEASIBLE

    @property
    def origin_text(self) -> str:
        return f"from {self.origin['study']} #{self.origin['trial']}" if self.origin else ""

    def to_json(self) -> dict[str, Any]:
        several = {"values": self.values and dict(self.values), "front": self.is_on_front}
        return {
            "number": self.number,
            "state": self.state.value,
            **({"value": self.value} if self.is_on_front is None else several),
            "params": dict(self.params),
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            **({"from": dict(self.origin)} if self.origin else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One epoch of a trial: metrics by `<split>/<metric>`, None where they were not finite."""

    epoch: int
    attempt: int
    seconds: float
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    attempt: int
    first_epoch: int
    seconds: float
    threads: int
    device: str
    outcome: str
    message: str
    cause: str
    picked: Mapping[str, str]
    """What `auto` came to; empty before the first epoch."""

    @classmethod
    def of(cls, row: Any) -> AttemptRow:
        values = {name: getattr(row, name) for name in cls.__dataclass_fields__ if name != "picked"}
        return cls(**values, picked=json.loads(getattr(row, "picked", "{}")))  # earlier versions have no such column


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDetail:
    """All that is stored of one trial."""

    row: TrialRow
    message: str
    seed: int
    config: Mapping[str, Any]
    curve: tuple[EpochRow, ...]
    attempts: tuple[AttemptRow, ...]
    checkpoints: tuple[Checkpoint, ...]


def best_of(trials: list[TrialRow], *, maximize: bool) -> TrialRow | None:
    """The complete trial with the best value; the first of equal ones, as Optuna has it."""
    complete = [trial for trial in trials if trial.can_be_best]
    sign = -1.0 if maximize else 1.0
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)
