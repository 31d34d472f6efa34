"""One look at a study that somebody else may be searching: all that a screen shows of it, in one short transaction.

A reader holds SQLite's shared lock, for which a driver's commit waits: 2000 trials of 20 epochs take 0.05 s, with all
that the screen makes of them (AMD EPYC, Python 3.11, SQLite 3.40, n=3).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, func, inspect, select

from tuner.control.controller import INFEASIBLE, TrialState
from tuner.space.parameters import Scalar
from tuner.study import tables
from tuner.study.confirmations import ConfirmRun, confirm_uid, runs_of
from tuner.study.queries import STATES, StudyReader, params_of
from tuner.study.rows import StudyRow
from tuner.study.storage import storage_errors

EPOCHS = "train.epochs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTrial:
    """A trial as far as it is counted."""

    number: int
    state: TrialState
    reason: str
    value: float | None
    """The first objective, of a complete one."""
    ended_at: str
    """Sorts by time; empty while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """Somebody trains this trial now, or did when the driver died; a confirmation run by its own number."""

    trial: int
    device: str
    first_epoch: int
    started_at: float
    goal: int = 0
    worker: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFailure:
    trial: int
    reason: str
    message: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSession:
    """The one that drives the study, or drove it last."""

    host: str
    pid: int
    started_at: float
    seconds: float
    """As of its last record."""


Curve = Sequence[tuple[int, Mapping[str, float | None]]]
"""Metrics by epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What one transaction has seen."""

    trials: tuple[SeenTrial, ...]
    work: Mapping[int, tuple[int, float]]
    """Epochs and their seconds, of trials that are pruned or paused."""
    epochs: Mapping[int, int]
    """How many epochs a trial may train, where the space varies that."""
    open: tuple[OpenAttempt, ...]
    curves: Mapping[int, Curve]
    """Of the open ones."""
    session: LastSession | None
    failure: SeenFailure | None
    runs: tuple[ConfirmRun, ...] = ()
    open_runs: tuple[OpenAttempt, ...] = ()
    begun_runs: Mapping[int, float] = field(default_factory=dict)
    """When the last session began each of the runs that it had."""
    run_curves: Mapping[int, Curve] = field(default_factory=dict)
    run_failure: SeenFailure | None = None


def glance(reader: StudyReader, study: StudyRow) -> Glance:
    """Look at a study that tuner made."""
    with storage_errors(reader.url), reader.engine.connect() as connection:
        number, session = _last_session(connection, study.uid)
        trials = _trials(connection, study)
        unfinished = [trial.number for trial in trials if trial.state in (TrialState.PRUNED, TrialState.PAUSED)]
        open_ones = _open(connection, study.uid, number)
        runs = runs_of(connection, study.uid) if reader.has(tables.confirmations.name) else []
        of_runs = confirm_uid(study.uid)
        open_runs = _open(connection, of_runs, number) if runs else ()
        return Glance(
            trials=tuple(trials),
            work=_work(connection, study.uid) if unfinished else {},
            epochs=_epochs(connection, study),
            open=open_ones,
            curves=_curves(connection, study.uid, open_ones),
            session=session,
            failure=_failure(connection, study.uid),
            runs=tuple(runs),
            open_runs=open_runs,
            begun_runs=_begun(connection, of_runs, number) if runs else {},
            run_curves=_curves(connection, of_runs, open_runs),
            run_failure=_failure(connection, of_runs) if runs else None,
        )


def params_of_trials(reader: StudyReader, study: StudyRow, numbers: Collection[int]) -> dict[int, dict[str, Scalar]]:
    """The params of these trials."""
    with storage_errors(reader.url), reader.engine.connect() as connection:
        return params_of(connection, study.study_id, numbers)


