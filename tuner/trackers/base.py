"""What a tracker is told: plain values, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.space.parameters import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyBegan:
    """A search of the study begins, or goes on: the first that a tracker hears."""

    study: str
    uid: str
    """The same for as long as the study is there; a study of the same name that is started anew has another."""
    objectives: Mapping[str, str]
    """Direction by name: `{"val/accuracy": "maximize"}`."""
    document: Mapping[str, Any]
    """The space file, with all edits."""
    folder: Path
    """Of the study's runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBegan:
    """A worker has begun a trial, or goes on with it."""

    trial: int
    repeat: int = 0
    """On which fresh seed, where the run confirms the trial; 0 in the search."""
    params: Params
    first_epoch: int = 1

    @property
    def name(self) -> str:
        return name_of(self.trial, self.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch is over; metrics by `<split>/<metric>`, not all of them finite where the trial diverged."""

    trial: int
    repeat: int = 0
    epoch: int
    seconds: float
    metrics: Mapping[str, float]

    @property
    def name(self) -> str:
        return name_of(self.trial, self.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnded:
    """A trial is over, or paused: then it may begin again."""

    trial: int
    repeat: int = 0
    state: str
    """complete, pruned, failed or paused."""
    value: float | None = None
    """Of a complete one."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Of several objectives, by name."""
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    message: str = ""
    is_best: bool = False
    """So far; with several objectives: on the front."""
    params: Params = field(default_factory=dict)

    @property
    def name(self) -> str:
        return name_of(self.trial, self.repeat)

    @property
    def is_over(self) -> bool:
        return self.state != "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelExported:
    """`tuner best` has written an export."""

    trial: int
    folder: Path
    metrics: Mapping[str, float]
    """Of the model, `test/...` among them."""


Event = StudyBegan | TrialBegan | EpochEnded | TrialEnded | ModelExported


class Tracker:
    """What a tracker does with what it is told: nothing, until a method is overridden.

    A tracker runs in a thread of its own. Whatever it raises ends the tracking and not the search, and nobody waits for
    it, apart from a few seconds at the end.
    """

    def study(self, began: StudyBegan) -> None:
        """A search begins, or goes on: also after an interruption, with trials that were told before."""

    def trial(self, began: TrialBegan) -> None:
        """A trial begins, or goes on after a pause."""

    def epoch(self, ended: EpochEnded) -> None:
        """An epoch of a trial that has begun."""

    def end(self, ended: TrialEnded) -> None:
        """A trial is over, or pauses; one whose params were refused has never begun."""

    def model(self, exported: ModelExported) -> None:
        """An export, after `study`."""

    def flush(self) -> None:
        """Nothing more has happened for the moment: write what is kept back."""

    def close(self) -> None:
        """The search is over; nothing follows."""


def name_of(trial: int, repeat: int) -> str:
    """`17`, or `17-2` for the trial's run on fresh seed 2, as the folders of runs are called."""
    return f"{trial}-{repeat}" if repeat else str(trial)


def tell(tracker: Tracker, event: Event) -> None:
    """Call the method that an event is for."""
    match event:
        case EpochEnded():
            tracker.epoch(event)
        case TrialBegan():
            tracker.trial(event)
        case TrialEnded():
            tracker.end(event)
        case StudyBegan():
            tracker.study(event)
        case ModelExported():
            tracker.model(event)
