"""Where a search stands, as the screen shows it: plain and frozen, whoever has put it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tuner.space.parameters import Params


class Phase(StrEnum):
    """What the driver is doing; the words of the screen's upper right corner."""

    LOADING = "loading"
    SEARCHING = "searching"
    CONFIRMING = "confirming"
    IDLE = "not running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An objective, by its name in curves."""

    name: str
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much of a phase is done: trials of a search, or runs that confirm its best ones."""

    n_done: int
    """Nobody trains them now: over, or paused."""
    n_total: int | None
    """None where only time ends it."""
    elapsed_s: float
    limit_s: float | None = None
    """Of the time that `elapsed_s` counts."""
    under_way: float = 0.0
    """What the running ones have done already: 1.5 for one that is through and one that is half through."""
    n_free: int = 0
    """Of the done ones, those that took no time here, since they were taken over."""

    @property
    def left_s(self) -> float | None:
        """About how long it will still take; None as long as nothing tells."""
        units = self.n_done - self.n_free + self.under_way
        limits = [] if self.limit_s is None else [max(0.0, self.limit_s - self.elapsed_s)]
        if self.n_total is not None and units >= 1.0:
            rest = self.n_total - self.n_done - self.under_way
            limits.append(max(0.0, self.elapsed_s * rest / units))
        return min(limits, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Trials by what became of them."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    paused: int = 0
    running: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best trial so far; of several objectives one of the front."""

    trial: int
    value: float | None
    params: Params = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    """Of several objectives, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTrial:
    """A trial that trains now, or a run of it on a fresh seed."""

    trial: int
    repeat: int = 0
    """Which fresh seed; 0 in the search itself."""
    worker: int = 0
    goal: int = 0
    """The epoch at which it pauses to be compared; that of its end when it does not."""
    epoch: int = 0
    last_epoch: int
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """After its last epoch; the objectives at least."""
    curve: tuple[float, ...] = ()
    """The leading objective by epoch, as far as it is known."""
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that trains."""

    worker: int
    device: str
    memory_bytes: int | None
    """None where it runs on another machine, or the system does not say."""
    trials: tuple[int, ...]
    """Lanes of one program where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last trial that failed."""

    trial: int
    repeat: int = 0
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trial that is confirmed, and what its runs on fresh seeds have come to so far."""

    trial: int
    search_value: float | None
    values: Mapping[int, float | None]
    """By seed, of the runs that are over; None for one that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """The phase after the search."""

    seeds: int
    work: Work
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """Everything that the screen shows."""

    study: str = ""
    phase: Phase = Phase.LOADING
    wanted: tuple[Wanted, ...] = ()
    """One, or several."""
    work: Work = field(default_factory=lambda: Work(n_done=0, n_total=None, elapsed_s=0.0))
    counts: Counts = field(default_factory=Counts)
    saved_s: float = 0.0
    """About how long the epochs would take that pruned trials did not train."""
    paused: Mapping[int, float] = field(default_factory=dict)
    """Paused trials, each with what it saves unless it goes on."""
    best: Best | None = None
    history: tuple[float, ...] = ()
    """The best value so far after each complete trial; empty for several objectives."""
    n_front: int | None = None
    """Trials on the front; None for one objective."""
    running: tuple[RunningTrial, ...] = ()
    workers: tuple[Worker, ...] = ()
    failure: Failure | None = None
    confirming: Confirming | None = None
    stopped: str = ""
    """Why the search ended before its budget."""
