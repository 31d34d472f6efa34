"""What a search tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tuner.control.controller import TrialState
from tuner.space.parameters import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStarted:
    """The search begins, or goes on."""

    study: str
    metric: str
    maximize: bool
    n_trials: int | None
    timeout_s: float | None
    n_finished: int
    seconds_before: float
    workers: int
    threads: int
    devices: tuple[str, ...]
    storage: str
    best_trial: int | None
    best_value: float | None
    objectives: tuple[str, ...] = ()
    """Several, the curve's name of each; empty for one."""
    directions: tuple[str, ...] = ()
    """Of several objectives: maximize or minimize."""
    n_front: int | None = None
    """Trials on the front so far, with several objectives."""
    confirm_top: int = 0
    """Trials that are confirmed after the search; 0 for none."""
    confirm_seeds: int = 0
    """Fresh seeds of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    """A worker was given a trial."""

    trial: int
    attempt: int
    params: Params
    last_epoch: int
    first_epoch: int
    goal: int = 0
    """The epoch at which it pauses, to be compared with others; its last one when it does not."""
    worker: int = 0
    """Counted from 1; lanes of one program have the same."""
    pid: int = 0
    """Of the worker's process; 0 where it is not known."""
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch is recorded."""

    trial: int
    epoch: int
    last_epoch: int
    value: float
    seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished:
    """A trial is over, or paused."""

    trial: int
    state: TrialState
    value: float | None
    epochs: int
    seconds: float
    reason: str
    message: str
    is_best: bool
    """With several objectives: on the front."""
    params: Params
    values: Mapping[str, float] = field(default_factory=dict)
    """Several objectives by name, of a complete trial."""
    n_front: int | None = None
    """Trials on the front now, with several objectives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmStarted:
    """The search is over, and its best trials are trained again."""

    study: str
    metric: str
    trials: tuple[int, ...]
    seeds: int
    n_runs: int
    n_finished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmStep:
    """What happened to one run that confirms a trial; `step` names that trial."""

    repeat: int
    seeds: int
    step: TrialStarted | EpochEnded | TrialFinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a person should know."""

    message: str


Progress = StudyStarted | TrialStarted | EpochEnded | TrialFinished | ConfirmStarted | ConfirmStep | Note


class Reporter(Protocol):
    """Shows progress; never asked for anything, so that it cannot hold a search up."""

    def show(self, progress: Progress) -> None: ...


class SilentReporter:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Drop it."""
