"""Workers that say nothing: a hanging one is ended, so that its trial goes on from its checkpoint; a slow one never is.

Silence alone does not tell the two apart. `train.epoch_timeout` in seconds is a promise of its user. Without it a
worker is ended only when it and its children do nothing: neither training nor reading nor waiting for a loader that
reads goes without computing time. Before its first epoch it may wait for another worker to decode the data, and own
training code for another machine: these are only told about.

Silence and idleness count while somebody looks, so that neither a suspended driver nor a clock that steps adds to them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.training.events import EpochEnd, TrialEnd
from tuner.training.job import TrainJob

TELL_AFTER_S = 600.0
END_AFTER_S = 1800.0
SLOWEST = 20.0
"""Times the slowest epoch of the trial so far, which both have to exceed as well."""
LOOK_EVERY_S = 5.0
MEASURE_EVERY_S = 30.0
IDLE_SHARE = 0.001
"""Of a core: what a worker and its loader processes take to look now and then whether something has come."""
STACKS: int | None = getattr(signal, "SIGUSR1", None)
"""The signal at which a worker writes where each of its threads is; None where there are no such signals."""
TICKS_PER_S = float(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100.0
PROC = Path("/proc")


def busy_seconds(pid: int, proc: Path = PROC) -> float | None:
    """Computing time of a process and all that it has started and not yet waited for; None where /proc is not there."""
    found: dict[int, tuple[int, float]] = {}
    try:
        numbers = [int(path.name) for path in proc.iterdir() if path.name.isdecimal()]
    except OSError:
        return None
    for number in numbers:
        times = _times(proc / str(number) / "stat")
        if times is not None:
            found[number] = times
    if pid not in found:
        return None
    family = {pid}
    while more := {number for number, (parent, _) in found.items() if parent in family} - family:
        family |= more
    return sum(found[number][1] for number in family)


def _times(path: Path) -> tuple[int, float] | None:
    """Its parent, and the seconds that it and its children that are gone have computed."""
    try:
        fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[1]), sum(map(int, fields[11:15])) / TICKS_PER_S
    except (OSError, ValueError, IndexError):  # it has ended in the meantime
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with a silent worker."""

    message: str
    ends: bool
    """It is to be ended; else people are told."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """One worker's silence since its jobs began, or since it last said anything."""

    clock: Callable[[], float] = time.monotonic
    busy_s: Callable[[int], float | None] = busy_seconds
    silent_s: float = 0.0
    idle_s: float = 0.0
    slowest_s: float = 0.0
    _looked_at: float = 0.0
    _measured: tuple[float, float] | None = None
    """Silence so far and computing time, when that was last measured."""
    _has_told: bool = False

    def begin(self) -> None:
        """New jobs, which may be quite different."""
        self.slowest_s, self._has_told = 0.0, False
        self.heard()

    def heard(self, events: Sequence[EpochEnd] | Sequence[TrialEnd] = ()) -> None:
        """It said something, or was told something that it waited for."""
        self.slowest_s = max([self.slowest_s, *(event.seconds for event in events if isinstance(event, EpochEnd))])
        self.silent_s = self.idle_s = 0.0
        self._measured = None
        self._looked_at = self.clock()

    def next_look_s(self, jobs: Sequence[TrainJob]) -> float:
        """In how many seconds to look again."""
        limit = _limit(jobs)
        return LOOK_EVERY_S if limit is None else max(0.0, min(LOOK_EVERY_S, limit - self.silent_s))

    def look(self, pid: int, jobs: Sequence[TrainJob], *, is_ready: bool = True) -> Finding | None:
        """What is wrong with the worker of these jobs, if anything is; one that is not ready still opens the data."""
        now = self.clock()
        self.silent_s += min(now - self._looked_at, 2 * LOOK_EVERY_S)
        self._looked_at = now
        limit = _limit(jobs) if is_ready else None
        if limit is not None:
            if self.silent_s < limit:
                return None
            return Finding(message=f"{_nothing(self.silent_s)} (train.epoch_timeout)", ends=True)
        if any(job.config.train.epoch_timeout == "never" for job in jobs):
            return None
        return self._judge(pid, may_end=not any(job.config.is_own_training for job in jobs))

    def _judge(self, pid: int, *, may_end: bool) -> Finding | None:
        if self._measured is None or self.silent_s - self._measured[0] >= MEASURE_EVERY_S:
            self._measure(pid)
        longest = max(self.silent_s, self.idle_s)
        if may_end and self.slowest_s and self.idle_s >= max(END_AFTER_S, SLOWEST * self.slowest_s):
            return Finding(message=f"{_nothing(longest)}, and it did nothing", ends=True)
        if self._has_told or self.silent_s < max(TELL_AFTER_S, SLOWEST * self.slowest_s):
            return None
        self._has_told = True
        slowest = f", where its slowest epoch took {self.slowest_s:.3g} s" if self.slowest_s else ""
        does = "it is idle" if self.idle_s > 0.0 else "it is computing"
        text = f"{_nothing(self.silent_s)}{slowest}; {does}; `train.epoch_timeout` in seconds would end such an epoch"
        return Finding(message=text, ends=False)

    def _measure(self, pid: int) -> None:
        busy = self.busy_s(pid)
        before, self._measured = self._measured, None
        if busy is None:  # the system does not say: nobody is taken for idle
            self.idle_s = 0.0
            return
        self._measured = (self.silent_s, busy)
        if before is None:
            return
        elapsed = self.silent_s - before[0]
        self.idle_s = self.idle_s + elapsed if busy - before[1] <= IDLE_SHARE * elapsed else 0.0


def _limit(jobs: Sequence[TrainJob]) -> float | None:
    """What the jobs' file allows an epoch; lanes train theirs together. None where that is not a number."""
    limits = [job.config.train.epoch_timeout for job in jobs]
    known = [float(limit) for limit in limits if not isinstance(limit, str)]
    return sum(known) if known and len(known) == len(limits) else None


def _nothing(seconds: float) -> str:
    return f"nothing was heard of it for {seconds:.0f} s"
