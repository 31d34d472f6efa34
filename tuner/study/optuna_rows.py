"""Optuna's own tables of trials, read and written as Optuna 5 does, without its ORM.

One transaction holds a trial's start or its end whole, ours and Optuna's rows together; and a study of 5000 trials is
read in bulk, in half a second where Optuna takes seven. What is written here is what `optuna.load_study` expects: the
tests compare.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from sqlalchemy import Connection, func, insert, select, update

from tuner.control.controller import TrialState
from tuner.space.parameters import Scalar
from tuner.study import tables
from tuner.study.records import AskedTrial, StoredTrial

_NAMES = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.RUNNING: "RUNNING",
}
_STATES = {name: state for state, name in _NAMES.items()}


def _now() -> datetime:
    """Optuna keeps UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def insert_trial(connection: Connection, study_id: int, asked: AskedTrial) -> tuple[int, int]:
    """Add a running trial with all of its params; returns its id, and how many trials the study had before.

    The study's row is locked first, as Optuna does where there are row locks; SQLite has one writer at a time anyway.
    Raises KeyError, as Optuna does, when the study is gone.
    """
    studies, trials = tables.optuna_studies, tables.optuna_trials
    locked = select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise KeyError("Record does not exist.")
    row = {"number": asked.number, "study_id": study_id, "state": "RUNNING", "datetime_start": _now()}
    trial_id = int(connection.execute(insert(trials).values(**row).returning(trials.c.trial_id)).scalar_one())
    count = select(func.count()).select_from(trials).where(trials.c.study_id == study_id)
    n_before = int(connection.execute(count).scalar_one()) - 1
    params = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": asked.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(asked.distributions[name]),
        }
        for name, value in asked.params.items()
    ]
    notes = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in asked.system_attrs.items()
    ]
    if params:
        connection.execute(insert(tables.optuna_params), params)
    if notes:
        connection.execute(insert(tables.optuna_system_attrs), notes)
    return trial_id, n_before


def end_trial(
    connection: Connection, trial_id: int, state: TrialState, value: float | None, user_attrs: Mapping[str, Any]
) -> bool:
    """Give a running trial its end; False when it is not running. A pruned one has the value of its last epoch."""
    trials = tables.optuna_trials
    running = update(trials).where(trials.c.trial_id == trial_id, trials.c.state == "RUNNING")
    ended = connection.execute(running.values(state=_NAMES[state], datetime_complete=_now()))
    if ended.rowcount != 1:
        return False
    _set_user_attrs(connection, trial_id, user_attrs)
    if state is TrialState.PRUNED:
        value = _last_value(connection, trial_id)
    if value is not None:
        row = {"trial_id": trial_id, "objective": 0, "value": value, "value_type": "FINITE"}
        connection.execute(insert(tables.optuna_values).values(**row))
    return True


def _last_value(connection: Connection, trial_id: int) -> float | None:
    table = tables.optuna_intermediate
    query = select(table.c.intermediate_value).where(table.c.trial_id == trial_id).order_by(table.c.step.desc())
    value = connection.execute(query.limit(1)).scalar()
    return None if value is None else float(value)


def _set_user_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Attributes that say nothing are left out, unless they take back what is stored."""
    table = tables.optuna_user_attrs
    here = table.c.trial_id == trial_id
    stored = set(connection.execute(select(table.c.key).where(here)).scalars())
    for key, value in attrs.items():
        text = json.dumps(value)
        if key in stored:
            connection.execute(update(table).where(here, table.c.key == key).values(value_json=text))
        elif value:
            connection.execute(insert(table).values(trial_id=trial_id, key=key, value_json=text))


def fail_waiting(connection: Connection, study_id: int) -> None:
    """End trials that somebody enqueued through Optuna: nobody else would ever train them."""
    trials = tables.optuna_trials
    waiting = select(trials.c.trial_id).where(trials.c.study_id == study_id, trials.c.state == "WAITING")
    for trial_id in list(connection.execute(waiting).scalars()):
        start = {"state": "RUNNING", "datetime_start": _now()}
        connection.execute(update(trials).where(trials.c.trial_id == trial_id).values(**start))
        end_trial(connection, trial_id, TrialState.FAILED, None, {"reason": "enqueued"})


def read_trials(connection: Connection, study_id: int) -> tuple[list[StoredTrial], dict[int, int]]:
    """All trials of a study in the order of their numbers, and the id of each by number."""
    trials = tables.optuna_trials.c
    query = select(trials.trial_id, trials.number, trials.state).where(trials.study_id == study_id)
    rows = connection.execute(query.order_by(trials.number)).all()
    params, distributions = _read_params(connection, study_id)
    curves = _read_curves(connection, study_id)
    values = _read_values(connection, study_id)
    best_epochs = _read_attrs(connection, study_id, tables.optuna_user_attrs, "best_epoch")
    notes = _read_attrs(connection, study_id, tables.optuna_system_attrs)
    found = [
        StoredTrial(
            number=number,
            state=_STATES[state],
            value=values.get(trial_id),
            params=params.get(trial_id, {}),
            distributions=distributions.get(trial_id, {}),
            curve=curves.get(trial_id, {}),
            best_epoch=best_epochs.get(trial_id, {}).get("best_epoch", 0),
            system_attrs=notes.get(trial_id, {}),
        )
        for trial_id, number, state in rows
    ]
    return found, {number: trial_id for trial_id, number, _ in rows}


def _of_study(table: Any, study_id: int, *columns: Any) -> Any:
    """A query on a table of trials' rows, of one study."""
    trials = tables.optuna_trials
    joined = table.join(trials, table.c.trial_id == trials.c.trial_id)
    return select(table.c.trial_id, *columns).select_from(joined).where(trials.c.study_id == study_id)


def _read_params(
    connection: Connection, study_id: int
) -> tuple[dict[int, dict[str, Scalar]], dict[int, dict[str, BaseDistribution]]]:
    table = tables.optuna_params
    query = _of_study(table, study_id, table.c.param_name, table.c.param_value, table.c.distribution_json)
    parsed: dict[str, BaseDistribution] = {}
    params: dict[int, dict[str, Scalar]] = defaultdict(dict)
    distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    for trial_id, name, value, text in connection.execute(query.order_by(table.c.param_id)):
        if text not in parsed:
            parsed[text] = json_to_distribution(text)
        distributions[trial_id][name] = parsed[text]
        params[trial_id][name] = parsed[text].to_external_repr(value)
    return params, distributions


def _read_curves(connection: Connection, study_id: int) -> dict[int, dict[int, float]]:
    table = tables.optuna_intermediate
    query = _of_study(table, study_id, table.c.step, table.c.intermediate_value)
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    for trial_id, step, value in connection.execute(query.where(table.c.intermediate_value_type == "FINITE")):
        curves[trial_id][step] = value
    return curves


def _read_values(connection: Connection, study_id: int) -> dict[int, float]:
    table = tables.optuna_values
    query = _of_study(table, study_id, table.c.value).where(table.c.objective == 0)
    return {trial_id: value for trial_id, value in connection.execute(query) if value is not None}


def _read_attrs(connection: Connection, study_id: int, table: Any, key: str | None = None) -> dict[int, dict[str, Any]]:
    query = _of_study(table, study_id, table.c.key, table.c.value_json)
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, name, text in connection.execute(query if key is None else query.where(table.c.key == key)):
        found[trial_id][name] = json.loads(text)
    return found