def _last_session(connection: Connection, uid: str) -> tuple[int, LastSession | None]:
    columns = tables.sessions.c
    query = (
        select(columns.session, columns.host, columns.pid, columns.started_at, columns.seconds)
        .where(columns.uid == uid)
        .order_by(columns.session.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return 0, None
    return row.session, LastSession(host=row.host, pid=row.pid, started_at=row.started_at, seconds=row.seconds)


def _trials(connection: Connection, study: StudyRow) -> list[SeenTrial]:
    trials, values, own = tables.optuna_trials.c, tables.optuna_values.c, tables.trials.c
    query = (
        select(trials.number, trials.state, trials.datetime_complete, values.value, own.state.label("own"), own.reason)
        .select_from(
            tables.optuna_trials.outerjoin(
                tables.optuna_values, and_(values.trial_id == trials.trial_id, values.objective == 0)
            ).outerjoin(tables.trials, and_(own.uid == study.uid, own.trial == trials.number))
        )
        .where(trials.study_id == study.study_id)
        .order_by(trials.number)
    )
    return [_trial(row) for row in connection.execute(query)]


def _trial(row: Any) -> SeenTrial:
    state = STATES[row.state]
    if state is TrialState.RUNNING and row.own in ("paused", "waiting"):
        state = TrialState(row.own)
    ended_at = str(row.datetime_complete or "")
    return SeenTrial(number=row.number, state=state, reason=row.reason or "", value=row.value, ended_at=ended_at)


def _work(connection: Connection, uid: str) -> dict[int, tuple[int, float]]:
    columns, own = tables.epochs.c, tables.trials.c
    query = (
        select(columns.trial, func.count(), func.sum(columns.seconds))
        .join_from(tables.epochs, tables.trials, and_(own.uid == columns.uid, own.trial == columns.trial))
        .where(columns.uid == uid, own.state.in_(["pruned", "paused"]), own.reason != INFEASIBLE)
        .group_by(columns.trial)
    )
    return {trial: (count, seconds) for trial, count, seconds in connection.execute(query)}


def _epochs(connection: Connection, study: StudyRow) -> dict[int, int]:
    trials, params = tables.optuna_trials.c, tables.optuna_params.c
    query = (
        select(trials.number, params.param_value, params.distribution_json)
        .join_from(tables.optuna_trials, tables.optuna_params, params.trial_id == trials.trial_id)
        .where(trials.study_id == study.study_id, params.param_name == EPOCHS)
    )
    found = {}
    for number, value, text in connection.execute(query):
        attributes = json.loads(text)["attributes"]
        found[number] = int(attributes["choices"][int(value)] if "choices" in attributes else value)
    return found


def _open(connection: Connection, uid: str, session: int) -> tuple[OpenAttempt, ...]:
    columns, own = tables.attempts.c, tables.trials.c
    there = {column["name"] for column in inspect(connection).get_columns(tables.attempts.name)}
    later = [name for name in ("goal", "worker", "pid") if name in there]  # earlier versions lack them
    query = (
        select(
            columns.trial, columns.device, columns.first_epoch, columns.started_at, *(columns[name] for name in later)
        )
        .join_from(tables.attempts, tables.trials, and_(own.uid == columns.uid, own.trial == columns.trial))
        .where(columns.uid == uid, columns.session == session, columns.outcome == "", own.state == "running")
        .order_by(columns.trial)
    )
    return tuple(
        OpenAttempt(
            trial=row.trial,
            device=row.device,
            first_epoch=row.first_epoch,
            started_at=row.started_at,
            **{name: getattr(row, name) for name in later},
        )
        for row in connection.execute(query)
    )


def _begun(connection: Connection, uid: str, session: int) -> dict[int, float]:
    columns = tables.attempts.c
    query = (
        select(columns.trial, func.min(columns.started_at).label("started_at"))
        .where(columns.uid == uid, columns.session == session)
        .group_by(columns.trial)
    )
    return {row.trial: row.started_at for row in connection.execute(query)}


def _curves(connection: Connection, uid: str, attempts: Sequence[OpenAttempt]) -> dict[int, Curve]:
    columns = tables.epochs.c
    query = (
        select(columns.trial, columns.epoch, columns.metrics)
        .where(columns.uid == uid, columns.trial.in_([item.trial for item in attempts]))
        .order_by(columns.trial, columns.epoch)
    )
    found: dict[int, list[tuple[int, Mapping[str, float | None]]]] = defaultdict(list)
    for trial, epoch, text in connection.execute(query):
        found[trial].append((epoch, json.loads(text)))
    return dict(found)


def _failure(connection: Connection, uid: str) -> SeenFailure | None:
    """The trial that failed last, did not fit into memory, or had no value to be compared by."""
    attempts, own = tables.attempts.c, tables.trials.c
    at = func.max(attempts.started_at + attempts.seconds)
    query = (
        select(own.trial, own.state, own.reason, own.message, at.label("at"))
        .join_from(tables.trials, tables.attempts, and_(attempts.uid == own.uid, attempts.trial == own.trial))
        .where(own.uid == uid, (own.state == "failed") | own.reason.in_(("oom", "undefined")))
        .group_by(own.trial, own.state, own.reason, own.message)
        .order_by(at.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return SeenFailure(trial=row.trial, reason=row.reason or row.state, message=row.message, at=row.at)
