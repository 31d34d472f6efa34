"""The writing side of a study: one instance, in the driver, is the only thing that changes the database.

Every step is one transaction, so that a death leaves it whole or not begun; several steps may share one (`together`):

    ask      Optuna's trial with its params, and our row
    attempt  our row
    epoch    our metrics, checkpoint and Optuna's intermediate value: the acknowledgement
    end      our row's state and reason, Optuna's state, value and user attributes (repeated on resume)
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from tuner.config.spec import Spec
from tuner.control.controller import TrialState
from tuner.data.info import DataInfo
from tuner.errors import OwnedError, StorageError
from tuner.faults import fault_point
from tuner.study import tables
from tuner.study.attempts import NewAttempt, OpenTrial, add_attempt, close_attempt, lose_attempts, open_trial
from tuner.study.confirmations import ConfirmStore
from tuner.study.notes import StudyNotes
from tuner.study.optuna_rows import end_trial, fail_waiting, insert_trial, read_trials
from tuner.study.own_rows import EpochRows, rows_of, set_trial, vectors_of
from tuner.study.records import AskedTrial, StoredTrial
from tuner.study.retrying import Patience
from tuner.study.storage import open_optuna, storage_errors
from tuner.study.takeover import Source, Taken, copy_trials
from tuner.study.transactions import Transactions
from tuner.training.events import EpochEnd, Outcome

UID_ATTR = "tuner:uid"
OBJECTIVES_ATTR = "tuner:objectives"
"""The names of several objectives, in Optuna's order."""

TOUCH_EVERY_S = 1.0
"""How often the session's wall time is written along with a record; a death loses at most this much of it."""

