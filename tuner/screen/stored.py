"""The state of a search as the database tells it, for those who watch one that runs elsewhere.

Nothing is written, and nothing is asked of the driver: what it has recorded is what is shown.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner.config.spec import Spec
from tuner.control.controller import INFEASIBLE, TrialState
from tuner.errors import TunerError
from tuner.execution.memory import held_bytes
from tuner.paths import StudyPaths, sqlite_file
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
from tuner.study.confirmations import ConfirmRun
from tuner.study.glance import Curve, Glance, OpenAttempt, SeenFailure, SeenTrial, glance, params_of_trials
from tuner.study.ownership import is_owned
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow
from tuner.workflows.pick import front_rows, pick
from tuner.workflows.placing import n_trials_of


def state_or_nothing(storage: str, study: str) -> SearchState:
    """What is stored of a study; nothing where that cannot be read: a screen must not end a search."""
    try:
        return StoredSearch.open(storage, study).state()
    except TunerError:
        return SearchState()


@dataclass(slots=True)
class StoredSearch:
    """One study of a database, which may be looked at again and again."""

    reader: StudyReader
    name: str
    lock: Path
    is_local: bool = True
    """Whether the database is a file: on a server, the driver may be on another machine than this lock."""
    clock: Callable[[], float] = time.time
    _spec: tuple[dict[str, Any], Spec] | None = None
    """With the data that it was made of: a search that goes on may have another budget."""

    @classmethod
    def open(cls, storage: str, study: str | None) -> StoredSearch:
        """NotFoundError when there is no such study, StorageError when tuner did not make it."""
        reader = StudyReader.open(storage)
        name = reader.own_study(study).name
        return cls(reader, name, StudyPaths.of(storage, name).lock, is_local=sqlite_file(storage) is not None)

    def state(self) -> SearchState:
        """Everything as it is recorded now."""
        study = self.reader.own_study(self.name)
        seen = glance(self.reader, study)
        is_driven = is_owned(self.lock)
        if is_driven is None or (not is_driven and not self.is_local):
            is_driven = bool(seen.open or seen.open_runs)
        phase = _phase(seen) if is_driven else Phase.IDLE
        look = Look(study=study, seen=seen, spec=self._spec_of(study), phase=phase, now=self.clock())
        return self._with_params(look, state_of(look))

    def _spec_of(self, study: StudyRow) -> Spec:
        data = self.reader.header(study)["spec"]
        if self._spec is None or self._spec[0] != data:
            self._spec = (data, Spec.from_json(data))
        return self._spec[1]

    def _with_params(self, look: Look, state: SearchState) -> SearchState:
        """With the params of the trials that are shown, and what only a look at all trials tells."""
        if look.study.objectives:
            state = self._with_front(look.study, state)
        shown = {item.trial for item in state.running} | ({state.best.trial} if state.best else set())
        params = params_of_trials(self.reader, look.study, shown) if shown else {}
        running = tuple(replace(item, params=params.get(item.trial, {})) for item in state.running)
        best = replace(state.best, params=params.get(state.best.trial, {})) if state.best else None
        return replace(state, running=running, best=best)

    def _with_front(self, study: StudyRow, state: SearchState) -> SearchState:
        trials = self.reader.trials(study)
        front = front_rows(trials)
        if not front:
            return replace(state, n_front=0)
        found = pick(study, trials).trial
        best = Best(trial=found.number, value=found.value, values=found.values or {})
        return replace(state, n_front=len(front), best=best)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was read, and when."""

    study: StudyRow
    seen: Glance
    spec: Spec
    phase: Phase
    now: float

    @property
    def open(self) -> tuple[OpenAttempt, ...]:
        """Attempts that somebody trains: those of a driver that died are not."""
        return () if self.phase is Phase.IDLE else self.seen.open

    @property
    def open_runs(self) -> tuple[OpenAttempt, ...]:
        return () if self.phase is Phase.IDLE else self.seen.open_runs

    def last_epoch(self, trial: int) -> int:
        return self.seen.epochs.get(trial, self.spec.base.train.epochs)


