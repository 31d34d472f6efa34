"""The reading side: what the commands that look show.

Nothing here creates or changes anything, and nothing imports Optuna.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, inspect, select
from sqlalchemy.engine import Engine

from tuner.config.messages import nearest
from tuner.control.controller import INFEASIBLE, TrialState
from tuner.errors import NotFoundError, StorageError
from tuner.space.parameters import Scalar
from tuner.study import tables
from tuner.study.fronts import front_of, objectives_of, values_of
from tuner.study.own_rows import vectors_of
from tuner.study.rows import AttemptRow, EpochRow, StudyRow, TrialDetail, TrialRow, best_of
from tuner.study.storage import open_readonly, storage_errors
from tuner.training.events import Checkpoint

MAX_NAMED = 20
"""Studies in one message."""
STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "PRUNED": TrialState.PRUNED,
    "FAIL": TrialState.FAILED,
    "RUNNING": TrialState.RUNNING,
    "WAITING": TrialState.WAITING,
}


@dataclass(slots=True)
class StudyReader:
    """Queries on one database, opened read-only."""

    engine: Engine
    url: str
    _names: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def open(cls, url: str) -> StudyReader:
        """NotFoundError when there is no database."""
        engine = open_readonly(url)
        with storage_errors(url):
            names = frozenset(inspect(engine).get_table_names())
        return cls(engine, url, names)

    def has(self, table: str) -> bool:
        """Whether the database has this table: one of an earlier version lacks the newer ones."""
        return table in self._names

    def studies(self) -> list[StudyRow]:
        """All studies, the oldest first; those of other tools have an empty `uid`."""
        if "studies" not in self._names:
            return []
        with storage_errors(self.url), self.engine.connect() as connection:
            return [self._study_row(connection, row) for row in connection.execute(_STUDIES_QUERY)]

    def _study_row(self, connection: Connection, row: Any) -> StudyRow:
        attrs = _study_attrs(connection, row.study_id)
        uid = str(attrs.get("tuner:uid", ""))
        created_at = seconds = 0.0
        if uid and "tuner_studies" in self._names:
            created_at = _scalar(connection, select(tables.studies.c.created_at).where(tables.studies.c.uid == uid))
            total = func.sum(tables.sessions.c.seconds)
            seconds = _scalar(connection, select(total).where(tables.sessions.c.uid == uid))
        objectives = objectives_of(connection, row.study_id, attrs)
        metric = str(attrs.get("tuner:metric", "value"))
        lead = next((item for item in objectives if item.name == metric), None)
        return StudyRow(
            study_id=row.study_id,
            name=row.study_name,
            uid=uid,
            metric=metric.removeprefix("val/"),
            maximize=lead.maximize if lead else row.direction == "MAXIMIZE",
            created_at=created_at,
            seconds=seconds,
            objectives=objectives,
            planned=attrs.get("tuner:plan"),
            taken=attrs.get("tuner:taken"),
            stopped=str(attrs.get("tuner:stopped", {}).get("why", "")),
        )

    def study(self, name: str | None) -> StudyRow:
        """The study of this name; without a name the only one, or the latest that tuner started."""
        studies = self.studies()
        if not studies:
            raise NotFoundError("no study here yet; start one with `tuner search --space mlp.yaml`")
        if name is None:
            return max(studies, key=lambda study: (study.created_at, study.study_id))
        for study in studies:
            if study.name == name:
                return study
        names = [study.name for study in studies]
        near = nearest(name, names)
        hint = f"did you mean {near!r}? There are" if near else "there are"
        more = f"{len(names) - MAX_NAMED} and " if len(names) > MAX_NAMED else ""
        shown = more + ", ".join(names[-MAX_NAMED:])
        raise NotFoundError(f"no study {name!r} here; {hint}: {shown}; `tuner studies` lists them")

    def own_study(self, name: str | None) -> StudyRow:
        """Like `study`; StorageError when tuner did not make it."""
        study = self.study(name)
        if not study.uid:
            raise StorageError(f"study {study.name!r} was not made by tuner; its trials have no weights")
        return study

    def header(self, study: StudyRow) -> dict[str, Any]:
        """What was fixed when the study was started: spec, data, code, versions."""
        with storage_errors(self.url), self.engine.connect() as connection:
            query = select(tables.studies).where(tables.studies.c.uid == study.uid)
            row = connection.execute(query).mappings().one()
        return {name: json.loads(row[name]) for name in ("spec", "data", "code", "versions")}

    def configs(self, study: StudyRow) -> dict[int, dict[str, Any]]:
        """The bound config of every trial that tuner has a row of."""
        columns = tables.trials.c
        query = select(columns.trial, columns.config).where(columns.uid == study.uid)
        with storage_errors(self.url), self.engine.connect() as connection:
            return {number: json.loads(text) for number, text in connection.execute(query)}

    def n_finished(self, study: StudyRow) -> int:
        """Trials that are over."""
        columns = tables.optuna_trials.c
        query = select(func.count()).where(
            columns.study_id == study.study_id, columns.state.in_(["COMPLETE", "PRUNED", "FAIL"])
        )
        with storage_errors(self.url), self.engine.connect() as connection:
            return int(_scalar(connection, query))

    def threads(self, study: StudyRow) -> int | None:
        """Threads of the latest attempt on the CPU; None when there is none."""
        columns = tables.attempts.c
        query = (
            select(columns.threads)
            .where(columns.uid == study.uid, columns.device == "cpu")
            .order_by(columns.session.desc(), columns.started_at.desc())
            .limit(1)
        )
        with storage_errors(self.url), self.engine.connect() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def trials(self, study: StudyRow, number: int | None = None) -> list[TrialRow]:
        """All trials in the order of their numbers, or only that of this number."""
        with storage_errors(self.url), self.engine.connect() as connection:
            base = connection.execute(_trials_query(study, number)).all()
            params = params_of(connection, study.study_id, number)
            own = self._own_rows(connection, study.uid, number)
            work = self._work(connection, study.uid, number)
            origins = _origins(connection, study, number)
            rows = [_trial_row(row, params, own, work, origins.get(row.number)) for row in base]
            return self._with_values(connection, study, rows)

    def _with_values(self, connection: Connection, study: StudyRow, rows: list[TrialRow]) -> list[TrialRow]:
        """The trials with the values of several objectives, those on the front marked."""
        if not study.objectives:
            return rows
        values = values_of(connection, study.study_id)
        refused = {number for number, row in self._own_rows(connection, study.uid).items() if row.reason == INFEASIBLE}
        front = front_of(study.objectives, values, refused)
        names = [objective.name for objective in study.objectives]
        found = []
        for row in rows:
            own = values.get(row.number)
            named = dict(zip(names, own, strict=True)) if own else None
            value = own[study.lead] if own else None
            found.append(replace(row, value=value, values=named, is_on_front=row.number in front))
        return found

    def outline(self, study: StudyRow) -> tuple[dict[TrialState, int], TrialRow | None]:
        """How many trials are in each state, and the best one: at thousands of trials half the time of `trials`."""
        with storage_errors(self.url), self.engine.connect() as connection:
            base = connection.execute(_trials_query(study)).all()
            own = self._own_rows(connection, study.uid)
        trials = [_trial_row(row, {}, own, {}) for row in base]
        best = best_of(trials, maximize=study.maximize)
        counts = Counter(trial.state for trial in trials)
        return {state: counts[state] for state in TrialState}, best and self.trials(study, best.number)[0]

    def vectors(self, study: StudyRow) -> dict[int, dict[int, tuple[float, ...]]]:
        """Several objectives by epoch, where all were finite, of every trial that has an epoch; nothing for one."""
        if not study.objectives:
            return {}
        with storage_errors(self.url), self.engine.connect() as connection:
            return vectors_of(connection, study.uid, [objective.name for objective in study.objectives])

    def _own_rows(self, connection: Connection, uid: str, number: int | None = None) -> dict[int, Any]:
        if "tuner_trials" not in self._names:
            return {}
        columns = tables.trials.c
        query = select(columns.trial, columns.state, columns.reason, columns.best_epoch).where(columns.uid == uid)
        return {row.trial: row for row in connection.execute(_only(query, columns.trial, number))}

    def _work(self, connection: Connection, uid: str, number: int | None = None) -> dict[int, tuple[int, float]]:
        if "tuner_epochs" not in self._names:
            return {}
        columns = tables.epochs.c
        query = (
            select(columns.trial, func.max(columns.epoch), func.sum(columns.seconds))
            .where(columns.uid == uid)
            .group_by(columns.trial)
        )
        query = _only(query, columns.trial, number)
        return {trial: (epochs, seconds) for trial, epochs, seconds in connection.execute(query)}

    def trial(self, study: StudyRow, number: int) -> TrialDetail:
        """Everything about one trial; NotFoundError when there is none of this number."""
        found = self.trials(study, number)
        if not found:
            raise NotFoundError(f"study {study.name!r} has no trial {number}; see `tuner trials --study {study.name}`")
        return self.detail(found[0], study.uid, number)

    def detail(self, row: TrialRow, uid: str, number: int) -> TrialDetail:
        """What our tables hold under this uid and number, of a trial that is shown as `row`."""
        with storage_errors(self.url), self.engine.connect() as connection:
            own = self._own(connection, tables.trials, uid, number)
            curve = self._own(connection, tables.epochs, uid, number, order="epoch")
            attempts = self._own(connection, tables.attempts, uid, number, order="attempt")
            checkpoints = self._own(connection, tables.checkpoints, uid, number, order="epoch")
        return TrialDetail(
            row=row,
            message=own[0].message if own else "",
            seed=own[0].seed if own else 0,
            config=json.loads(own[0].config) if own else {},
            curve=tuple(
                EpochRow(epoch=row.epoch, attempt=row.attempt, seconds=row.seconds, metrics=json.loads(row.metrics))
                for row in curve
            ),
            attempts=tuple(AttemptRow.of(row) for row in attempts),
            checkpoints=tuple(
                Checkpoint(epoch=row.epoch, file=row.file, sha256=row.sha256, size_bytes=row.size_bytes)
                for row in checkpoints
            ),
        )

    def _own(self, connection: Connection, table: Any, uid: str, trial: int, order: str | None = None) -> list[Any]:
        if table.name not in self._names:
            return []
        there = {column["name"] for column in inspect(self.engine).get_columns(table.name)}
        columns = [column for column in table.columns if column.name in there]
        query = select(*columns).where(table.c.uid == uid, table.c.trial == trial)
        return list(connection.execute(query.order_by(table.c[order]) if order else query))


_STUDIES_QUERY = (
    select(tables.optuna_studies.c.study_id, tables.optuna_studies.c.study_name, tables.optuna_directions.c.direction)
    .join(
        tables.optuna_directions,
        and_(
            tables.optuna_directions.c.study_id == tables.optuna_studies.c.study_id,
            tables.optuna_directions.c.objective == 0,
        ),
    )
    .order_by(tables.optuna_studies.c.study_id)
)


def _study_attrs(connection: Connection, study_id: int) -> dict[str, Any]:
    columns = tables.optuna_study_attrs.c
    query = select(columns.key, columns.value_json).where(columns.study_id == study_id, columns.key.like("tuner:%"))
    return {key: json.loads(value) for key, value in connection.execute(query)}


def _scalar(connection: Connection, query: Any) -> float:
    return float(connection.execute(query).scalar() or 0.0)


def _only(query: Any, column: Any, number: int | Collection[int] | None) -> Any:
    if isinstance(number, Collection):
        return query.where(column.in_(number))
    return query if number is None else query.where(column == number)


def _trials_query(study: StudyRow, number: int | None = None) -> Any:
    trials, values = tables.optuna_trials.c, tables.optuna_values.c
    query = (
        select(
            trials.number,
            trials.state,
            trials.datetime_start,
            trials.datetime_complete,
            values.value,
        )
        .select_from(
            tables.optuna_trials.outerjoin(
                tables.optuna_values, and_(values.trial_id == trials.trial_id, values.objective == 0)
            )
        )
        .where(trials.study_id == study.study_id)
        .order_by(trials.number)
    )
    return _only(query, trials.number, number)


def params_of(
    connection: Connection, study_id: int, number: int | Collection[int] | None = None
) -> dict[int, dict[str, Scalar]]:
    """The params of all trials, of one, or of some."""
    trials, params = tables.optuna_trials.c, tables.optuna_params.c
    query = (
        select(trials.number, params.param_name, params.param_value, params.distribution_json)
        .join_from(tables.optuna_trials, tables.optuna_params, params.trial_id == trials.trial_id)
        .where(trials.study_id == study_id)
        .order_by(trials.number, params.param_id)
    )
    externals: dict[str, Callable[[float], Scalar]] = {}
    found: dict[int, dict[str, Scalar]] = defaultdict(dict)
    for of_trial, name, value, text in connection.execute(_only(query, trials.number, number)):
        external = externals.get(text)
        if external is None:
            external = externals[text] = _external(json.loads(text))
        found[of_trial][name] = external(value)
    return found


def _origins(connection: Connection, study: StudyRow, number: int | None) -> dict[int, Any]:
    if study.taken is None:
        return {}
    trials, attrs = tables.optuna_trials.c, tables.optuna_user_attrs.c
    query = (
        select(trials.number, attrs.value_json)
        .join_from(tables.optuna_trials, tables.optuna_user_attrs, attrs.trial_id == trials.trial_id)
        .where(trials.study_id == study.study_id, attrs.key == "from")
    )
    return {of: json.loads(text) for of, text in connection.execute(_only(query, trials.number, number))}


def _external(distribution: Mapping[str, Any]) -> Callable[[float], Scalar]:
    """Optuna stores a choice as its index and everything as a float."""
    if distribution["name"] == "CategoricalDistribution":
        choices: list[Scalar] = distribution["attributes"]["choices"]
        return lambda value: choices[int(value)]
    return int if distribution["name"].startswith("Int") else float


def _trial_row(
    row: Any,
    params: Mapping[int, Mapping[str, Scalar]],
    own: Mapping[int, Any],
    work: Mapping[int, tuple[int, float]],
    origin: Mapping[str, Any] | None = None,
) -> TrialRow:
    ours = own.get(row.number)
    state = STATES[row.state]
    if state is TrialState.RUNNING and ours is not None and ours.state in ("paused", "waiting"):
        state = TrialState(ours.state)
    epochs, seconds = work.get(row.number, (0, _duration(row)))
    return TrialRow(
        number=row.number,
        state=state,
        value=row.value,
        params=params.get(row.number, {}),
        epochs=epochs,
        seconds=seconds,
        reason=ours.reason if ours else "",
        best_epoch=ours.best_epoch if ours else 0,
        origin=origin,
    )


def _duration(row: Any) -> float:
    start, end = (_moment(row.datetime_start), _moment(row.datetime_complete))
    return (end - start).total_seconds() if start and end else 0.0


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
