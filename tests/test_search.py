"""The search workflow on real data and real SQLite, training inside the test's own process."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from tuner import faults
from tuner.config.spec import load
from tuner.errors import ChangedError, ConfigError, DataError, NotFoundError, SearchFailedError
from tuner.execution.inline import InlineExecutor
from tuner.study.queries import StudyReader
from tuner.training.events import Outcome
from tuner.workflows.giving_up import MAX_UNDEFINED, GivingUp
from tuner.workflows.progress import EpochEnded, Note, Progress, TrialFinished
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"
SPACE = """
study: small
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 4}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}
  model.depth: {low: 1, high: 2}
  model.width: {low: 4, high: 16, each: model.depth}
search: {sampler: {kind: tpe, n_startup_trials: 3}, trials: 6, workers: 1}
confirm: off
"""


class Recorder:
    """Keeps what a search shows, and may act on it."""

    def __init__(self, act: Callable[[Progress], None] = lambda _: None) -> None:
        self.shown: list[Progress] = []
        self._act = act

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)
        self._act(progress)


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


def run(*sets: str, space: str = "small.yaml", recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space=space, sets=sets), recorder or Recorder(), InlineExecutor())


def trials() -> list[dict[str, Any]]:
    reader = StudyReader.open(STORAGE)
    return [trial.to_json() for trial in reader.trials(reader.study(None))]


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def in_elsewhere(name: str, *sets: str) -> list[dict[str, Any]]:
    """The trials of the same search in another folder, unbroken."""
    here = Path.cwd()
    (here / name).mkdir()
    (here / name / "small.yaml").write_text((here / "small.yaml").read_text())
    os.chdir(here / name)
    try:
        run(*sets)
        return trials()
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of the same search, never interrupted."""
    with contextlib.chdir(tmp_path_factory.mktemp("unbroken")):
        Path("small.yaml").write_text(SPACE)
        torch.set_num_threads(1)
        run()
        return without_time(trials())


def test_a_search_ends_with_its_budget_and_a_best_trial() -> None:
    result = run()
    assert result.ended is Ended.BUDGET
    assert sum(result.status.counts.values()) == 6
    assert result.status.counts["complete"] >= 1
    assert result.status.best is not None
    assert result.status.best.value == max(row["value"] for row in trials() if row["state"] == "complete")


def test_optuna_reads_the_same_study() -> None:
    result = run()
    study = optuna.load_study(study_name="small", storage=STORAGE)
    assert result.status.best is not None
    assert study.best_value == result.status.best.value
    assert study.best_params == dict(result.status.best.params)
    for trial in study.trials:
        assert sorted(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
        assert all("." in name for name in trial.params)
        if trial.state is optuna.trial.TrialState.COMPLETE:
            assert trial.value == max(trial.intermediate_values.values())


def test_the_same_seed_gives_the_same_numbers_and_another_does_not() -> None:
    run()
    same = in_elsewhere("same")
    other = in_elsewhere("other", "seed=4")
    assert without_time(same) == without_time(trials())
    assert without_time(other) != without_time(trials())


def test_a_study_that_is_extended_is_the_study_that_was_asked_for_at_once(unbroken: list[dict[str, Any]]) -> None:
    run("search.trials=3")
    assert len(trials()) == 3
    run("search.trials=6")
    assert without_time(trials()) == unbroken


def test_a_finished_search_does_nothing_when_started_again() -> None:
    run()
    before = trials()
    recorder = Recorder()
    run(recorder=recorder)
    assert trials() == before
    assert not [shown for shown in recorder.shown if isinstance(shown, EpochEnded)]


def test_an_interrupt_pauses_at_the_end_of_the_epoch_and_the_same_command_goes_on(
    unbroken: list[dict[str, Any]],
) -> None:
    epochs = 0

    def interrupt(progress: Progress) -> None:
        nonlocal epochs
        if isinstance(progress, EpochEnded):
            epochs += 1
            if epochs == 6:
                os.kill(os.getpid(), signal.SIGINT)

    result = run(recorder=Recorder(interrupt))
    assert (result.ended, result.signal) == (Ended.INTERRUPTED, signal.SIGINT)
    assert result.status.counts["paused"] == 1
    assert Counter(row["state"] for row in trials())["running"] == 0
    run()
    assert without_time(trials()) == unbroken


def test_interrupted_after_every_epoch_the_search_gives_the_same_trials(unbroken: list[dict[str, Any]]) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded):
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in range(60):
        result = run(recorder=Recorder(interrupt))
        if result.ended is Ended.BUDGET:
            break
        assert result.signal == signal.SIGTERM
    assert without_time(trials()) == unbroken


