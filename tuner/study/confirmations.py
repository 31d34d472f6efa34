"""Records of the runs that confirm a study's best trials: the same tables as those of trials, without Optuna's.

Optuna never hears of them, so that the study's trials stay those of its search. Their attempts, epochs and checkpoints
are rows under a `uid` of their own, by the number of the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from tuner.control.controller import TrialState
from tuner.control.winner import Candidate
from tuner.faults import fault_point
from tuner.study import tables
from tuner.study.attempts import NewAttempt, OpenTrial, add_attempt, close_attempt, lose_attempts, open_trial
from tuner.study.own_rows import EpochRows, set_trial
from tuner.study.transactions import Transactions
from tuner.training.events import EpochEnd, Outcome

_FINAL = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


def confirm_uid(uid: str) -> str:
    """What the rows of a study's confirmation runs are keyed by."""
    return hashlib.sha256(f"{uid} confirm".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A trial's config on a fresh seed."""

    trial: int
    repeat: int
    """1, 2, ...: which of the fresh seeds."""
    seed: int
    config: str
    """JSON, as `tuner show` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmRun:
    """A run as it is recorded."""

    run: int
    """Its number among the study's confirmation runs."""
    trial: int
    repeat: int
    state: TrialState
    value: float | None
    best_epoch: int
    reason: str

    @property
    def is_over(self) -> bool:
        return self.state in _FINAL


class ConfirmStore:
    """The writing side, with the methods that the driver knows from StudyStore; made by StudyStore.confirmations."""

    def __init__(self, transactions: Transactions, dialect: str, uid: str, session: int) -> None:
        self._transactions = transactions
        self._transaction = transactions.begin
        self._of_study = uid
        self._uid = confirm_uid(uid)
        self._session = session
        self._epoch_rows = EpochRows(self._uid, dialect)

    def together(self) -> AbstractContextManager[None]:
        return self._transactions.together()

    def settle(self) -> None:
        self._transactions.settle()

    def begin(self, planned: Sequence[PlannedRun]) -> list[ConfirmRun]:
        """Add the runs that are not there yet, all or none, and return all that there are."""
        with self._transaction() as connection:
            lose_attempts(connection, self._uid)
            known = runs_of(connection, self._of_study)
            there = {(run.trial, run.repeat) for run in known}
            missing = [run for run in planned if (run.trial, run.repeat) not in there]
            for number, new in enumerate(missing, start=len(known)):
                self._add(connection, number, new)
            found = runs_of(connection, self._of_study)
        fault_point("confirm_planned")
        return found

    def _add(self, connection: Connection, number: int, new: PlannedRun) -> None:
        row = {"uid": self._of_study, "run": number, "trial": new.trial, "repeat": new.repeat}
        connection.execute(insert(tables.confirmations).values(**row))
        state = TrialState.WAITING.value
        values = {"uid": self._uid, "trial": number, "state": state, "seed": new.seed, "config": new.config}
        connection.execute(insert(tables.trials).values(**values))

    def open_runs(self, params: Mapping[int, Mapping[str, Any]], metric: str) -> list[OpenTrial]:
        """What is recorded of these runs, {number: params}, that are not over."""
        with self._transaction() as connection:
            return [open_trial(connection, self._uid, run, of_run, metric) for run, of_run in params.items()]

    def adopt(self, trial: int, *, config: str, seed: int) -> None:
        """Nothing: every run has its row before it begins."""

    def begin_attempt(self, new: NewAttempt) -> None:
        with self._transaction() as connection:
            add_attempt(connection, self._uid, self._session, new)

    def record_epochs(self, ends: Sequence[EpochEnd], metric: str | None) -> None:
        with self._transaction() as connection:
            self._epoch_rows.record(connection, ends, metric, None)
        fault_point("epoch_recorded")

    def end_attempt(
        self, trial: int, attempt: int, outcome: Outcome, *, seconds: float, message: str = "", cause: str = ""
    ) -> None:
        ended = {"outcome": outcome.value, "seconds": seconds, "message": message, "cause": cause}
        with self._transaction() as connection:
            close_attempt(connection, self._uid, trial, attempt, **ended)

    def pause(self, trial: int, reason: str) -> None:
        with self._transaction() as connection:
            set_trial(connection, self._uid, trial, state=TrialState.PAUSED.value, reason=reason)

    def finish(
        self,
        trial: int,
        state: TrialState,
        *,
        value: float | None,
        best_epoch: int,
        values: Sequence[float] = (),  # noqa: ARG002  of several objectives, which nothing confirms
        constraints: Mapping[str, float] | None = None,  # noqa: ARG002  the trial itself met them
        reason: str = "",
        message: str = "",
    ) -> None:
        table = tables.confirmations
        here = (table.c.uid == self._of_study) & (table.c.run == trial)
        ours = {"state": state.value, "reason": reason, "message": message, "best_epoch": best_epoch}
        with self._transaction() as connection:
            set_trial(connection, self._uid, trial, **ours)
            connection.execute(update(table).where(here).values(value=value))
            fault_point("before_tell")
        self._transactions.once_durable(lambda: fault_point("told"))

    def keep_checkpoints(self, kept: Mapping[int, Sequence[int]], then: Callable[[], None] = lambda: None) -> None:
        with self._transaction() as connection:
            self._epoch_rows.forget(connection, kept)
        self._transactions.once_durable(then)


def runs_of(connection: Connection, uid: str) -> list[ConfirmRun]:
    """The runs that confirm the trials of a study, in the order of their numbers."""
    runs, rows = tables.confirmations.c, tables.trials.c
    query = (
        select(runs.run, runs.trial, runs.repeat, runs.value, rows.state, rows.best_epoch, rows.reason)
        .join_from(tables.confirmations, tables.trials, and_(rows.uid == confirm_uid(uid), rows.trial == runs.run))
        .where(runs.uid == uid)
        .order_by(runs.run)
    )
    return [
        ConfirmRun(
            run=row.run,
            trial=row.trial,
            repeat=row.repeat,
            state=TrialState(row.state),
            value=row.value,
            best_epoch=row.best_epoch,
            reason=row.reason,
        )
        for row in connection.execute(query)
    ]


def candidates_of(runs: Sequence[ConfirmRun], search_values: Mapping[int, float]) -> list[Candidate]:
    """The runs by trial, those of trials alone whose planned runs are all over."""
    by_trial: dict[int, list[ConfirmRun]] = {}
    for run in runs:
        by_trial.setdefault(run.trial, []).append(run)
    return [
        Candidate(
            trial=trial,
            search_value=search_values[trial],
            values=tuple(run.value for run in sorted(of_trial, key=lambda item: item.repeat)),
        )
        for trial, of_trial in by_trial.items()
        if all(run.is_over for run in of_trial) and trial in search_values
    ]
