"""What a training run tells the driver, and what the driver answers. Plain values: they cross process borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Decision(StrEnum):
    """The driver's answer to the end of an epoch."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


class Outcome(StrEnum):
    """How an attempt at a trial ended."""

    COMPLETED = "completed"
    EARLY_STOPPED = "early_stopped"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABORTED = "aborted"
    DIVERGED = "diverged"
    UNDEFINED = "undefined"
    """An objective had no value, though the losses had one: the metric, and not the training, went wrong."""
    OOM = "oom"
    INFEASIBLE = "infeasible"
    CRASHED = "crashed"
    KILLED = "killed"
    HUNG = "hung"
    """Its worker was ended, since nothing was heard of it; see `tuner.execution.watch`."""
    LOST = "lost"
    """Its driver died, or was stopped at once, before it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk: everything that resuming after `epoch` needs, and the weights of that epoch."""

    epoch: int
    file: str
    """File name inside the trial's folder."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnd:
    """One epoch is over and, if all objectives have a value, its checkpoint is on disk."""

    trial: int
    attempt: int
    epoch: int
    metrics: dict[str, float]
    """`<split>/<metric>`: value; nan and inf are possible."""
    seconds: float
    checkpoint: Checkpoint | None
    kept: tuple[int, ...] = ()
    """Epochs whose checkpoints are on disk now; empty when there is no new one."""
    undefined: tuple[str, ...] = ()
    """Objectives that are nan beside losses that are not."""
    picked: Mapping[str, str] = field(default_factory=dict)
    """What `auto` came to, for people: `{"data": "stored rows, memory-mapped"}`; only in an attempt's first epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnd:
    """An attempt is over."""

    trial: int
    attempt: int
    outcome: Outcome
    message: str = ""
    """For people: what went wrong, with the last lines of the traceback for a crash."""
    cause: str = ""
    """Equal for equal failures: exception type and the place it was raised at."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """What the model costs, where that is why it is infeasible."""
