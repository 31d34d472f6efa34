"""When things happened: epochs and attempts on one axis of time, in which pauses between sessions take none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.report.facts import Facts
from tuner.study.history import Course, EpochOf, SessionRow
from tuner.training.events import Outcome

FAULTS = frozenset({Outcome.CRASHED, Outcome.KILLED, Outcome.HUNG, Outcome.LOST, Outcome.OOM})
"""Ends of an attempt that lose what it had since its last epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochAt:
    """An epoch and when it ended, in seconds of searching."""

    trial: int
    epoch: int
    at: float
    value: float | None
    """The objective, or the leading one of several; None where it was not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An attempt on the axis of time."""

    course: Course
    begin: float
    end: float
    trained: float
    """Seconds of its epochs that were recorded."""

    @property
    def lost(self) -> float:
        """Seconds after its last epoch that a fault made worthless."""
        if self.course.outcome not in FAULTS:
            return 0.0
        return max(0.0, self.end - self.begin - self.trained)


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds of searching at a moment."""

    sessions: tuple[SessionRow, ...]

    def at(self, moment: float) -> float:
        passed = 0.0
        for session in self.sessions:
            if moment <= session.ended_at:
                return passed + max(0.0, moment - session.started_at)
            passed += session.seconds
        last = self.sessions[-1] if self.sessions else None
        return passed + (max(0.0, moment - last.ended_at) if last else 0.0)

    def breaks(self) -> list[float]:
        """Where one session ends and the next begins."""
        found, passed = [], 0.0
        for session in self.sessions[:-1]:
            passed += session.seconds
            found.append(passed)
        return found


def epochs_in_time(facts: Facts) -> list[EpochAt]:
    """All epochs of the search, in the order in which they ended."""
    clock = Clock(facts.history.sessions)
    of_attempt = _by_attempt(facts)
    found = []
    for course in facts.history.attempts:
        rows = of_attempt.get((course.trial, course.attempt), [])
        passed, stretch = 0.0, _stretch(course, rows)
        for row in rows:
            passed += row.seconds * stretch
            value = row.metrics.get(facts.metric)
            at = clock.at(course.started_at + passed)
            found.append(EpochAt(trial=course.trial, epoch=row.epoch, at=at, value=value))
    return sorted(found, key=lambda item: (item.at, item.trial, item.epoch))


def bars_of(facts: Facts) -> list[Bar]:
    """All attempts of the search, in the order in which they began; without those of trials that were taken over."""
    clock = Clock(facts.history.sessions)
    ends = {session.session: session.ended_at for session in facts.history.sessions}
    of_attempt = _by_attempt(facts)
    found = []
    for course in facts.history.attempts:
        if course.trial in facts.taken:
            continue
        trained = sum(row.seconds for row in of_attempt.get((course.trial, course.attempt), []))
        end = course.started_at + course.seconds
        if not course.seconds:  # it runs, or its driver died
            end = max(course.started_at + trained, ends.get(course.session, 0.0))
        bar = Bar(course=course, begin=clock.at(course.started_at), end=clock.at(end), trained=trained)
        found.append(bar)
    return sorted(found, key=lambda bar: (bar.begin, bar.course.trial))


def _by_attempt(facts: Facts) -> dict[tuple[int, int], list[EpochOf]]:
    found: dict[tuple[int, int], list[EpochOf]] = defaultdict(list)
    for trial, rows in facts.history.epochs.items():
        for row in rows:
            found[trial, row.attempt].append(row)
    return found


def _stretch(course: Course, rows: Sequence[EpochOf]) -> float:
    """Wall seconds for a second of an epoch: lanes share their time, and setting up takes some."""
    total = sum(row.seconds for row in rows)
    return course.seconds / total if course.seconds and total else 1.0
