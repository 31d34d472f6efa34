"""The state of a search in this process, kept up to date by its events.

An event costs a few microseconds, since it comes between a worker's report and the answer to it; what can be worked out
is worked out when somebody looks, in another thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tuner.control.controller import TrialState
from tuner.execution.memory import held_bytes
from tuner.screen.state import (
    Best,
    Candidate,
    Confirming,
    Counts,
    Failure,
    Phase,
    RunningTrial,
    SearchState,
    Wanted,
    Work,
    Worker,
)
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Progress,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)

Key = tuple[int, int]
"""Trial and fresh seed, which is 0 in the search itself."""
FAILURES = ("oom", "undefined")
"""Reasons of pruned trials that somebody should look at."""


@dataclass(slots=True, kw_only=True)
class _Trial:
    """One that is not over."""

    started: TrialStarted
    epoch: int
    seconds: float = 0.0
    n_epochs: int = 0
    """That `seconds` are of."""
    metrics: dict[str, float] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    """By epoch: one that was lost with its worker is trained again."""

    @property
    def saved_s(self) -> float:
        """What it would still take, if it went on to its end."""
        left = self.started.last_epoch - self.epoch
        return left * self.seconds / self.n_epochs if self.n_epochs else 0.0

    @property
    def share(self) -> float:
        """Of what its attempt is to train."""
        first, goal = self.started.first_epoch - 1, self.started.goal or self.started.last_epoch
        return min(1.0, (self.epoch - first) / (goal - first)) if goal > first else 1.0


class Follower:
    """Takes events in one thread, and tells the state in another.

    `stored` reads what the database has of a study, where the search of it goes on or its best are confirmed.
    """

    def __init__(
        self,
        stored: Callable[[str], SearchState],
        *,
        clock: Callable[[], float] = time.monotonic,
        memory_of: Callable[[int], int | None] = held_bytes,
    ) -> None:
        self._stored = stored
        self._clock = clock
        self._memory_of = memory_of
        self._lock = threading.Lock()
        self._known = SearchState()
        """As of the last event that changes more than the running trials."""
        self._since = clock()
        self._elapsed_s = 0.0
        """Before `_since`, of the phase."""
        self._running: dict[Key, _Trial] = {}
        self._paused: dict[Key, _Trial] = {}
        self._history: list[float] = []

    # ---------------------------------------------------------------------------------------------------------- events

    def show(self, progress: Progress) -> None:
        """Take in an event."""
        with self._lock:
            match progress:
                case EpochEnded():
                    self._epoch((progress.trial, 0), progress)
                case TrialStarted():
                    self._start((progress.trial, 0), progress)
                case TrialFinished():
                    self._finish((progress.trial, 0), progress)
                case ConfirmStep():
                    self._step(progress)
                case StudyStarted():
                    self._begin(progress)
                case ConfirmStarted():
                    self._confirm(progress)

    def _begin(self, started: StudyStarted) -> None:
        goes_on = started.n_finished > 0 or started.seconds_before > 0.0
        known = self._stored(started.study) if goes_on else SearchState()
        names = started.objectives or (started.metric,)
        directions = started.directions or ("maximize" if started.maximize else "minimize",)
        wanted = tuple(
            Wanted(name=name, direction=direction) for name, direction in zip(names, directions, strict=True)
        )
        self._history = list(known.history)
        self._elapsed_s, self._since = started.seconds_before, self._clock()
        work = replace(known.work, n_total=started.n_trials, limit_s=started.timeout_s)
        self._known = replace(
            known,
            study=started.study,
            phase=Phase.SEARCHING,
            wanted=wanted,
            work=work,
            counts=replace(known.counts, waiting=0),  # what a dead driver left goes on at once
            n_front=started.n_front,
            confirming=None,
        )

    def _confirm(self, started: ConfirmStarted) -> None:
        known = self._stored(started.study)
        there = {item.trial: item for item in known.confirming.candidates} if known.confirming else {}
        candidates = tuple(
            there.get(trial, Candidate(trial=trial, search_value=None, values={})) for trial in started.trials
        )
        work = Work(n_done=started.n_finished, n_total=started.n_runs, elapsed_s=0.0, n_free=started.n_finished)
        confirming = Confirming(seeds=started.seeds, work=work, candidates=candidates)
        self._running.clear()
        self._paused.clear()
        self._elapsed_s, self._since = 0.0, self._clock()
        self._history = list(known.history)
        self._known = replace(
            known,
            study=started.study,
            wanted=known.wanted or self._known.wanted,
            phase=Phase.CONFIRMING,
            confirming=confirming,
            failure=self._known.failure or known.failure,
        )

    def _step(self, progress: ConfirmStep) -> None:
        key, step = (progress.step.trial, progress.repeat), progress.step
        match step:
            case EpochEnded():
                self._epoch(key, step)
            case TrialStarted():
                self._start(key, step)
            case TrialFinished():
                self._finish_run(key, step)

    def _start(self, key: Key, started: TrialStarted) -> None:
        trial = self._paused.pop(key, None) or self._running.get(key)  # running: its last attempt ended in a fault
        if trial is None:
            trial = _Trial(started=started, epoch=0)
        trial.started, trial.epoch = started, started.first_epoch - 1
        self._running[key] = trial

    def _epoch(self, key: Key, ended: EpochEnded) -> None:
        trial = self._running.get(key)
        if trial is None:
            return
        trial.epoch = ended.epoch
        trial.seconds += ended.seconds
        trial.n_epochs += 1
        trial.metrics = ended.metrics
        trial.curve[ended.epoch] = ended.value

    def _finish(self, key: Key, ended: TrialFinished) -> None:
        trial = self._running.pop(key, None) or self._paused.pop(key, None)
        known = self._known
        if key[0] in known.paused:  # by an earlier session, and it did not go on in this one
            saved = {other: seconds for other, seconds in known.paused.items() if other != key[0]}
            known = replace(known, paused=saved)
        if ended.state is TrialState.PAUSED:
            if trial is not None:
                self._paused[key] = trial
            self._known = known
            return
        if ended.state is TrialState.PRUNED and ended.reason not in ("infeasible", *FAILURES):
            seconds = self._known.paused.get(key[0], 0.0) if trial is None else trial.saved_s
            known = replace(known, saved_s=known.saved_s + seconds)
        self._known = self._with_best(replace(known, counts=_counted(known.counts, ended.state)), ended)
        self._note_failure(key, ended)

    def _with_best(self, known: SearchState, ended: TrialFinished) -> SearchState:
        """With the trial, if it is the best or on the front."""
        if ended.n_front is not None:
            known = replace(known, n_front=ended.n_front)
        elif ended.is_best and ended.value is not None:
            self._history.append(ended.value)
        elif ended.state is TrialState.COMPLETE and self._history:
            self._history.append(self._history[-1])
        if not ended.is_best:
            return known
        best = Best(trial=ended.trial, value=ended.value, params=ended.params, values=ended.values)
        return replace(known, best=best)

    def _finish_run(self, key: Key, ended: TrialFinished) -> None:
        self._running.pop(key, None)
        confirming = self._known.confirming
        if ended.state is TrialState.PAUSED or confirming is None:
            return
        value = ended.value if ended.state is TrialState.COMPLETE else None
        candidates = tuple(
            replace(item, values={**item.values, key[1]: value}) if item.trial == key[0] else item
            for item in confirming.candidates
        )
        work = replace(confirming.work, n_done=confirming.work.n_done + 1)
        self._known = replace(self._known, confirming=replace(confirming, work=work, candidates=candidates))
        self._note_failure(key, ended)

    def _note_failure(self, key: Key, ended: TrialFinished) -> None:
        if ended.state is TrialState.FAILED or ended.reason in FAILURES:
            message = (ended.message.splitlines() or [""])[0]
            failure = Failure(trial=key[0], repeat=key[1], reason=ended.reason or "failed", message=message)
            self._known = replace(self._known, failure=failure)

    # ----------------------------------------------------------------------------------------------------------- state

    def state(self) -> SearchState:
        """Everything as it is now."""
        with self._lock:
            known = self._known
            running = {key: _shown(key, trial) for key, trial in self._running.items()}
            seats = [trial.started for trial in self._running.values()]
            under_way = sum(trial.share for trial in self._running.values())
            paused = {trial: seconds for trial, seconds in known.paused.items() if (trial, 0) not in self._running}
            paused |= {key[0]: trial.saved_s for key, trial in self._paused.items()}
            history = tuple(self._history)
            elapsed_s = self._elapsed_s + self._clock() - self._since
        if known.phase is Phase.LOADING:
            return known
        shown = replace(
            known,
            running=tuple(running[key] for key in sorted(running)),
            workers=self._workers(seats),
            history=history,
        )
        if shown.confirming is not None:
            work = replace(shown.confirming.work, elapsed_s=elapsed_s, under_way=under_way)
            return replace(shown, confirming=replace(shown.confirming, work=work))
        counts = replace(known.counts, paused=len(paused), running=len(running))
        n_done = counts.complete + counts.pruned + counts.failed + counts.paused
        work = replace(shown.work, n_done=n_done, elapsed_s=elapsed_s, under_way=under_way)
        return replace(shown, counts=counts, paused=paused, work=work)

    def _workers(self, seats: list[TrialStarted]) -> tuple[Worker, ...]:
        by_worker: dict[int, list[TrialStarted]] = {}
        for seat in seats:
            by_worker.setdefault(seat.worker, []).append(seat)
        return tuple(
            Worker(
                worker=worker,
                device=seats[0].device,
                memory_bytes=self._memory_of(seats[0].pid),
                trials=tuple(sorted(seat.trial for seat in seats)),
            )
            for worker, seats in sorted(by_worker.items())
        )


def _shown(key: Key, trial: _Trial) -> RunningTrial:
    return RunningTrial(
        trial=key[0],
        repeat=key[1],
        worker=trial.started.worker,
        goal=trial.started.goal,
        epoch=trial.epoch,
        last_epoch=trial.started.last_epoch,
        metrics=trial.metrics,
        curve=tuple(value for _, value in sorted(trial.curve.items())),
        params=trial.started.params,
    )


def _counted(counts: Counts, state: TrialState) -> Counts:
    """With one more that is over."""
    match state:
        case TrialState.COMPLETE:
            return replace(counts, complete=counts.complete + 1)
        case TrialState.PRUNED:
            return replace(counts, pruned=counts.pruned + 1)
        case TrialState.FAILED:
            return replace(counts, failed=counts.failed + 1)
    return counts
