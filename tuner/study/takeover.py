"""Trials of one study as finished trials of another: their rows, ours and Optuna's, copied in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from sqlalchemy import Connection, insert, select, update

from tuner.control.controller import TrialState
from tuner.faults import fault_point
from tuner.space.parameters import Params
from tuner.study import tables
from tuner.study.optuna_rows import insert_trial
from tuner.study.records import CONSTRAINT_ATTR, AskedTrial

FROM_ATTR = "from"
"""User attribute of a trial that was taken over: {"study": name, "trial": number}."""
TAKEN_ATTR = "tuner:taken"
"""User attribute of a study: the study that it took trials from, and how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A trial to take over: its number there, its params here, and its config as it is bound here."""

    number: int
    params: Params
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The study that trials are taken from."""

    name: str
    uid: str
    study_id: int


def copy_trials(
    connection: Connection,
    source: Source,
    uid: str,
    study_id: int,
    taken: Sequence[Taken],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Give a study without trials those of another as its first ones, in their order, and note that it has them."""
    rows = _optuna_trials(connection, source.study_id)
    for number, trial in enumerate(taken):
        asked = AskedTrial(
            number=number, params=trial.params, distributions={name: distributions[name] for name in trial.params}
        )
        trial_id, n_before = insert_trial(connection, study_id, asked)
        assert n_before == number, "trials are only taken over into a new study"
        _copy_optuna(connection, rows[trial.number], trial_id, {"study": source.name, "trial": trial.number})
        _copy_own(connection, source.uid, trial, uid, number)
    note = json.dumps({"study": source.name, "trials": len(taken)})
    attrs = tables.optuna_study_attrs
    connection.execute(insert(attrs).values(study_id=study_id, key=TAKEN_ATTR, value_json=note))
    fault_point("taken_over")


def _optuna_trials(connection: Connection, study_id: int) -> dict[int, Any]:
    columns = tables.optuna_trials
    return {row.number: row for row in connection.execute(select(columns).where(columns.c.study_id == study_id))}


def _copy_optuna(connection: Connection, old: Any, trial_id: int, origin: Mapping[str, Any]) -> None:
    trials = tables.optuna_trials
    ended = {"state": old.state, "datetime_start": old.datetime_start, "datetime_complete": old.datetime_complete}
    connection.execute(update(trials).where(trials.c.trial_id == trial_id).values(**ended))
    for table in (tables.optuna_values, tables.optuna_intermediate, tables.optuna_user_attrs):
        _copy(connection, table, {"trial_id": old.trial_id}, {"trial_id": trial_id})
    notes = tables.optuna_system_attrs
    query = select(notes).where(notes.c.trial_id == old.trial_id, notes.c.key.like(f"{CONSTRAINT_ATTR}%"))
    rows = [{**row, "trial_id": trial_id} for row in connection.execute(query).mappings()]
    if rows:
        connection.execute(insert(notes), rows)
    attrs = tables.optuna_user_attrs
    connection.execute(insert(attrs).values(trial_id=trial_id, key=FROM_ATTR, value_json=json.dumps(origin)))


def _copy_own(connection: Connection, old_uid: str, trial: Taken, uid: str, number: int) -> None:
    here, there = {"uid": uid, "trial": number}, {"uid": old_uid, "trial": trial.number}
    _copy(connection, tables.trials, there, {**here, "config": trial.config})
    _copy(connection, tables.attempts, there, {**here, "session": 0})
    _copy(connection, tables.epochs, there, here)
    _copy(connection, tables.checkpoints, there, here)


def _copy(connection: Connection, table: Any, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Copy the rows of a table where columns have some values, with other values for some columns."""
    query = select(table).where(*(table.c[name] == value for name, value in there.items()))
    rows = [{**row, **here} for row in connection.execute(query).mappings()]
    keys = {column.name for column in table.columns if column.name in ("trial_id", "uid")} or {""}
    assert keys <= set(here), "a copy has another owner"
    if table is tables.optuna_user_attrs:  # one that was taken over itself has its origin already
        rows = [row for row in rows if row["key"] != FROM_ATTR]
    if rows:
        connection.execute(insert(table), rows)


FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States whose trials can be taken over; the others are unfinished, or say nothing of their params."""