POINTS = [point for point in faults.POINTS[1:] if point not in ("paused", "confirm_planned")]
"""Nobody pauses here, or is confirmed: see test_search_promotion.py and test_confirm.py."""
KILLS = (("study_created", 1), *((point, count) for point in POINTS for count in (1, 2, 4)))


@pytest.mark.parametrize(("point", "count"), KILLS)
def test_killed_at_any_point_the_same_command_finishes_the_same_study(
    point: str, count: int, unbroken: list[dict[str, Any]]
) -> None:
    killed = _in_child(f"{point}:kill@{count}")
    assert killed == -signal.SIGKILL
    run()
    _assert_whole()
    assert without_time(trials()) == unbroken


def test_killed_again_and_again_the_study_is_finished_once(unbroken: list[dict[str, Any]]) -> None:
    for point in ("after_ask", "job_sent", "checkpoint_written", "epoch_recorded", "before_tell", "told"):
        assert _in_child(f"{point}:kill@2") == -signal.SIGKILL
    run()
    _assert_whole()
    assert without_time(trials()) == unbroken


@pytest.mark.parametrize("point", ("checkpoint_written", "checkpoint_renamed"))
@pytest.mark.parametrize("action", ("raise", "enospc"))
def test_a_failing_write_is_tried_again_and_changes_no_number(
    point: str, action: str, unbroken: list[dict[str, Any]]
) -> None:
    faults.arm(f"{point}:{action}@3")
    try:
        recorder = Recorder()
        run(recorder=recorder)
    finally:
        faults.arm("")
    notes = [shown.message for shown in recorder.shown if isinstance(shown, Note)]
    assert any("trying again (1 of 2)" in note for note in notes)
    assert without_time(trials()) == unbroken


@pytest.mark.parametrize("point", ("after_ask", "epoch_recorded", "before_tell", "told"))
def test_a_driver_that_fails_leaves_a_study_that_goes_on(point: str, unbroken: list[dict[str, Any]]) -> None:
    faults.arm(f"{point}:raise@2")
    try:
        with pytest.raises(faults.InjectedFaultError, match=point):
            run()
    finally:
        faults.arm("")
    run()
    _assert_whole()
    assert without_time(trials()) == unbroken


CHILD = """
import os
from tuner import faults
from tuner.execution.inline import InlineExecutor
from tuner.workflows.search import SearchRequest, search
os.chdir({folder!r})
faults.arm({fault!r})
search(SearchRequest(space="small.yaml"), None, InlineExecutor())
"""