def _phase(seen: Glance) -> Phase:
    is_confirming = seen.open_runs or (not seen.open and any(not run.is_over for run in seen.runs))
    return Phase.CONFIRMING if is_confirming else Phase.SEARCHING


def state_of(look: Look) -> SearchState:
    """What a look at the database says; params are not part of it. A pure function."""
    seen, study = look.seen, look.study
    counts = _counts(look)
    savings = {trial.number: _saved(look, trial) for trial in seen.trials if trial.number in seen.work}
    paused = {trial.number: savings.get(trial.number, 0.0) for trial in seen.trials if trial.state is TrialState.PAUSED}
    names = [Wanted(name=item.name, direction=item.direction) for item in study.objectives]
    history = () if study.objectives else _history(look)
    return SearchState(
        study=study.name,
        phase=look.phase,
        wanted=tuple(names) or (Wanted(name=f"val/{study.metric}", direction=study.direction),),
        work=_work(look, counts),
        counts=counts,
        saved_s=sum(seconds for trial, seconds in savings.items() if trial not in paused),
        paused=paused,
        best=history[-1][1] if history else None,
        history=tuple(value for value, _ in history),
        running=_running(look),
        workers=_workers([*look.open, *look.open_runs], look),
        failure=_failure(seen),
        confirming=_confirming(look) if seen.runs and look.phase is not Phase.SEARCHING else None,
        stopped=study.stopped,
    )


def _counts(look: Look) -> Counts:
    of = Counter(trial.state for trial in look.seen.trials)
    running = len(look.open)
    lost = of[TrialState.RUNNING] - running
    return Counts(
        complete=of[TrialState.COMPLETE],
        pruned=of[TrialState.PRUNED],
        failed=of[TrialState.FAILED],
        paused=of[TrialState.PAUSED] + (lost if look.phase is Phase.IDLE else 0),
        running=running,
        waiting=of[TrialState.WAITING] + (lost if look.phase is not Phase.IDLE else 0),
    )


def _saved(look: Look, trial: SeenTrial) -> float:
    epochs, seconds = look.seen.work[trial.number]
    return max(0, look.last_epoch(trial.number) - epochs) * seconds / epochs


def _work(look: Look, counts: Counts) -> Work:
    n_total, n_taken = n_trials_of(look.spec), int(look.study.taken["trials"]) if look.study.taken else 0
    elapsed_s = look.study.seconds
    if look.open and look.seen.session is not None:
        elapsed_s += max(0.0, look.now - look.seen.session.started_at - look.seen.session.seconds)
    return Work(
        n_done=counts.complete + counts.pruned + counts.failed + counts.paused,
        n_total=None if n_total is None else n_total + n_taken,
        elapsed_s=elapsed_s,
        limit_s=look.spec.search.timeout,
        under_way=sum(_share(look, item, item.trial, look.seen.curves) for item in look.open),
        n_free=n_taken,
    )


def _share(look: Look, item: OpenAttempt, trial: int, curves: Mapping[int, Curve]) -> float:
    """Of what an attempt is to train."""
    first, goal = item.first_epoch - 1, item.goal or look.last_epoch(trial)
    epoch = max((epoch for epoch, _ in curves.get(item.trial, ())), default=first)
    return min(1.0, max(0.0, (epoch - first) / (goal - first))) if goal > first else 1.0


def _history(look: Look) -> list[tuple[float, Best]]:
    """The best so far after each complete trial, in the order in which they ended."""
    ended = [
        trial
        for trial in look.seen.trials
        if trial.state is TrialState.COMPLETE and trial.value is not None and trial.reason != INFEASIBLE
    ]
    found: list[tuple[float, Best]] = []
    for trial in sorted(ended, key=lambda trial: (trial.ended_at, trial.number)):
        value = trial.value or 0.0
        is_better = not found or (value > found[-1][0] if look.study.maximize else value < found[-1][0])
        found.append((value, Best(trial=trial.number, value=value)) if is_better else found[-1])
    return found