_ADD_TRIAL = insert(tables.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHeader:
    """What was fixed when the study was started; a resumed search must agree with it."""

    uid: str
    spec: Spec
    data: DataInfo
    code: Mapping[str, str]
    """SHA-256 of the file of every python target."""


class StudyStore:
    """Records of one study."""

    def __init__(self, storage: Any, url: str, name: str) -> None:
        self._storage = storage
        self._engine = storage.engine
        self._url = url
        self._name = name
        self._study: optuna.Study | None = None
        self._use("")
        self._session = 0
        self._trial_ids: dict[int, int] = {}
        self._transactions = Transactions(self._engine, url)
        self._transaction = self._transactions.begin
        self._session_started = self._touched = time.monotonic()

    def _use(self, uid: str) -> None:
        self._uid = uid
        self._epoch_rows = EpochRows(uid, self._engine.dialect.name)

    @classmethod
    def open(cls, url: str, name: str) -> StudyStore:
        """Open, or create, the database; raises StorageError. The study itself is made by `create`."""
        return cls(open_optuna(url), url, name)

    def close(self) -> None:
        self._storage.scoped_session.remove()
        self._engine.dispose()

    @property
    def patience(self) -> Patience:
        """How long the database is waited for when it is away."""
        return self._transactions.patience

    def together(self) -> AbstractContextManager[None]:
        """Make what is recorded inside one transaction; see Transactions."""
        return self._transactions.together()

    def settle(self) -> None:
        """Commit what is inside that transaction so far."""
        self._transactions.settle()

    # ------------------------------------------------------------------------------------------------- start and resume

    def find(self) -> StudyHeader | None:
        """The study's header, None when there is no such study; StorageError when it was not made by tuner."""
        with storage_errors(self._url):
            if self._name not in optuna.get_all_study_names(self._storage):
                return None
            self._study = self._load()
            uid = self._study.user_attrs.get(UID_ATTR)
            if self._discard_half_made(uid):
                return None
        with self._transaction() as connection:
            row = connection.execute(select(tables.studies).where(tables.studies.c.uid == uid)).one_or_none()
        if row is None:
            raise StorageError(f"study {self._name!r} was not made by tuner; use another --study NAME")
        if row.schema_version != tables.SCHEMA_VERSION:
            raise StorageError(
                f"study {self._name!r} has records of version {row.schema_version}, this tuner reads version "
                f"{tables.SCHEMA_VERSION}; use the tuner that made it, or another --study NAME"
            )
        self._use(row.uid)
        return StudyHeader(
            uid=row.uid,
            spec=Spec.from_json(json.loads(row.spec)),
            data=DataInfo.from_json(json.loads(row.data)),
            code=json.loads(row.code),
        )

    def _discard_half_made(self, uid: str | None) -> bool:
        """Remove a study whose making was cut short: our row was there, Optuna's study was not finished."""
        assert self._study is not None
        half_made = self._half_made() if uid is None else self._half_made() & (tables.studies.c.uid == uid)
        with self._engine.connect() as connection:
            found = connection.execute(select(tables.studies.c.uid).where(half_made)).first()
        if found is None or self._study.get_trials(deepcopy=False):
            return False
        optuna.delete_study(study_name=self._name, storage=self._storage)
        self._study = None
        return True

    def _half_made(self) -> ColumnElement[bool]:
        return (tables.studies.c.name == self._name) & (tables.studies.c.study_id == 0)

    def create(
        self,
        spec: Spec,
        data: DataInfo,
        code: Mapping[str, str],
        versions: Mapping[str, str],
        planned: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the study, with the forecast that was made of it, if any.

        Our row comes first: a study without one would look like another tool's.
        """
        self._use(uuid.uuid4().hex)
        row = {
            "uid": self._uid,
            "name": self._name,
            "study_id": 0,
            "schema_version": tables.SCHEMA_VERSION,
            "created_at": time.time(),
            "spec": json.dumps(spec.to_json()),
            "data": json.dumps(data.to_json()),
            "code": json.dumps(dict(code)),
            "versions": json.dumps(dict(versions)),
        }
        with self._transaction() as connection:
            connection.execute(delete(tables.studies).where(self._half_made()))
            connection.execute(insert(tables.studies).values(**row))
        with storage_errors(self._url):
            self._study = self._create_in_optuna(spec)
        self.notes.keep_plan(planned)
        self._update_header(study_id=self._study._study_id)  # noqa: SLF001  no public way

    def _create_in_optuna(self, spec: Spec) -> optuna.Study:
        goals = spec.goals
        study = optuna.create_study(
            storage=self._storage,
            study_name=self._name,
            directions=["maximize" if maximize else "minimize" for maximize in goals.maximize],
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        fault_point("study_created")
        study.set_user_attr(UID_ATTR, self._uid)
        study.set_user_attr("tuner:metric", f"val/{goals.lead.metric}")
        if goals.are_several:
            study.set_user_attr(OBJECTIVES_ATTR, list(goals.keys))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(goals.keys))
        return study

    def take_over(self, source: Source, taken: Sequence[Taken], distributions: Mapping[str, BaseDistribution]) -> None:
        """Copy finished trials of another study, all or none; this study must not have any."""
        assert self._study is not None
        study_id = self._study._study_id  # noqa: SLF001  no public way
        with self._transaction() as connection:
            copy_trials(connection, source, self._uid, study_id, taken, distributions)

    @property
    def notes(self) -> StudyNotes:
        """What is kept about the study as a whole, besides its header."""
        assert self._study is not None
        return StudyNotes(self._study, self._url)

    def _load(self) -> optuna.Study:
        return optuna.load_study(
            study_name=self._name, storage=self._storage, sampler=optuna.samplers.RandomSampler(seed=0)
        )

    def replace_spec(self, spec: Spec, code: Mapping[str, str]) -> None:
        """Keep the spec of a resumed search: budget and machine settings may differ, what changes trials does not."""
        self._update_header(spec=json.dumps(spec.to_json()), code=json.dumps(dict(code)))

    def has_epochs(self) -> bool:
        """Whether any epoch of any trial is recorded."""
        query = select(tables.epochs.c.trial).where(tables.epochs.c.uid == self._uid)
        with self._transaction() as connection:
            return connection.execute(query).first() is not None

    def _update_header(self, **values: Any) -> None:
        with self._transaction() as connection:
            connection.execute(update(tables.studies).where(tables.studies.c.uid == self._uid).values(**values))

    def begin_session(self, machine: Mapping[str, str] | None = None) -> None:
        """A driver has taken the study over; its wall time counts from now.

        `machine` names what the bits of numbers depend on: processor and versions.
        """
        table = tables.sessions
        with self._transaction() as connection:
            last = connection.execute(select(func.max(table.c.session)).where(table.c.uid == self._uid)).scalar()
            self._session = (last or 0) + 1
            lose_attempts(connection, self._uid)
            connection.execute(
                insert(table).values(
                    uid=self._uid,
                    session=self._session,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    started_at=time.time(),
                    seconds=0.0,
                    machine=json.dumps(dict(machine or {})),
                )
            )
        self._session_started = self._touched = time.monotonic()

    def seconds_before(self) -> float:
        """Wall time that earlier sessions spent on this study."""
        table = tables.sessions
        query = select(func.sum(table.c.seconds)).where(table.c.uid == self._uid, table.c.session != self._session)
        with self._transaction() as connection:
            return float(connection.execute(query).scalar() or 0.0)

    def history(self, objectives: Sequence[str] = ()) -> list[StoredTrial]:
        """All trials as Optuna's tables hold them, in the order of their numbers.

        `objectives` are the names of several ones, whose curves are in our tables.
        A trial that somebody enqueued through Optuna is ended as FAIL: nobody else would ever train it.
        """
        assert self._study is not None
        study_id = self._study._study_id  # noqa: SLF001  no public way
        with self._transaction() as connection:
            fail_waiting(connection, study_id)
            trials, self._trial_ids = read_trials(connection, study_id)
            vectors = vectors_of(connection, self._uid, objectives) if len(objectives) > 1 else {}
        return [replace(trial, vectors=vectors[trial.number]) if trial.number in vectors else trial for trial in trials]

    def open_trials(self, metric: str, history: Sequence[StoredTrial]) -> list[OpenTrial]:
        """Trials that an earlier session left RUNNING or paused, in the order of their numbers."""
        running = [trial for trial in history if not trial.is_finished]
        with self._transaction() as connection:
            return [open_trial(connection, self._uid, trial.number, trial.params, metric) for trial in running]

    # ------------------------------------------------------------------------------------------------------- the search

    def record_ask(self, asked: AskedTrial, *, config: str, seed: int) -> None:
        """Store a new trial, Optuna's rows and ours at once; OwnedError when it is not the study's next one."""
        assert self._study is not None
        with self._transaction() as connection:
            study_id = self._study._study_id  # noqa: SLF001  no public way
            trial_id, n_before = insert_trial(connection, study_id, asked)
            if n_before != asked.number:
                raise OwnedError(
                    f"study {self._name!r}: somebody else added trial {asked.number} while this driver ran"
                )
            self._add_trial(connection, asked.number, config, seed)
        self._trial_ids[asked.number] = trial_id
        self._transactions.once_durable(lambda: fault_point("after_ask"))

    def adopt(self, trial: int, *, config: str, seed: int) -> None:
        """Make our row of a trial that another tool began in this study, unless it is there already."""
        with self._transaction() as connection:
            if not rows_of(connection, tables.trials, {"uid": self._uid, "trial": trial}):
                self._add_trial(connection, trial, config, seed)

    def _add_trial(self, connection: Connection, trial: int, config: str, seed: int) -> None:
        row = {"uid": self._uid, "trial": trial, "state": TrialState.WAITING.value, "seed": seed, "config": config}
        connection.execute(_ADD_TRIAL, row)

    def begin_attempt(self, new: NewAttempt) -> None:
        with self._transaction() as connection:
            add_attempt(connection, self._uid, self._session, new)

    def record_epochs(self, ends: Sequence[EpochEnd], metric: str | None) -> None:
        """Record epochs that ended at about the same time, in one transaction: once it returns, they cannot be lost.

        An epoch that was recorded before (repeated after a fault) is replaced by itself; Optuna keeps the first value
        of a step, as its own `report` does. Optuna's row is written here and not through its API so that curve,
        checkpoint and intermediate value become durable together, with one fsync.
        """
        with self._transaction() as connection:
            self._epoch_rows.record(connection, ends, metric, self._trial_ids)
            self._touch_session(connection)
        fault_point("epoch_recorded")

    def end_attempt(
        self, trial: int, attempt: int, outcome: Outcome, *, seconds: float, message: str = "", cause: str = ""
    ) -> None:
        """Record how an attempt ended; the first record of it stands."""
        ended = {"outcome": outcome.value, "seconds": seconds, "message": message, "cause": cause}
        with self._transaction() as connection:
            close_attempt(connection, self._uid, trial, attempt, **ended)
            self._touch_session(connection)

    def pause(self, trial: int, reason: str) -> None:
        """The trial waits: for a later session, or to be promoted."""
        with self._transaction() as connection:
            set_trial(connection, self._uid, trial, state=TrialState.PAUSED.value, reason=reason)
        self._transactions.once_durable(lambda: fault_point("paused"))

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
    ) -> None:
        """End a trial for good: our row, Optuna's state and value, the reason as a user attribute.

        `values` are those of several objectives, and `constraints` by how much each is missed.
        Safe to repeat, with another outcome too, as long as it was not recorded.
        """
        ours = {"state": state.value, "reason": reason, "message": message, "best_epoch": best_epoch}
        attrs = {"reason": reason, "best_epoch": best_epoch}
        with self._transaction() as connection:
            set_trial(connection, self._uid, trial, **ours)
            trial_id = self._trial_ids[trial]
            if not end_trial(connection, trial_id, state, value, attrs, values=values, constraints=constraints):
                raise OwnedError(f"study {self._name!r}: somebody else ended trial {trial} while this driver ran")
            fault_point("before_tell")
        self._transactions.once_durable(lambda: fault_point("told"))

    def keep_checkpoints(self, kept: Mapping[int, Sequence[int]], then: Callable[[], None] = lambda: None) -> None:
        """Forget every checkpoint of these trials but those of the epochs given for each, then call `then`."""
        with self._transaction() as connection:
            self._epoch_rows.forget(connection, kept)
        self._transactions.once_durable(then)

    def confirmations(self) -> ConfirmStore:
        """The records of the runs that confirm this study's best trials."""
        return ConfirmStore(self._transactions, self._engine.dialect.name, self._uid, self._session)

    def end_session(self) -> None:
        with self._transaction() as connection:
            self._touch_session(connection, every_s=0.0)

    def _touch_session(self, connection: Connection, *, every_s: float = TOUCH_EVERY_S) -> None:
        now = time.monotonic()
        if now - self._touched < every_s:
            return
        self._touched = now
        table = tables.sessions
        connection.execute(
            update(table)
            .where(table.c.uid == self._uid, table.c.session == self._session)
            .values(seconds=now - self._session_started)
        )
