"""Rows of attempts, of the search's trials and of the runs that confirm them: both are trained by the same driver."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, update

from tuner.control.controller import TrialState
from tuner.study import tables
from tuner.study.own_rows import rows_of, set_trial
from tuner.training.events import Checkpoint, Outcome

_ADD_ATTEMPT = insert(tables.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTrial:
    """A trial that an earlier session left unfinished."""

    trial: int
    params: Mapping[str, Any]
    values: tuple[float, ...]
    """The objective after epochs 1, 2, ... as far as they are recorded."""
    metrics: tuple[Mapping[str, float | None], ...]
    """All that was recorded after epochs 1, 2, ...; None where it was not finite."""
    checkpoints: tuple[Checkpoint, ...]
    """Recorded checkpoints, the newest first."""
    n_attempts: int
    goal: int | None
    """The epoch at which the last attempt had to pause or to end; None when there was none."""
    outcome: Outcome | None
    """How the last attempt ended, when it did: the study was about to be told."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt that is about to be sent to a worker."""

    trial: int
    attempt: int
    first_epoch: int
    threads: int
    device: str
    goal: int = 0
    """The epoch at which it pauses, or ends; 0 where nobody will ask."""
    worker: int = 0
    """Counted from 1; lanes of one program have the same. 0 where nobody will ask."""
    pid: int = 0
    """Of the worker's process."""


def add_attempt(connection: Connection, uid: str, session: int, new: NewAttempt) -> None:
    """Note that a trial begins, or goes on."""
    connection.execute(_ADD_ATTEMPT, {**asdict(new), "uid": uid, "session": session, "started_at": time.time()})
    set_trial(connection, uid, new.trial, state=TrialState.RUNNING.value, reason="")


def close_attempt(connection: Connection, uid: str, trial: int, attempt: int, **values: Any) -> None:
    """Note how an attempt ended; the first record of it stands."""
    table = tables.attempts
    here = (table.c.uid == uid) & (table.c.trial == trial) & (table.c.attempt == attempt)
    connection.execute(update(table).where(here, table.c.outcome == "").values(**values))


def lose_attempts(connection: Connection, uid: str) -> None:
    """Close the attempts of sessions that died."""
    table = tables.attempts
    open_ones = (table.c.uid == uid) & (table.c.outcome == "")
    connection.execute(update(table).where(open_ones).values(outcome=Outcome.LOST.value))


def open_trial(connection: Connection, uid: str, trial: int, params: Mapping[str, Any], metric: str) -> OpenTrial:
    """What is recorded of a trial that is not over."""
    here = {"uid": uid, "trial": trial}
    epochs = rows_of(connection, tables.epochs, here, order="epoch")
    checkpoints = rows_of(connection, tables.checkpoints, here, order="epoch")
    attempts = rows_of(connection, tables.attempts, here, order="attempt")
    metrics = [json.loads(row.metrics) for row in epochs]
    values = [of_epoch.get(metric) for of_epoch in metrics]
    return OpenTrial(
        trial=trial,
        params=params,
        values=tuple(math.nan if value is None else value for value in values),
        metrics=tuple(metrics),
        checkpoints=tuple(
            Checkpoint(epoch=row.epoch, file=row.file, sha256=row.sha256, size_bytes=row.size_bytes)
            for row in reversed(checkpoints)
        ),
        n_attempts=max((row.attempt for row in attempts), default=0),
        goal=attempts[-1].goal or None if attempts else None,
        outcome=Outcome(attempts[-1].outcome) if attempts and attempts[-1].outcome else None,
        message=attempts[-1].message if attempts else "",
    )