def _running(look: Look) -> tuple[RunningTrial, ...]:
    runs = {run.run: run for run in look.seen.runs}
    found = [_trial(look, item, item.trial, 0, look.seen.curves) for item in look.open]
    found += [
        _trial(look, item, runs[item.trial].trial, runs[item.trial].repeat, look.seen.run_curves)
        for item in look.open_runs
    ]
    return tuple(sorted(found, key=lambda item: (item.trial, item.repeat)))


def _trial(look: Look, item: OpenAttempt, trial: int, repeat: int, curves: Mapping[int, Curve]) -> RunningTrial:
    curve = curves.get(item.trial, ())
    values = [metrics.get(f"val/{look.study.metric}") for _, metrics in curve]
    return RunningTrial(
        trial=trial,
        repeat=repeat,
        worker=item.worker,
        goal=item.goal,
        epoch=curve[-1][0] if curve else item.first_epoch - 1,
        last_epoch=look.last_epoch(trial),
        metrics=curve[-1][1] if curve else {},
        curve=tuple(value for value in values if value is not None),
    )


def _workers(attempts: Sequence[OpenAttempt], look: Look) -> tuple[Worker, ...]:
    """By the number of the worker, where it is recorded; memory where it runs on this machine."""
    session, runs = look.seen.session, {run.run: run.trial for run in look.seen.runs}
    is_here = session is not None and session.host == socket.gethostname()
    by_worker: dict[tuple[int, str], list[OpenAttempt]] = {}
    for item in attempts:
        by_worker.setdefault((item.worker, item.device), []).append(item)
    return tuple(
        Worker(
            worker=worker,
            device=device,
            memory_bytes=held_bytes(items[0].pid) if is_here else None,
            trials=tuple(sorted(runs[item.trial] if item in look.open_runs else item.trial for item in items)),
        )
        for (worker, device), items in sorted(by_worker.items())
    )


def _failure(seen: Glance) -> Failure | None:
    runs = {run.run: run for run in seen.runs}
    found = [(item.at, _failed(item, item.trial, 0)) for item in [seen.failure] if item is not None]
    found += [
        (item.at, _failed(item, runs[item.trial].trial, runs[item.trial].repeat))
        for item in [seen.run_failure]
        if item is not None
    ]
    return max(found, key=lambda item: item[0])[1] if found else None


def _failed(item: SeenFailure, trial: int, repeat: int) -> Failure:
    message = (item.message.splitlines() or [""])[0]
    return Failure(trial=trial, repeat=repeat, reason=item.reason, message=message)


def _confirming(look: Look) -> Confirming:
    runs, begun = look.seen.runs, look.seen.begun_runs
    values = {trial.number: trial.value for trial in look.seen.trials}
    by_trial: dict[int, list[ConfirmRun]] = {}
    for run in runs:
        by_trial.setdefault(run.trial, []).append(run)
    numbers = {run.run: run.trial for run in runs}
    work = Work(
        n_done=sum(run.is_over for run in runs),
        n_total=len(runs),
        elapsed_s=max(0.0, look.now - min(begun.values())) if begun and look.open_runs else 0.0,
        under_way=sum(_share(look, item, numbers[item.trial], look.seen.run_curves) for item in look.open_runs),
        n_free=sum(run.is_over and run.run not in begun for run in runs),
    )
    candidates = tuple(
        Candidate(
            trial=trial,
            search_value=values.get(trial),
            values={run.repeat: run.value for run in of_trial if run.is_over},
        )
        for trial, of_trial in by_trial.items()
    )
    return Confirming(seeds=max(run.repeat for run in runs), work=work, candidates=candidates)
