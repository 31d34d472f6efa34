"""What the driver is given to drive: the trials of a search, or the runs that confirm its best ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuner.config.schema import TrialConfig
from tuner.control.controller import TrialState
from tuner.study.attempts import NewAttempt
from tuner.training.events import EpochEnd, Outcome


class Records(Protocol):
    """Where the driver writes what happens, before it acts on it; see StudyStore."""

    def together(self) -> AbstractContextManager[None]: ...

    def settle(self) -> None: ...

    def adopt(self, trial: int, *, config: str, seed: int) -> None: ...

    def begin_attempt(self, new: NewAttempt) -> None: ...

    def record_epochs(self, ends: Sequence[EpochEnd], metric: str | None) -> None: ...

    def end_attempt(
        self, trial: int, attempt: int, outcome: Outcome, *, seconds: float, message: str = "", cause: str = ""
    ) -> None: ...

    def pause(self, trial: int, reason: str) -> None: ...

    def finish(
        self,
        trial: int,
        state: TrialState,
        *,
        value: float | None,
        best_epoch: int,
        values: Sequence[float] = (),
        constraints: Mapping[str, float] | None = None,
        reason: str = "",
        message: str = "",
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What belongs to a run besides its config, by its number."""

    seed_of: Callable[[int], int]
    validated: Callable[[TrialConfig, int], TrialConfig]
    """Its config, with the part of the data that validates it."""
    folder_of: Callable[[int], Path]
    name_of: Callable[[int], str]
    """As messages call it."""
    logs_of: Callable[[int], str]
    """The command, or the file, that shows its log."""


class AskRecorder(Protocol):
    """Records a new trial that the controller asked for."""

    def __call__(self, trial: int, *, config: str, seed: int) -> None: ...


def nothing_is_asked(trial: int, *, config: str, seed: int) -> None:
    """For runs that are all recorded before the first begins."""
    raise AssertionError(f"run {trial} was never planned: {config}, seed {seed}")
