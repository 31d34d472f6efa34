"""The writing side: what Optuna sees of a trial, and what is left, and mended, after a death between two writes."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from tuner import faults
from tuner.config.schema import NoPruner, Search
from tuner.config.spec import Spec, load
from tuner.control.controller import Controller, TrialState
from tuner.data.info import DataInfo
from tuner.errors import OwnedError, SearchFailedError, StorageError
from tuner.study import tables
from tuner.study.advisor import StudyAdvisor
from tuner.study.queries import StudyReader
from tuner.study.records import StoredTrial
from tuner.study.rows import TrialDetail
from tuner.study.store import NewAttempt, OpenTrial, StudyStore
from tuner.training.events import Checkpoint, EpochEnd, Outcome

METRIC = "val/accuracy"
AUTO = Search(pruner=NoPruner())
INFO = DataInfo(
    kind="digits",
    task="classification",
    input_shape=(1, 8, 8),
    n_targets=10,
    labels=("0", "1"),
    n_train=8,
    n_val=1,
    n_test=1,
    fingerprint="f",
    in_memory=True,
)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    file = tmp_path / "space.yaml"
    file.write_text(
        "study: s\nseed: 3\nobjective: {metric: accuracy}\ndata: {kind: digits}\nmodel: {kind: mlp}\n"
        "optimizer: {kind: adamw}\ntrain: {epochs: 5}\nspace:\n"
        "  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}\n"
        "  optimizer.kind: [adamw, sgd]\n"
        "  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer.kind: sgd}}\n"
        "search: {sampler: random, pruner: none}\n"
    )
    return load(file)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], StudyStore]]:
    stores: list[StudyStore] = []

    def opened() -> StudyStore:
        stores.append(StudyStore.open(url, "s"))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], StudyStore], spec: Spec) -> StudyStore:
    """A new study in its first session."""
    store = opened()
    assert store.find() is None
    store.create(spec, INFO, {"mine.py:run": "abc"}, {"torch": "2.11"})
    store.begin_session()
    assert store.history() == []
    return store


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def resume(opened: Callable[[], StudyStore]) -> StudyStore:
    store = opened()
    assert store.find() is not None
    store.begin_session()
    store.history()
    return store


def ask(store: StudyStore, spec: Spec, trial: int = 0) -> dict[str, Any]:
    return ask_as(store, spec, trial, store.history())


def ask_as(store: StudyStore, spec: Spec, trial: int, history: list[StoredTrial] | None = None) -> dict[str, Any]:
    """Ask as a driver that knows `history`, or as one that knows nothing but the number."""
    advisor = StudyAdvisor(
        name="s",
        space=spec.space,
        search=spec.search if history is not None else AUTO,
        maximize=True,
        seed=3,
        max_epochs=5,
        history=history or (),
    )
    params = advisor.suggest(trial)
    assert params is not None
    store.record_ask(advisor.record_of(trial), config='{"a": 1}', seed=2**62 + trial)
    return dict(params)


def begin(store: StudyStore, trial: int = 0, attempt: int = 1, first_epoch: int = 1) -> None:
    store.begin_attempt(NewAttempt(trial=trial, attempt=attempt, first_epoch=first_epoch, threads=2, device="cpu"))


def epoch_end(epoch: int, value: float, *, trial: int = 0, attempt: int = 1, saved: bool = True) -> EpochEnd:
    checkpoint = Checkpoint(epoch=epoch, file=f"epoch-{epoch}.pt", sha256=f"{attempt}" * 64, size_bytes=10)
    return EpochEnd(
        trial=trial,
        attempt=attempt,
        epoch=epoch,
        metrics={METRIC: value, "train/loss": 1.0 / epoch},
        seconds=0.5,
        checkpoint=checkpoint if saved else None,
    )


def test_others_can_write_once_what_happens_together_is_settled(
    store: StudyStore, spec: Spec, url: str, tmp_path: Path
) -> None:
    ask(store, spec, 0)
    ask(store, spec, 1)
    with closing(sqlite3.connect(tmp_path / "studies.db", timeout=0)) as other, suppress(KeyError), store.together():
        begin(store, 0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("CREATE TABLE other (x)")
        store.settle()
        other.execute("CREATE TABLE other (x)")
        begin(store, 1)
        raise KeyError  # what came after is undone
    assert [len(detail(url, trial).attempts) for trial in (0, 1)] == [1, 0]


def test_what_was_picked_is_kept_with_the_attempt(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    begin(store)
    assert detail(url).attempts[0].picked == {}
    store.record_epochs([replace(epoch_end(1, 0.5), picked={"data": "stored rows", "step": "compiled"})], METRIC)
    store.record_epochs([epoch_end(2, 0.6)], METRIC)
    assert detail(url).attempts[0].picked == {"data": "stored rows", "step": "compiled"}


def test_a_database_of_an_earlier_version_is_read_as_it_is_and_brought_up_to_date_by_a_search(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str, tmp_path: Path
) -> None:
    ask(store, spec)
    begin(store)
    record(store, [0.5])
    store.end_attempt(0, 1, Outcome.PAUSED, seconds=1.0)
    store.close()
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.execute("ALTER TABLE tuner_attempts DROP COLUMN picked")
        connection.execute("ALTER TABLE tuner_attempts DROP COLUMN goal")
    (before,) = detail(url).attempts
    assert (before.outcome, before.picked) == ("paused", {})
    resumed = resume(opened)
    assert [left.goal for left in resumed.open_trials(METRIC, resumed.history())] == [None]
    begin(resumed, attempt=2)
    resumed.record_epochs([replace(epoch_end(2, 0.5, attempt=2), picked={"data": "streamed"})], METRIC)
    assert [attempt.picked for attempt in detail(url).attempts] == [{}, {"data": "streamed"}]


def record(store: StudyStore, values: list[float], trial: int = 0) -> None:
    for epoch, value in enumerate(values, start=1):
        store.record_epochs([epoch_end(epoch, value, trial=trial)], METRIC)


def in_optuna(url: str) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=url)


def detail(url: str, trial: int = 0) -> TrialDetail:
    reader = StudyReader.open(url)
    found = reader.trial(reader.study("s"), trial)
    reader.engine.dispose()
    return found


def left(store: StudyStore) -> list[OpenTrial]:
    return store.open_trials(METRIC, store.history())


# ----------------------------------------------------------------------------------------------------- what Optuna sees


def test_optuna_sees_a_new_trial_with_all_of_its_params(store: StudyStore, spec: Spec, url: str) -> None:
    expected = [ask(store, spec, trial) for trial in range(6)]
    trials = in_optuna(url).trials
    assert [trial.params for trial in trials] == expected
    assert {trial.state for trial in trials} == {optuna.trial.TrialState.RUNNING}
    assert any("optimizer.momentum" in params for params in expected)
    assert any("optimizer.momentum" not in params for params in expected)


def test_optuna_sees_the_objective_at_every_epoch_from_1(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    record(store, [0.5, 0.7, 0.6])
    assert in_optuna(url).trials[0].intermediate_values == {1: 0.5, 2: 0.7, 3: 0.6}


def test_the_value_of_a_complete_trial_is_that_of_its_best_epoch(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    record(store, [0.5, 0.7, 0.6])
    store.finish(0, TrialState.COMPLETE, value=0.7, best_epoch=2)
    study = in_optuna(url)
    assert study.best_value == 0.7
    assert study.best_trial.state is optuna.trial.TrialState.COMPLETE
    assert study.best_trial.user_attrs == {"best_epoch": 2}


def test_optuna_knows_direction_and_metric(store: StudyStore, url: str) -> None:
    study = in_optuna(url)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == [METRIC]
    assert study.user_attrs["tuner:metric"] == METRIC


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf))
def test_a_diverged_trial_is_pruned_with_its_reason_and_its_last_finite_value(
    store: StudyStore, spec: Spec, url: str, value: float
) -> None:
    ask(store, spec)
    store.record_epochs([epoch_end(1, 0.5)], METRIC)
    store.record_epochs([epoch_end(2, value, saved=False)], METRIC)
    store.finish(0, TrialState.PRUNED, value=None, best_epoch=0, reason="diverged", message="loss is nan")
    trial = in_optuna(url).trials[0]
    assert (trial.state, trial.value) == (optuna.trial.TrialState.PRUNED, 0.5)
    assert trial.intermediate_values == {1: 0.5}
    assert trial.user_attrs == {"reason": "diverged"}
    found = detail(url)
    assert (found.row.reason, found.message, found.row.epochs) == ("diverged", "loss is nan", 2)
    assert [row.metrics[METRIC] for row in found.curve] == [0.5, None]


def test_a_trial_that_diverged_at_once_is_pruned_without_a_value(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    store.record_epochs([epoch_end(1, math.nan, saved=False)], METRIC)
    store.finish(0, TrialState.PRUNED, value=None, best_epoch=0, reason="diverged")
    trial = in_optuna(url).trials[0]
    assert (trial.state, trial.value) == (optuna.trial.TrialState.PRUNED, None)
    assert trial.intermediate_values == {}


def test_a_failed_trial_has_a_reason_and_no_value(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    record(store, [0.5])
    store.finish(0, TrialState.FAILED, value=None, best_epoch=0, reason="crashed", message="boom")
    trial = in_optuna(url).trials[0]
    assert (trial.state, trial.value, trial.user_attrs) == (
        optuna.trial.TrialState.FAIL,
        None,
        {"reason": "crashed"},
    )
    assert detail(url).row.state is TrialState.FAILED


# --------------------------------------------------------------------------------------------------------------- epochs


def test_an_epoch_that_is_recorded_twice_is_there_once(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    for _ in range(2):
        store.record_epochs([epoch_end(1, 0.5)], METRIC)
    found = detail(url)
    assert [(row.epoch, row.metrics[METRIC]) for row in found.curve] == [(1, 0.5)]
    assert [saved.epoch for saved in found.checkpoints] == [1]
    assert in_optuna(url).trials[0].intermediate_values == {1: 0.5}


def test_a_repeated_epoch_names_the_checkpoint_that_is_on_disk_now(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    store.record_epochs([epoch_end(1, 0.5)], METRIC)
    store.record_epochs([epoch_end(1, 0.5, attempt=2)], METRIC)
    found = detail(url)
    assert [row.attempt for row in found.curve] == [2]
    assert [saved.sha256 for saved in found.checkpoints] == ["2" * 64]


def test_epochs_of_several_trials_are_recorded_together_or_not_at_all(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec, 0)
    ask(store, spec, 1)
    store.record_epochs([epoch_end(1, 0.5, trial=0), epoch_end(1, 0.6, trial=1), epoch_end(2, 0.7, trial=1)], METRIC)
    with pytest.raises(KeyError):  # the second of the two has no objective
        store.record_epochs(
            [
                epoch_end(2, 0.8, trial=0),
                EpochEnd(trial=1, attempt=1, epoch=3, metrics={}, seconds=0.5, checkpoint=None),
            ],
            METRIC,
        )
    assert [trial.intermediate_values for trial in in_optuna(url).trials] == [{1: 0.5}, {1: 0.6, 2: 0.7}]
    assert [len(detail(url, trial).curve) for trial in (0, 1)] == [1, 2]


def test_only_the_kept_checkpoints_are_named(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    record(store, [0.5, 0.7, 0.6])
    store.keep_checkpoints({0: (2,)})
    assert [saved.epoch for saved in detail(url).checkpoints] == [2]
    store.keep_checkpoints({0: ()})
    assert detail(url).checkpoints == ()


def test_the_first_record_of_how_an_attempt_ended_stands(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    begin(store)
    store.end_attempt(0, 1, Outcome.CRASHED, seconds=1.5, message="boom", cause="ValueError at f")
    store.end_attempt(0, 1, Outcome.COMPLETED, seconds=9.0)
    (attempt,) = detail(url).attempts
    assert (attempt.outcome, attempt.seconds, attempt.message) == ("crashed", 1.5, "boom")
    assert (attempt.cause, attempt.threads, attempt.device) == ("ValueError at f", 2, "cpu")


def test_the_history_is_what_optuna_reads(store: StudyStore, spec: Spec, url: str) -> None:
    ends = {0: TrialState.COMPLETE, 1: TrialState.PRUNED, 2: TrialState.FAILED, 4: TrialState.PRUNED}
    for trial in range(6):
        ask(store, spec, trial)
        record(store, [0.5, 0.7, 0.6][: 0 if trial == 4 else 3], trial)
        if trial in ends:
            value = 0.7 if ends[trial] is TrialState.COMPLETE else None
            store.finish(trial, ends[trial], value=value, best_epoch=2 if value else 0, reason="why")
    in_optuna(url).enqueue_trial({"optimizer.lr": 0.01})
    found = store.history()
    expected = in_optuna(url).trials
    assert [trial.value for trial in found] == [trial.value for trial in expected] == [0.7, 0.6, *[None] * 5]
    assert [trial.state.name for trial in found] == [
        {"FAIL": "FAILED"}.get(trial.state.name, trial.state.name) for trial in expected
    ]
    assert [trial.number for trial in found] == [trial.number for trial in expected]
    assert [trial.params for trial in found] == [trial.params for trial in expected]
    assert [trial.distributions for trial in found] == [trial.distributions for trial in expected]
    assert [trial.curve for trial in found] == [trial.intermediate_values for trial in expected]
    assert [trial.best_epoch for trial in found] == [trial.user_attrs.get("best_epoch", 0) for trial in expected]
    assert expected[6].user_attrs == {"reason": "enqueued"}
    for trial in expected:
        assert trial.datetime_start is not None
        if trial.state.is_finished():
            assert trial.datetime_complete is not None
            assert abs((trial.datetime_complete - datetime.now()).total_seconds()) < 60  # noqa: DTZ005 - as Optuna has it


# ------------------------------------------------------------------------------------------------------ resume and mend


def test_a_resumed_study_has_the_header_that_it_was_made_with(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec
) -> None:
    header = opened().find()
    assert header is not None
    assert header.spec == spec
    assert header.data == INFO
    assert header.code == {"mine.py:run": "abc"}


def test_a_new_budget_is_kept(store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, tmp_path: Path) -> None:
    more = load(tmp_path / "space.yaml", overrides={"search.trials": 77})
    store.replace_spec(more, {"mine.py:run": "def"})
    header = opened().find()
    assert header is not None
    assert header.spec.search.trials == 77
    assert header.code == {"mine.py:run": "def"}


def test_an_unfinished_trial_comes_back_with_its_curve_and_its_checkpoints(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec
) -> None:
    params = ask(store, spec)
    begin(store)
    record(store, [0.5, 0.7])
    store.end_attempt(0, 1, Outcome.KILLED, seconds=1.0)
    begin(store, attempt=2, first_epoch=3)
    (found,) = left(resume(opened))
    assert (found.trial, found.params, found.values) == (0, params, (0.5, 0.7))
    assert [saved.epoch for saved in found.checkpoints] == [2, 1]
    assert found.n_attempts == 2


def test_an_epoch_that_diverged_comes_back_as_nan(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec
) -> None:
    ask(store, spec)
    store.record_epochs([epoch_end(1, 0.5), epoch_end(2, math.inf, saved=False)], METRIC)
    (found,) = left(resume(opened))
    assert found.values[0] == 0.5
    assert math.isnan(found.values[1])


def test_finished_trials_do_not_come_back(store: StudyStore, opened: Callable[[], StudyStore], spec: Spec) -> None:
    for trial, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)):
        ask(store, spec, trial)
        store.finish(trial, state, value=0.5 if state is TrialState.COMPLETE else None, best_epoch=0)
    ask(store, spec, 3)
    store.pause(3, "interrupted")
    assert [trial.trial for trial in left(resume(opened))] == [3]


def dies_at(point: str) -> Any:
    faults.arm(f"{point}:raise")
    return pytest.raises(faults.InjectedFaultError, match=point)


def test_a_trial_that_was_asked_for_is_there_as_a_whole(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str
) -> None:
    with dies_at("after_ask"):
        ask(store, spec)
    assert (detail(url).config, detail(url).seed) == ({"a": 1}, 2**62)
    (found,) = left(resume(opened))
    assert found.params == in_optuna(url).trials[0].params
    assert (found.values, found.checkpoints, found.n_attempts) == ((), (), 0)


def test_a_trial_that_is_not_the_next_one_is_refused_and_leaves_nothing(
    store: StudyStore, spec: Spec, url: str
) -> None:
    ask(store, spec, 0)
    in_optuna(url).ask()
    with pytest.raises(OwnedError, match="study 's': somebody else added trial 1 while this driver ran"):
        ask_as(store, spec, 1)
    trials = in_optuna(url).trials
    assert [trial.params == {} for trial in trials] == [False, True]


def test_a_trial_that_somebody_else_ended_is_not_ended_again(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    in_optuna(url).tell(0, state=optuna.trial.TrialState.FAIL)
    with pytest.raises(OwnedError, match="study 's': somebody else ended trial 0 while this driver ran"):
        store.finish(0, TrialState.COMPLETE, value=0.5, best_epoch=1)
    assert in_optuna(url).trials[0].state is optuna.trial.TrialState.FAIL
    assert detail(url).row.reason == ""


def test_what_is_recorded_together_is_there_as_a_whole_or_not_at_all(store: StudyStore, spec: Spec, url: str) -> None:
    order: list[str] = []
    with store.together():
        ask(store, spec, 0)
        ask(store, spec, 1)
        begin(store, 0)
        store.keep_checkpoints({0: ()}, lambda: order.append("swept"))
        order.append("recorded")
    assert order == ["recorded", "swept"]
    assert len(in_optuna(url).trials) == 2
    with pytest.raises(ValueError, match="a mistake"), store.together():  # noqa: PT012 - what comes before is undone
        store.finish(0, TrialState.FAILED, value=None, best_epoch=0)
        ask(store, spec, 2)
        store.keep_checkpoints({0: ()}, lambda: order.append("swept"))
        raise ValueError("a mistake")
    assert [trial.state.name for trial in in_optuna(url).trials] == ["RUNNING"] * 2
    assert order == ["recorded", "swept"]
    ask_again = ask(store, spec, 2)
    assert in_optuna(url).trials[2].params == ask_again


def test_a_search_that_is_given_up_keeps_what_was_recorded(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    with pytest.raises(SearchFailedError, match="enough"), store.together():  # noqa: PT012 - what comes before is kept
        store.finish(0, TrialState.FAILED, value=None, best_epoch=0, reason="crashed")
        raise SearchFailedError("enough")
    assert in_optuna(url).trials[0].state is optuna.trial.TrialState.FAIL


def test_a_trial_that_another_tool_began_is_adopted(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str
) -> None:
    in_optuna(url).ask()
    assert detail(url).config == {}
    resumed = resume(opened)
    (found,) = left(resumed)
    assert (found.values, found.checkpoints, found.n_attempts) == ((), (), 0)
    resumed.adopt(0, config='{"a": 2}', seed=5)
    resumed.adopt(0, config='{"a": 3}', seed=6)  # it is there already
    assert (detail(url).config, detail(url).seed) == ({"a": 2}, 5)
    record(resumed, [0.5])
    resumed.finish(0, TrialState.COMPLETE, value=0.5, best_epoch=1)
    assert in_optuna(url).best_value == 0.5


def test_an_acknowledged_epoch_is_not_lost(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str
) -> None:
    ask(store, spec)
    with dies_at("epoch_recorded"):
        store.record_epochs([epoch_end(1, 0.5)], METRIC)
    (found,) = left(resume(opened))
    assert found.values == (0.5,)
    assert in_optuna(url).trials[0].intermediate_values == {1: 0.5}


def test_an_end_that_optuna_was_not_told_is_told_again(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str
) -> None:
    ask(store, spec)
    record(store, [0.5, 0.7])
    with dies_at("before_tell"):
        store.finish(0, TrialState.COMPLETE, value=0.7, best_epoch=2)
    assert in_optuna(url).trials[0].state is optuna.trial.TrialState.RUNNING
    resumed = resume(opened)
    assert [trial.trial for trial in left(resumed)] == [0]
    resumed.finish(0, TrialState.COMPLETE, value=0.7, best_epoch=2)
    assert in_optuna(url).best_value == 0.7
    assert left(resumed) == []


def test_an_end_that_turns_out_otherwise_after_a_death_leaves_no_old_reason(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str
) -> None:
    ask(store, spec)
    record(store, [0.5])
    with dies_at("before_tell"):
        store.finish(0, TrialState.PRUNED, value=None, best_epoch=0, reason="timeout", message="time is up")
    resumed = resume(opened)
    resumed.finish(0, TrialState.COMPLETE, value=0.5, best_epoch=1)
    assert in_optuna(url).trials[0].user_attrs == {"best_epoch": 1}
    assert (detail(url).row.reason, detail(url).message) == ("", "")


def test_an_end_that_optuna_was_told_is_over(store: StudyStore, opened: Callable[[], StudyStore], spec: Spec) -> None:
    ask(store, spec)
    record(store, [0.5])
    with dies_at("told"):
        store.finish(0, TrialState.COMPLETE, value=0.5, best_epoch=1)
    assert left(resume(opened)) == []


def test_a_paused_trial_that_runs_again_is_not_called_interrupted(store: StudyStore, spec: Spec, url: str) -> None:
    ask(store, spec)
    begin(store)
    store.pause(0, "interrupted")
    assert (detail(url).row.state, detail(url).row.reason) == (TrialState.PAUSED, "interrupted")
    begin(store, attempt=2)
    assert (detail(url).row.state, detail(url).row.reason) == (TrialState.RUNNING, "")


def test_a_controller_of_a_resumed_study_goes_on_with_the_next_number(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec
) -> None:
    for trial in range(3):
        ask(store, spec, trial)
    history = resume(opened).history()
    advisor = StudyAdvisor(
        name="s", space=spec.space, search=spec.search, maximize=True, seed=3, max_epochs=5, history=history
    )
    controller = Controller(
        advisor=advisor, maximize=True, n_trials=4, epochs_of=lambda _params: 5, next_trial=len(history)
    )
    job = controller.ask()
    assert job is not None
    assert job.trial == 3
    assert controller.ask() is None


def test_the_time_of_earlier_sessions_is_known(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str, tmp_path: Path
) -> None:
    store.end_session()
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.execute("UPDATE tuner_sessions SET seconds = 12.5")
        connection.commit()
    assert store.seconds_before() == 0.0
    assert resume(opened).seconds_before() == 12.5


# ------------------------------------------------------------------------------------------------- studies that are not


def test_a_study_of_another_tool_is_refused(opened: Callable[[], StudyStore], url: str) -> None:
    optuna.create_study(storage=url, study_name="s")
    with pytest.raises(StorageError, match="study 's' was not made by tuner; use another --study NAME"):
        opened().find()


def test_records_of_a_newer_version_are_refused(
    store: StudyStore, opened: Callable[[], StudyStore], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.execute("UPDATE tuner_studies SET schema_version = 99")
        connection.commit()
    with pytest.raises(
        StorageError, match="records of version 99, this tuner reads version 1; use the tuner that made"
    ):
        opened().find()


def half_made(tmp_path: Path, uid: str = "half") -> None:
    """Our row of a study whose making was cut short."""
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.execute(
            "INSERT INTO tuner_studies VALUES (?, 's', 0, ?, 0.0, '{}', '{}', '{}', '{}')",
            (uid, tables.SCHEMA_VERSION),
        )
        connection.commit()


def uids(tmp_path: Path) -> list[str]:
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        return [uid for (uid,) in connection.execute("SELECT uid FROM tuner_studies ORDER BY created_at")]


@pytest.mark.parametrize("stage", ("our row", "Optuna's study", "its uid"))
def test_a_study_whose_making_was_cut_short_is_made_anew(
    opened: Callable[[], StudyStore], spec: Spec, url: str, tmp_path: Path, stage: str
) -> None:
    store = opened()
    half_made(tmp_path)
    if stage != "our row":
        study = optuna.create_study(storage=url, study_name="s")
        if stage == "its uid":
            study.set_user_attr("tuner:uid", "half")
    assert store.find() is None
    store.create(spec, INFO, {}, {})
    header = opened().find()
    assert header is not None
    assert uids(tmp_path) == [header.uid] != ["half"]
    assert in_optuna(url).user_attrs["tuner:uid"] == header.uid


def test_a_study_that_stands_is_not_taken_for_a_half_made_one(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str, tmp_path: Path
) -> None:
    half_made(tmp_path, "older")
    header = opened().find()
    assert header is not None
    assert in_optuna(url).user_attrs["tuner:uid"] == header.uid


def test_a_study_of_another_tool_with_trials_is_never_deleted(
    opened: Callable[[], StudyStore], url: str, tmp_path: Path
) -> None:
    store = opened()
    half_made(tmp_path)
    optuna.create_study(storage=url, study_name="s").add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(StorageError, match="was not made by tuner"):
        store.find()
    assert len(in_optuna(url).trials) == 1


def test_a_deleted_study_and_a_new_one_of_its_name_have_nothing_in_common(
    store: StudyStore, opened: Callable[[], StudyStore], spec: Spec, url: str, tmp_path: Path
) -> None:
    ask(store, spec)
    record(store, [0.5, 0.9])
    old_id = in_optuna(url)._study_id
    store.close()
    optuna.delete_study(study_name="s", storage=url)
    new = opened()
    assert new.find() is None
    new.create(spec, INFO, {}, {})
    new.begin_session()
    assert new.history() == []
    assert in_optuna(url)._study_id == old_id  # SQLite gives it out again
    ask(new, spec)
    assert [found.values for found in left(new)] == [()]
    assert detail(url).row.epochs == 0
    assert len(set(uids(tmp_path))) == 2


def test_two_studies_of_a_database_keep_their_trials_apart(store: StudyStore, spec: Spec, url: str) -> None:
    other = StudyStore.open(url, "other")
    other.create(spec, INFO, {}, {})
    other.begin_session()
    for each, value in ((store, 0.5), (other, 0.6)):
        ask(each, spec)
        record(each, [value])
    other.close()
    assert [found.values for found in left(store)] == [(0.5,)]
    assert optuna.load_study(study_name="other", storage=url).trials[0].intermediate_values == {1: 0.6}


@pytest.mark.parametrize("method", ("find", "begin_session", "seconds_before", "history", "adopt", "finish"))
def test_a_database_that_fails_is_no_traceback(store: StudyStore, spec: Spec, tmp_path: Path, method: str) -> None:
    ask(store, spec)
    (tmp_path / "studies.db").write_bytes(b"overwritten by another program" * 1000)
    calls: dict[str, Callable[[], object]] = {
        "find": store.find,
        "begin_session": store.begin_session,
        "seconds_before": store.seconds_before,
        "history": store.history,
        "adopt": lambda: store.adopt(0, config="{}", seed=0),
        "finish": lambda: store.finish(0, TrialState.FAILED, value=None, best_epoch=0),
    }
    with pytest.raises(StorageError, match=r"studies\.db: file is not a database"):
        calls[method]()