def _in_child(fault: str) -> int | None:
    """Search in another process with a fault armed; its exit code, -N when signal N killed it.

    The process is forked from a server that has everything loaded: seconds less than a fresh interpreter, and unlike a
    fork of this process it has no threads of torch to lose.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuner.execution.preload", "tuner.workflows.session"])
    child = context.Process(target=exec, args=(CHILD.format(folder=str(Path.cwd()), fault=fault),))
    child.start()
    child.join()
    return child.exitcode


def _assert_whole() -> None:
    """The invariants of a recovered study."""
    with sqlite3.connect("studies.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        accepted = connection.execute(
            "SELECT trial, COUNT(*) FROM tuner_attempts"
            " WHERE outcome IN ('completed', 'early_stopped', 'stopped') GROUP BY trial"
        ).fetchall()
    assert all(count == 1 for _, count in accepted)
    states = [row["state"] for row in trials()]
    assert len(states) == 6
    assert set(states) <= {"complete", "pruned"}
    assert [row["number"] for row in trials()] == list(range(6))


def test_a_trial_that_diverges_is_pruned_and_never_the_best() -> None:
    Path("diverging.yaml").write_text(
        "study: diverging\nobjective: {metric: mse}\ndata: {kind: diabetes}\nmodel: {kind: mlp, depth: 1, width: 8}\n"
        "optimizer: {kind: sgd, lr: 1e-3}\ntrain: {epochs: 3}\n"
        "space: {optimizer.lr: [1.0e-3, 1.0e+6]}\nsearch: {sampler: grid, pruner: none, workers: 1}\n"
    )
    result = run(space="diverging.yaml")
    good, bad = trials()
    assert (bad["state"], bad["reason"]) == ("pruned", "diverged")
    assert good["state"] == "complete"
    assert result.status.best is not None
    assert result.status.best.number == 0
    reader = StudyReader.open(STORAGE)
    assert reader.trial(reader.study(None), 1).curve[-1].metrics["val/mse"] is None


@pytest.mark.parametrize(
    ("split", "message"),
    (
        ("{val: 2, test: 10, stratify: false}", "none of its 2 rows is of class"),
        ("{folds: 40, test: 10, stratify: false}", "data.split.folds: fold 1 of 40: roc_auc has no value"),
    ),
)
def test_a_metric_without_a_value_on_the_validation_rows_ends_a_search_before_it_begins(
    split: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run("objective.metric=roc_auc", f"data.split={split}")
    assert "such as log_loss" in str(caught.value)
    assert not Path("studies.db").exists()


def test_a_metric_that_is_nan_beside_a_finite_loss_has_a_reason_of_its_own() -> None:
    Path("mine.py").write_text("def corr(y_true, y_pred):\n    return float('nan')\n")
    metrics = "metrics=[{target: 'mine.py:corr', direction: maximize}]"
    recorder = Recorder()
    run(metrics, "objective.metric=corr", "search.trials=2", recorder=recorder)
    assert [(row["state"], row["reason"]) for row in trials()] == [("pruned", "undefined")] * 2
    ends = [shown for shown in recorder.shown if isinstance(shown, TrialFinished)]
    assert ends[0].message.startswith("val/corr came to nan though the loss is finite")


def test_a_search_whose_metric_never_has_a_value_is_given_up() -> None:
    giving_up = GivingUp()
    for _ in range(MAX_UNDEFINED - 1):
        giving_up.was_undefined("val/corr came to nan")
    with pytest.raises(SearchFailedError, match="no epoch of any has a value to compare them by: val/corr came to nan"):
        giving_up.was_undefined("val/corr came to nan")
    giving_up.reported(0.5)
    giving_up.was_undefined("val/corr came to nan")


MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, mode, input_shape, n_outputs):
        super().__init__()
        self.mode = mode
        self.layer = nn.Linear(input_shape[0], n_outputs)

    def forward(self, x):
        if self.training and self.mode == "oom":
            raise torch.OutOfMemoryError("CUDA out of memory (as a card would say)")
        if self.training and self.mode == "crash":
            raise RuntimeError("no such layer")
        return self.layer(x)
"""


def _with_model(modes: str, extra: str = "") -> str:
    Path("net.py").write_text(MODEL)
    Path("own.yaml").write_text(
        "study: own\nobjective: {metric: accuracy}\ndata: {kind: iris}\n"
        'model: {kind: python, target: "net.py:Net", options: {mode: fine}}\n'
        "train: {epochs: 2}\n"
        f"space: {{model.options.mode: {modes}, optimizer.lr: {{low: 1e-4, high: 1e-1, log: true}}}}\n"
        f"search: {{sampler: {{kind: grid, points: 4}}, pruner: none, workers: 1}}\n{extra}"
    )
    return "own.yaml"


def test_out_of_memory_prunes_the_trial_and_the_search_goes_on() -> None:
    run(space=_with_model("[fine, oom]"))
    rows = trials()
    assert Counter((row["state"], row["reason"]) for row in rows) == {("complete", ""): 4, ("pruned", "oom"): 4}


def test_a_trial_that_always_crashes_is_tried_three_times_and_the_others_go_on() -> None:
    recorder = Recorder()
    run("space.optimizer.lr=[0.01, 0.02]", space=_with_model("[fine, crash]"), recorder=recorder)
    rows = trials()
    assert Counter((row["state"], row["reason"]) for row in rows) == {("complete", ""): 2, ("failed", "crashed"): 2}
    reader = StudyReader.open(STORAGE)
    failed = next(row["number"] for row in rows if row["state"] == "failed")
    detail = reader.trial(reader.study(None), failed)
    assert [attempt.outcome for attempt in detail.attempts] == [Outcome.CRASHED] * 3
    assert "RuntimeError: no such layer" in detail.message
    assert "net.py" in detail.message
    finished = next(item for item in recorder.shown if isinstance(item, TrialFinished) and item.trial == failed)
    assert finished.message == detail.message
    log = Path(f"runs/own/{failed}/log.txt").read_text()
    assert log.count("Traceback") == 3


