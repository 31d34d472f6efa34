"""The whole course of a study: every session, attempt and epoch, in a query each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, inspect, select

from tuner.study import tables
from tuner.study.confirmations import confirm_uid
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow
from tuner.study.storage import storage_errors

Metrics = Mapping[str, float | None]
"""By `<split>/<metric>`; None where not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One run of the driver."""

    session: int
    host: str
    started_at: float
    """Seconds since 1970."""
    seconds: float
    machine: Mapping[str, str]
    """Processor and versions; empty where an earlier version did not keep them."""

    @property
    def ended_at(self) -> float:
        return self.started_at + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One attempt at a trial, or at a run that confirms one."""

    trial: int
    attempt: int
    session: int
    first_epoch: int
    started_at: float
    seconds: float
    """Wall time; 0 while it runs, and where its driver died."""
    threads: int
    device: str
    outcome: str
    """Empty while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOf:
    """One epoch of a trial."""

    epoch: int
    attempt: int
    seconds: float
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened, of the search and of the runs that confirmed its best trials, by the number of trial or run."""

    sessions: tuple[SessionRow, ...] = ()
    attempts: tuple[Course, ...] = ()
    epochs: Mapping[int, tuple[EpochOf, ...]]
    confirm_attempts: tuple[Course, ...] = ()
    confirm_epochs: Mapping[int, tuple[EpochOf, ...]]


def history_of(reader: StudyReader, study: StudyRow) -> History:
    """All that is recorded of the course of a study that tuner made."""
    confirm = confirm_uid(study.uid)
    return History(
        sessions=tuple(map(_session, _rows(reader, tables.sessions, study.uid, "session"))),
        attempts=tuple(map(_course, _rows(reader, tables.attempts, study.uid, "started_at"))),
        epochs=_epochs(reader, study.uid),
        confirm_attempts=tuple(map(_course, _rows(reader, tables.attempts, confirm, "started_at"))),
        confirm_epochs=_epochs(reader, confirm),
    )


def _rows(reader: StudyReader, table: Table, uid: str, *order: str) -> list[Any]:
    """The rows of a study; without the columns that a database of an earlier version lacks."""
    if not reader.has(table.name):
        return []
    with storage_errors(reader.url), reader.engine.connect() as connection:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        columns = [column for column in table.columns if column.name in there]
        query = select(*columns).where(table.c.uid == uid).order_by(*(table.c[name] for name in order))
        return list(connection.execute(query))


def _session(row: Any) -> SessionRow:
    return SessionRow(
        session=row.session,
        host=row.host,
        started_at=row.started_at,
        seconds=row.seconds,
        machine=json.loads(getattr(row, "machine", "{}")),
    )


def _course(row: Any) -> Course:
    return Course(**{name: getattr(row, name) for name in Course.__dataclass_fields__})


def _epochs(reader: StudyReader, uid: str) -> dict[int, tuple[EpochOf, ...]]:
    found: dict[int, list[EpochOf]] = defaultdict(list)
    for row in _rows(reader, tables.epochs, uid, "trial", "epoch"):
        found[row.trial].append(
            EpochOf(epoch=row.epoch, attempt=row.attempt, seconds=row.seconds, metrics=json.loads(row.metrics))
        )
    return {trial: tuple(rows) for trial, rows in found.items()}
