"""The reading side: what the commands show of a study, checked against what Optuna reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sqlalchemy import insert

from tuner.config.spec import Spec, load
from tuner.control.controller import TrialState
from tuner.data.info import DataInfo
from tuner.errors import NotFoundError, StorageError
from tuner.study import tables
from tuner.study.queries import StudyReader
from tuner.study.records import AskedTrial
from tuner.study.rows import TrialRow, best_of
from tuner.study.store import NewAttempt, StudyStore
from tuner.training.events import Checkpoint, EpochEnd, Outcome
from tuner.workflows.status import status_of

METRIC = "val/loss"
INFO = DataInfo(
    kind="digits",
    task="classification",
    input_shape=(1, 8, 8),
    n_targets=10,
    labels=(),
    n_train=8,
    n_val=1,
    n_test=1,
    fingerprint="f",
    in_memory=True,
)
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-4, 1.0, log=True),
    "model.dropout": FloatDistribution(0.0, 0.6, step=0.05),
    "model.depth": IntDistribution(1, 3),
    "model.width.0": IntDistribution(16, 64, log=True),
    "optimizer.kind": CategoricalDistribution(("adamw", "sgd")),
    "model.channels": CategoricalDistribution(("[16, 32]", "[32, 64]")),
    "train.grad_clip": CategoricalDistribution((None, 1.0, 5)),
    "optimizer.nesterov": CategoricalDistribution((True, False)),
}
PARAMS: dict[str, Any] = {
    "optimizer.lr": 0.012345678901234567,
    "model.dropout": 0.15000000000000002,
    "model.depth": 2,
    "model.width.0": 33,
    "optimizer.kind": "sgd",
    "model.channels": "[32, 64]",
    "train.grad_clip": None,
    "optimizer.nesterov": False,
}


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    file = tmp_path / "space.yaml"
    file.write_text(
        "study: s\nobjective: {metric: loss}\ndata: {kind: digits}\nmodel: {kind: mlp}\n"
        "space: {optimizer.lr: {low: 1e-4, high: 1e-1, log: true}}\n"
    )
    return load(file)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def new_study(url: str, spec: Spec) -> Iterator[Callable[[str], StudyStore]]:
    stores: list[StudyStore] = []

    def new_study(name: str) -> StudyStore:
        store = StudyStore.open(url, name)
        stores.append(store)
        store.create(spec, INFO, {"a.py:f": "d"}, {"torch": "2.11"})
        store.begin_session()
        store.history()
        return store

    yield new_study
    for store in stores:
        store.close()


@pytest.fixture
def read(url: str) -> Iterator[Callable[[], StudyReader]]:
    readers: list[StudyReader] = []

    def read() -> StudyReader:
        readers.append(StudyReader.open(url))
        return readers[-1]

    yield read
    for reader in readers:
        reader.engine.dispose()


def ask(store: StudyStore, trial: int = 0, params: dict[str, Any] | None = None) -> None:
    params = {"optimizer.lr": 0.1} if params is None else params
    asked = AskedTrial(number=trial, params=params, distributions={name: DISTRIBUTIONS[name] for name in params})
    store.record_ask(asked, config=json.dumps({"seed": 4}), seed=2**63 - 1 - trial)


def end_epoch(store: StudyStore, trial: int, epoch: int, value: float) -> None:
    checkpoint = Checkpoint(epoch=epoch, file=f"epoch-{epoch}.pt", sha256="a" * 64, size_bytes=3_000_000_000)
    end = EpochEnd(
        trial=trial,
        attempt=1,
        epoch=epoch,
        metrics={METRIC: value, "val/accuracy": 0.5, "train/loss": float("nan")},
        seconds=1.5,
        checkpoint=checkpoint,
    )
    store.record_epochs([end], METRIC)


# --------------------------------------------------------------------------------------------------------------- trials


def test_params_of_every_type_are_what_optuna_reads(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader], url: str
) -> None:
    ask(new_study("s"), params=PARAMS)
    reader = read()
    (row,) = reader.trials(reader.study("s"))
    assert row.params == PARAMS == optuna.load_study(study_name="s", storage=url).trials[0].params
    assert {name: type(value) for name, value in row.params.items()} == {k: type(v) for k, v in PARAMS.items()}
    assert list(row.params) == list(PARAMS)


def test_every_state_is_told(new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]) -> None:
    store = new_study("s")
    for trial in range(6):
        ask(store, trial)
        if trial:
            store.begin_attempt(NewAttempt(trial=trial, attempt=1, first_epoch=1, threads=1, device="cpu"))
            end_epoch(store, trial, 1, 0.5)
    store.pause(2, "interrupted")
    store.finish(3, TrialState.COMPLETE, value=0.5, best_epoch=1, reason="early_stopped")
    store.finish(4, TrialState.PRUNED, value=None, best_epoch=0, reason="pruned")
    store.finish(5, TrialState.FAILED, value=None, best_epoch=0, reason="killed")
    reader = read()
    found = [(row.state.value, row.value, row.reason, row.best_epoch) for row in reader.trials(reader.study("s"))]
    assert found == [
        ("waiting", None, "", 0),
        ("running", None, "", 0),
        ("paused", None, "interrupted", 0),
        ("complete", 0.5, "early_stopped", 1),
        ("pruned", 0.5, "pruned", 0),
        ("failed", None, "killed", 0),
    ]


def test_a_row_has_the_fields_of_the_contract(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]
) -> None:
    store = new_study("s")
    ask(store)
    for epoch, value in ((1, 0.5), (2, 0.4)):
        end_epoch(store, 0, epoch, value)
    store.finish(0, TrialState.COMPLETE, value=0.4, best_epoch=2)
    reader = read()
    (row,) = reader.trials(reader.study("s"))
    assert row.to_json() == {
        "number": 0,
        "state": "complete",
        "value": 0.4,
        "params": {"optimizer.lr": 0.1},
        "epochs": 2,
        "seconds": 3.0,
        "reason": "",
    }


def test_one_trial_has_curve_attempts_checkpoints_config_and_seed(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]
) -> None:
    store = new_study("s")
    ask(store)
    store.begin_attempt(NewAttempt(trial=0, attempt=1, first_epoch=1, threads=2, device="cuda:1"))
    end_epoch(store, 0, 1, 0.5)
    end_epoch(store, 0, 2, 0.4)
    store.end_attempt(0, 1, Outcome.EARLY_STOPPED, seconds=4.0)
    reader = read()
    found = reader.trial(reader.study("s"), 0)
    assert [(row.epoch, row.attempt, row.seconds) for row in found.curve] == [(1, 1, 1.5), (2, 1, 1.5)]
    assert found.curve[1].metrics == {METRIC: 0.4, "val/accuracy": 0.5, "train/loss": None}
    assert [(row.attempt, row.outcome, row.device, row.seconds) for row in found.attempts] == [
        (1, "early_stopped", "cuda:1", 4.0)
    ]
    assert [(saved.epoch, saved.size_bytes) for saved in found.checkpoints] == [(1, 3_000_000_000), (2, 3_000_000_000)]
    assert (found.config, found.seed) == ({"seed": 4}, 2**63 - 1)


def test_a_trial_that_is_not_there_is_named(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]
) -> None:
    new_study("s")
    reader = read()
    with pytest.raises(NotFoundError, match="study 's' has no trial 7; see `tuner trials --study s`"):
        reader.trial(reader.study("s"), 7)


def test_two_thousand_trials_can_be_read(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader], url: str
) -> None:
    store = new_study("s")
    uid = read().study("s").uid
    study_id = read().study("s").study_id
    with store._engine.begin() as connection:
        numbers = range(2000)
        rows = [{"trial_id": n + 1, "number": n, "study_id": study_id, "state": "COMPLETE"} for n in numbers]
        connection.execute(insert(tables.optuna_trials), rows)
        connection.execute(
            insert(tables.optuna_values),
            [{"trial_id": n + 1, "objective": 0, "value": abs(n - 1234.0), "value_type": "FINITE"} for n in numbers],
        )
        text = optuna.distributions.distribution_to_json(IntDistribution(0, 3000))
        connection.execute(
            insert(tables.optuna_params),
            [
                {"trial_id": n + 1, "param_name": "model.width", "param_value": n, "distribution_json": text}
                for n in numbers
            ],
        )
        connection.execute(
            insert(tables.trials),
            [{"uid": uid, "trial": n, "state": "complete", "seed": n, "config": "{}"} for n in numbers],
        )
        connection.execute(
            insert(tables.epochs),
            [
                {"uid": uid, "trial": n, "epoch": epoch, "attempt": 1, "seconds": 0.5, "metrics": "{}"}
                for n in numbers
                for epoch in (1, 2)
            ],
        )
    reader = read()
    trials = reader.trials(reader.study("s"))
    assert [row.number for row in trials] == list(numbers)
    assert {(row.epochs, row.seconds) for row in trials} == {(2, 1.0)}
    best = best_of(trials, maximize=False)
    assert best is not None
    assert (best.number, best.params) == (1234, {"model.width": 1234})
    assert optuna.load_study(study_name="s", storage=url).best_trial.number == 1234


# -------------------------------------------------------------------------------------------------------------- studies


def test_a_study_has_name_metric_direction_and_time(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]
) -> None:
    store = new_study("s")
    with store._engine.begin() as connection:
        connection.execute(tables.sessions.update().values(seconds=2.5))
    store.begin_session()
    with store._engine.begin() as connection:
        connection.execute(tables.sessions.update().where(tables.sessions.c.session == 2).values(seconds=1.25))
    (study,) = read().studies()
    assert (study.name, study.metric, study.direction, study.seconds) == ("s", "loss", "minimize", 3.75)
    assert len(study.uid) == 32
    assert study.created_at > 0


def test_the_status_counts_every_state_and_names_the_best(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader], url: str
) -> None:
    store = new_study("s")
    for trial, value in enumerate((0.5, 0.3, 0.4)):
        ask(store, trial)
        store.finish(trial, TrialState.COMPLETE, value=value, best_epoch=1)
    ask(store, 3)
    store.pause(3, "interrupted")
    with store._engine.begin() as connection:
        connection.execute(tables.sessions.update().values(seconds=2.5))
    assert status_of(url, None).to_json() == {
        "study": "s",
        "metric": METRIC,
        "direction": "minimize",
        "trials": {"complete": 3, "pruned": 0, "failed": 0, "running": 0, "paused": 1, "waiting": 0},
        "best": {"trial": 1, "value": 0.3, "params": {"optimizer.lr": 0.1}},
        "confirmed": None,
        "seconds": 2.5,
    }


def test_the_header_is_what_was_stored(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader], spec: Spec
) -> None:
    new_study("s")
    reader = read()
    header = reader.header(reader.study("s"))
    assert Spec.from_json(header["spec"]) == spec
    assert DataInfo.from_json(header["data"]) == INFO
    assert (header["code"], header["versions"]) == ({"a.py:f": "d"}, {"torch": "2.11"})


def test_without_a_name_it_is_the_latest_study_that_tuner_started(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader], url: str
) -> None:
    new_study("first")
    new_study("second")
    optuna.create_study(storage=url, study_name="of another tool")
    reader = read()
    assert [study.name for study in reader.studies()] == ["first", "second", "of another tool"]
    assert reader.study(None).name == "second"
    assert reader.study("first").name == "first"


def test_a_study_that_is_not_there_is_named_with_those_that_are(
    new_study: Callable[[str], StudyStore], read: Callable[[], StudyReader]
) -> None:
    new_study("a")
    new_study("b")
    with pytest.raises(NotFoundError, match="no study 'c' here; there are: a, b"):
        read().study("c")
    new_study("digits")
    with pytest.raises(NotFoundError, match=r"no study 'digit' here; did you mean 'digits'\? There are: a, b, digits;"):
        read().study("digit")


def test_a_database_without_a_study_says_how_to_start_one(read: Callable[[], StudyReader], url: str) -> None:
    StudyStore.open(url, "s").close()
    with pytest.raises(NotFoundError, match=r"no study here yet; start one with `tuner search --space mlp\.yaml`"):
        read().study(None)


def test_a_study_of_another_tool_can_be_looked_at_but_has_no_weights(read: Callable[[], StudyReader], url: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("n", 1, 3)

    study = optuna.create_study(storage=url, study_name="theirs", direction="maximize")
    study.optimize(objective, n_trials=3)
    study.ask()
    reader = read()
    row = reader.study(None)
    assert (row.name, row.direction, row.metric, row.uid) == ("theirs", "maximize", "value", "")
    found = reader.trials(row)
    assert [trial.value for trial in found] == [trial.value for trial in study.trials]
    assert [trial.params for trial in found] == [trial.params for trial in study.trials]
    assert [trial.state.value for trial in found] == ["complete"] * 3 + ["running"]
    assert reader.trial(row, 0).curve == ()
    with pytest.raises(StorageError, match="study 'theirs' was not made by tuner; its trials have no weights"):
        reader.own_study(None)


# ----------------------------------------------------------------------------------------------------------------- best


def row(number: int, value: float | None, state: TrialState = TrialState.COMPLETE) -> TrialRow:
    return TrialRow(number=number, state=state, value=value, params={}, epochs=1, seconds=1.0, reason="", best_epoch=1)


@pytest.mark.parametrize(("maximize", "best"), ((True, 1), (False, 0)))
def test_the_best_follows_the_direction(maximize: bool, best: int) -> None:
    found = best_of([row(0, 0.1), row(1, 0.9), row(2, 0.5)], maximize=maximize)
    assert found is not None
    assert found.number == best


@pytest.mark.parametrize("maximize", (True, False))
def test_the_first_of_equal_trials_is_the_best_as_in_optuna(maximize: bool) -> None:
    values = [0.5, 0.3, 0.7, 0.3, 0.7, 0.0 if maximize else 1.0]
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for value in values:
        study.add_trial(optuna.trial.create_trial(value=value))
    found = best_of([row(number, value) for number, value in enumerate(values)], maximize=maximize)
    assert found is not None
    assert found.number == study.best_trial.number == (2 if maximize else 1)


def test_only_complete_trials_can_be_the_best() -> None:
    trials = [row(0, 0.1, TrialState.PRUNED), row(1, 0.2, TrialState.RUNNING), row(2, None)]
    assert best_of(trials, maximize=False) is None
    found = best_of([*trials, row(3, 0.9)], maximize=False)
    assert found is not None
    assert found.number == 3