def test_a_trial_that_moves_on_between_its_faults_is_never_given_up(unbroken: list[dict[str, Any]]) -> None:
    def fault_at_the_next_epoch(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and progress.trial == 0:
            faults.arm("checkpoint_written:raise@1")

    recorder = Recorder(fault_at_the_next_epoch)
    run(recorder=recorder)
    notes = [shown.message for shown in recorder.shown if isinstance(shown, Note)]
    assert len([note for note in notes if note.startswith("trial 0: ") and "trying again (1 of 2)" in note]) == 3
    assert without_time(trials()) == unbroken


def test_when_every_trial_crashes_alike_the_search_stops_and_names_the_cause_once() -> None:
    with pytest.raises(SearchFailedError) as caught:
        run(space=_with_model("[crash, fine]", ""))
    assert str(caught.value).count("no such layer") == 1
    assert str(caught.value).startswith("3 trials in a row failed alike: RuntimeError: no such layer, in ")
    assert "tuner logs 2 --study own" in str(caught.value)
    assert len(trials()) == 3


def test_a_changed_space_is_refused_with_the_difference_and_a_changed_budget_is_not() -> None:
    run("search.trials=1")
    run("search.trials=2", "train.device=cpu")
    with pytest.raises(ChangedError) as caught:
        run("optimizer.weight_decay=0.5")
    assert "optimizer.weight_decay" in str(caught.value)
    assert "0.5" in str(caught.value)
    assert "--study NAME" in str(caught.value)
    assert len(trials()) == 2


def test_changed_code_is_refused() -> None:
    space = _with_model("[fine, crash]")
    run("space.model.options.mode=null", "search.trials=1", space=space)
    Path("net.py").write_text(MODEL + "\n# another version\n")
    with pytest.raises(ChangedError, match=r"the code of net\.py:Net changed since study 'own' was started"):
        run("space.model.options.mode=null", "search.trials=2", space=space)


def test_code_that_never_trained_anything_can_be_mended_and_the_same_command_goes_on() -> None:
    space = _with_model("[crash, fine]")
    with pytest.raises(SearchFailedError, match="after mending it the same command goes on"):
        run(space=space)
    Path("net.py").write_text(MODEL.replace('self.mode == "crash"', "False"))
    result = run(space=space)
    assert Counter(row["state"] for row in trials()) == {"failed": 3, "complete": 5}
    assert result.status.best is not None


def test_a_trial_that_was_enqueued_through_optuna_is_ended_and_the_search_goes_on() -> None:
    run("search.trials=2")
    optuna.load_study(study_name="small", storage=STORAGE).enqueue_trial({"optimizer.lr": 0.01})
    run("search.trials=4")
    assert [(row["number"], row["state"]) for row in trials() if row["state"] == "failed"] == [(2, "failed")]
    assert len(trials()) == 4


def test_a_file_without_space_is_one_training_run() -> None:
    text = SPACE[: SPACE.index("space:")] + "search: {workers: 1}\n"
    Path("one.yaml").write_text(text.replace("study: small", "study: one"))
    result = run(space="one.yaml")
    assert [(row["state"], row["params"]) for row in trials()] == [("complete", {})]
    assert result.status.best is not None


def test_params_that_do_not_go_together_are_pruned_and_the_search_goes_on() -> None:
    text = SPACE.replace(
        "{low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}", "{choices: [0.0, 0.9], when: {optimizer.kind: sgd}}"
    )
    text = text.replace(
        "space:\n", "space:\n  optimizer.nesterov: {choices: [true, false], when: {optimizer.kind: sgd}}\n"
    )
    Path("small.yaml").write_text(text)
    alone = [f"space.{name}=null" for name in ("optimizer.lr", "model.depth", "model.width")]
    run("search.sampler=grid", "search.pruner=none", "train.epochs=1", *alone)
    outcomes = {
        (row["params"].get("optimizer.nesterov"), row["params"].get("optimizer.momentum")): (
            row["state"],
            row["reason"],
        )
        for row in trials()
    }
    assert outcomes.pop((True, 0.0)) == ("pruned", "infeasible")
    assert len(outcomes) == 4
    assert set(outcomes.values()) == {("complete", "")}


def test_weights_of_pruned_trials_are_swept_after_a_kill() -> None:
    assert _in_child("told:kill@2") == -signal.SIGKILL
    run()
    finished = {row["number"] for row in trials() if row["state"] != "complete"}
    assert not [path for number in finished for path in Path(f"runs/small/{number}").glob("epoch-*.pt")]


def test_two_databases_in_one_folder_keep_their_trials_apart() -> None:
    for name in ("a", "b"):
        search(
            SearchRequest(space="small.yaml", storage=f"sqlite:///{name}.db", sets=["search.trials=1"]),
            Recorder(),
            InlineExecutor(),
        )
    assert Path("a-runs/small/0/log.txt").is_file()
    assert Path("b-runs/small/0/log.txt").is_file()


def test_changed_data_is_refused() -> None:
    rows = ["a,b,y"] + [f"{i},{(i * 7) % 5},{'yes' if i % 2 else 'no'}" for i in range(60)]
    Path("table.csv").write_text("\n".join(rows) + "\n")
    Path("table.yaml").write_text(
        "study: table\nobjective: {metric: accuracy}\ndata: {kind: csv, path: table.csv, target: y}\n"
        "model: {kind: mlp, depth: 1, width: 4}\ntrain: {epochs: 1}\n"
        "space: {optimizer.lr: {low: 1e-4, high: 1e-1, log: true}}\nsearch: {trials: 1, workers: 1}\n"
    )
    run(space="table.yaml")
    Path("table.csv").write_text("\n".join([*rows[:-1], "59,4,no"]) + "\n")
    with pytest.raises(ChangedError, match=r"the data of study 'table' changed since it was started"):
        run("search.trials=2", space="table.yaml")


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    (
        ("model.kind=mpl", ConfigError, r"did you mean 'mlp'\?"),
        ("data.split.val=149", DataError, "which leaves none for training"),
        ("loss.kind=mse", ConfigError, "mse is for regression and autoencoding, this is classification"),
    ),
)
def test_what_cannot_be_trained_is_refused_before_anything_is_created(
    setting: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(setting)
    assert not Path("studies.db").exists()


def test_a_missing_space_file_names_where_it_looked() -> None:
    with pytest.raises(NotFoundError, match=r"smal: no such space file.* \(looked in .*; shipped: .*mlp"):
        run(space="smal")


def test_wall_time_is_a_total_and_stops_trials_in_the_middle() -> None:
    Path("small.yaml").write_text(SPACE.replace("epochs: 4", "epochs: 100000").replace("trials: 6", "timeout: 1.5"))
    result = run()
    assert result.ended is Ended.TIMEOUT
    assert 1.5 <= result.status.study.seconds < 6
    rows = trials()
    assert [(row["state"], row["reason"]) for row in rows] == [("pruned", "timeout")]
    assert run().ended is Ended.TIMEOUT
    assert len(trials()) == len(rows)


def test_only_the_best_five_keep_their_weights() -> None:
    run("search.trials=9", "search.pruner=none")
    complete = [row for row in trials() if row["state"] == "complete"]
    kept = {int(path.parent.name) for path in Path("runs/small").glob("*/epoch-*.pt")}
    best = sorted(complete, key=lambda row: (-row["value"], row["number"]))[:5]
    assert kept == {row["number"] for row in best}
    assert all(len(list(Path(f"runs/small/{number}").glob("epoch-*.pt"))) == 1 for number in kept)


def test_trials_of_a_study_that_was_deleted_are_moved_aside() -> None:
    run("search.trials=2")
    Path("studies.db").unlink()
    recorder = Recorder()
    run("search.trials=1", recorder=recorder)
    notes = [shown.message for shown in recorder.shown if isinstance(shown, Note)]
    assert any("moved 2 trials of an earlier study" in note for note in notes)
    assert len(list(Path("runs/small").glob("previous-*/1/log.txt"))) == 1


def test_every_epoch_is_recorded_with_its_losses_and_metrics() -> None:
    run("search.trials=1", "search.pruner=none")
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study(None), 0)
    assert [row.epoch for row in detail.curve] == [1, 2, 3, 4]
    for row in detail.curve:
        assert {"train/loss", "val/loss", "val/accuracy"} <= set(row.metrics)
        assert all(value is not None and math.isfinite(value) for value in row.metrics.values())
        assert not any(name.startswith("test/") for name in row.metrics)
    lines = [json.loads(line) for line in Path("runs/small/0/metrics.jsonl").read_text().splitlines()]
    assert [line["val/accuracy"] for line in lines] == [row.metrics["val/accuracy"] for row in detail.curve]
    spec = load(Path("small.yaml"))
    assert detail.config == json.loads(spec.bind(detail.row.params).model_dump_json())
