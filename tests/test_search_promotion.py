"""Searches that pause trials at rungs and promote the best: real data, real SQLite, real processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from tuner import faults
from tuner.execution.inline import InlineExecutor
from tuner.execution.processes import ProcessExecutor
from tuner.screen.here import LineReporter
from tuner.study.queries import StudyReader
from tuner.study.rows import TrialDetail
from tuner.workflows.explaining import explain
from tuner.workflows.progress import EpochEnded, Note, Progress, TrialFinished, TrialStarted
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"
SPACE = """
study: small
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 9}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.dropout: {low: 0.1, high: 0.5}
search: {sampler: random, pruner: {kind: asha, min_epochs: 1, eta: 3}, trials: 9, workers: 1}
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

    def paused(self) -> list[tuple[int, str]]:
        ends = (item for item in self.shown if isinstance(item, TrialFinished) and item.state.value == "paused")
        return [(item.trial, item.reason) for item in ends]

    def resumed(self) -> list[tuple[int, int]]:
        starts = (item for item in self.shown if isinstance(item, TrialStarted) and item.first_epoch > 1)
        return [(item.trial, item.first_epoch) for item in starts]


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


def run(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="small.yaml", sets=sets), recorder or Recorder(), InlineExecutor())


def run_in_processes(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="small.yaml", sets=sets), recorder or Recorder(), ProcessExecutor())


def details() -> list[TrialDetail]:
    reader = StudyReader.open(STORAGE)
    study = reader.study(None)
    return [reader.trial(study, row.number) for row in reader.trials(study)]


def outcomes() -> list[dict[str, Any]]:
    """What became of every trial: everything but times."""
    return [
        {
            **{name: value for name, value in found.row.to_json().items() if name != "seconds"},
            "curve": [row.metrics for row in found.curve],
            "best_epoch": found.row.best_epoch,
        }
        for found in details()
    ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of the same search, never interrupted."""
    with contextlib.chdir(tmp_path_factory.mktemp("unbroken")):
        Path("small.yaml").write_text(SPACE)
        torch.set_num_threads(1)
        run()
        return outcomes()


def test_trials_pause_at_rungs_and_the_best_third_goes_on(unbroken: list[dict[str, Any]]) -> None:
    counts = Counter(row["epochs"] for row in unbroken)
    assert counts.keys() == {1, 3, 9}
    assert [(row["state"], row["reason"]) for row in unbroken if row["epochs"] < 9] == [("pruned", "pruned")] * 8
    by_first = sorted(unbroken, key=lambda row: (-row["curve"][0]["val/accuracy"], row["number"]))
    assert all(row["epochs"] > 1 for row in by_first[:3])
    assert counts[1] >= 4, "those that were among the best of fewer went on as well"


def test_all_paused_trials_are_pruned_at_their_last_epoch_in_optunas_own_reading() -> None:
    result = run()
    assert (result.ended, result.status.counts["paused"]) == (Ended.BUDGET, 0)
    study = optuna.load_study(study_name="small", storage=STORAGE)
    rows = outcomes()
    assert len(study.trials) == 9
    for trial, row in zip(study.trials, rows, strict=True):
        assert sorted(trial.intermediate_values) == list(range(1, row["epochs"] + 1))
        if trial.state is optuna.trial.TrialState.PRUNED:
            assert trial.value == trial.intermediate_values[row["epochs"]]
            assert trial.user_attrs["reason"] == "pruned"
        else:
            assert trial.state is optuna.trial.TrialState.COMPLETE
    assert result.status.best is not None
    assert study.best_trial.number == result.status.best.number


def test_status_explains_the_rungs_of_a_search() -> None:
    run()
    lines = explain(STORAGE, None)
    counts = [sum(row["epochs"] >= epoch for row in outcomes()) for epoch in (1, 3)]
    assert lines[0].startswith(f"asha: rungs at epoch 1 ({counts[0]}), 3 ({counts[1]}), in brackets")
    assert lines[1] == "first rung: epoch 1, until more trials came further"


def test_lines_say_once_what_became_of_a_trial(capsys: pytest.CaptureFixture[str]) -> None:
    result = search(SearchRequest(space="small.yaml"), LineReporter(), InlineExecutor())
    lines = capsys.readouterr().err.splitlines()
    assert "trial 0/9: paused (rung) after 1 epoch" in lines[1]
    assert sum(": complete" in line for line in lines) == result.status.counts["complete"]
    assert not any(": pruned" in line for line in lines)


def test_the_weights_of_a_promoted_trial_are_those_of_one_that_never_paused() -> None:
    run()
    promoted = max(details(), key=lambda found: found.row.epochs)
    assert [attempt.first_epoch for attempt in promoted.attempts] == [1, 2, 4]
    straight = Path("straight")
    straight.mkdir()
    (straight / "small.yaml").write_text(SPACE)
    with contextlib.chdir(straight):
        run("search.pruner=none")
        same = details()[promoted.row.number]
        assert len(same.attempts) == 1
        expected = _weights(same)
    assert same.row.params == promoted.row.params
    assert [row.metrics for row in same.curve] == [row.metrics for row in promoted.curve]
    found = _weights(promoted)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def _weights(found: TrialDetail) -> dict[str, torch.Tensor]:
    stored = next(item for item in found.checkpoints if item.epoch == found.row.best_epoch)
    path = Path("runs") / "small" / str(found.row.number) / stored.file
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return weights


def test_ctrl_c_keeps_paused_trials_paused_and_the_same_command_goes_on(unbroken: list[dict[str, Any]]) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and (progress.trial, progress.epoch) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)

    result = run(recorder=Recorder(interrupt))
    assert (result.ended, result.status.counts["paused"]) == (Ended.INTERRUPTED, 3)
    study = optuna.load_study(study_name="small", storage=STORAGE)
    assert {trial.state for trial in study.trials} == {optuna.trial.TrialState.RUNNING}
    for found in details():
        assert (found.row.state.value, found.row.reason) in {("paused", "rung"), ("paused", "interrupted")}
        newest = max(found.checkpoints, key=lambda item: item.epoch)
        assert newest.epoch == found.row.epochs
        assert (Path("runs") / "small" / str(found.row.number) / newest.file).is_file()
    run()
    assert outcomes() == unbroken


@pytest.mark.slow
def test_interrupted_after_every_epoch_the_search_gives_the_same_trials(unbroken: list[dict[str, Any]]) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded):
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in range(60):
        if run(recorder=Recorder(interrupt)).ended is Ended.BUDGET:
            break
    assert outcomes() == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ("auto", "tpe"))
def test_interrupted_again_and_again_a_sampler_that_learns_asks_for_the_same_trials(sampler: str) -> None:
    sets = (f"search.sampler={sampler}", "search.trials=16", "train.epochs=4")

    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and progress.trial % 3 == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    aside = Path("aside")
    aside.mkdir()
    (aside / "small.yaml").write_text(SPACE)
    with contextlib.chdir(aside):
        run(*sets)
        expected = outcomes()
    for _ in range(60):
        if run(*sets, recorder=Recorder(interrupt)).ended is Ended.BUDGET:
            break
    assert outcomes() == expected


def test_a_search_can_go_on_with_another_pruner() -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and (progress.trial, progress.epoch) == (4, 1):
            os.kill(os.getpid(), signal.SIGINT)

    sets = ("search.trials=6", "train.epochs=4")
    assert run(*sets, recorder=Recorder(interrupt)).status.counts["paused"] >= 4
    result = run(*sets, "search.pruner=none")
    assert result.status.counts["complete"] == 6
    assert all(row["epochs"] == 4 for row in outcomes())


KILLS = (
    ("job_sent", 4),  # the first promotion
    ("job_sent", 11),
    ("checkpoint_renamed", 4),
    ("epoch_recorded", 3),
    ("epoch_recorded", 12),
    ("paused", 1),
    ("paused", 4),
    ("told", 1),
    ("told", 5),
)


@pytest.mark.parametrize(("point", "count"), KILLS)
def test_killed_while_pausing_or_promoting_nothing_is_lost(
    point: str, count: int, unbroken: list[dict[str, Any]]
) -> None:
    assert _in_child(f"{point}:kill@{count}") == -signal.SIGKILL
    run()
    with contextlib.closing(sqlite3.connect("studies.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert outcomes() == unbroken


@pytest.mark.slow
def test_a_driver_of_two_workers_that_is_killed_again_and_again_loses_nothing() -> None:
    # One trial a job: with lanes, which a busy machine may choose, jobs are sent too seldom for every kill.
    sets = ("search.workers=2", "search.trials=12", "search.lanes=1")
    aside = Path("aside")
    aside.mkdir()
    (aside / "small.yaml").write_text(SPACE)
    with contextlib.chdir(aside):
        run("search.pruner=none", "search.trials=12")
        straight = outcomes()
    codes = []
    for fault in ("epoch_recorded:kill@5", "paused:kill@3", "job_sent:kill@4", "epoch_recorded:kill@9"):
        code = CHILD.format(folder=str(Path.cwd()), fault=fault, sets=sets, executor="ProcessExecutor")
        # An interpreter that starts its own processes.
        codes.append(subprocess.run([sys.executable, "-c", code], check=False).returncode)
    assert codes == [-signal.SIGKILL] * 4
    result = run_in_processes(*sets)
    rows = outcomes()
    assert (len(rows), result.status.counts["paused"], result.status.counts["running"]) == (12, 0, 0)
    assert result.status.counts["complete"] >= 1
    for row, alone in zip(rows, straight, strict=True):
        assert row["params"] == alone["params"]
        assert row["curve"] == alone["curve"][: row["epochs"]], "whoever trained it, and however often it paused"


CHILD = """
import os
from tuner import faults
from tuner.execution.inline import InlineExecutor
from tuner.execution.processes import ProcessExecutor
from tuner.screen.here import LineReporter
from tuner.workflows.search import SearchRequest, search
os.chdir({folder!r})
faults.arm({fault!r})
search(SearchRequest(space="small.yaml", sets={sets!r}), None, {executor}())
"""


def _in_child(fault: str) -> int | None:
    """Search in another process with a fault armed; its exit code, -N when signal N killed it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuner.execution.preload", "tuner.workflows.session"])
    code = CHILD.format(folder=str(Path.cwd()), fault=fault, sets=(), executor="InlineExecutor")
    child = context.Process(target=exec, args=(code,))
    child.start()
    child.join()
    return child.exitcode


@pytest.mark.parametrize("n_trials", (1, 2))
def test_a_search_of_few_trials_ends_with_a_complete_one(n_trials: int) -> None:
    result = run(f"search.trials={n_trials}")
    assert result.status.counts["complete"] == 1
    assert sum(result.status.counts.values()) == n_trials
    assert result.status.best is not None


def test_a_search_that_is_extended_leaves_what_was_pruned_and_goes_on() -> None:
    run("search.trials=5")
    before = outcomes()
    assert {row["state"] for row in before} == {"pruned", "complete"}
    result = run("search.trials=12")
    assert outcomes()[:5] == before
    assert (len(outcomes()), result.status.counts["paused"]) == (12, 0)


def test_the_time_limit_prunes_the_paused_and_only_the_running_ones_for_time() -> None:
    recorder = Recorder()
    result = run("search.trials=null", "search.timeout=2", recorder=recorder)
    assert result.ended is Ended.TIMEOUT
    assert result.status.counts["paused"] == result.status.counts["running"] == 0
    reasons = Counter(row["reason"] for row in outcomes() if row["state"] == "pruned")
    assert reasons["pruned"] >= 1
    assert reasons["timeout"] <= 1


def test_mode_stop_ends_trials_at_rungs_and_resumes_none(unbroken: list[dict[str, Any]]) -> None:
    recorder = Recorder()
    run("search.pruner.mode=stop", "search.trials=20", recorder=recorder)
    rows = outcomes()
    assert [row["params"] for row in rows[:9]] == [row["params"] for row in unbroken]
    assert recorder.resumed() == recorder.paused() == []
    assert {row["epochs"] for row in rows} <= {1, 3, 9}
    assert {row["epochs"] for row in rows[:2]} == {9}, "fewer than eta are not compared"
    assert sum(row["epochs"] == 1 for row in rows) >= 8
    assert {(row["state"], row["reason"]) for row in rows} == {("complete", ""), ("pruned", "pruned")}


def test_each_trial_has_the_rungs_below_its_own_last_epoch() -> None:
    recorder = Recorder()
    run("space.train.epochs={low: 2, high: 7}", "search.trials=12", recorder=recorder)
    for found in details():
        last_epoch = found.row.params["train.epochs"]
        assert [attempt.first_epoch for attempt in found.attempts] == [1, 2, 4][: len(found.attempts)]
        assert found.row.epochs in {1, 3, last_epoch}
        assert (found.row.state.value == "complete") is (found.row.epochs == last_epoch)


def test_a_trial_that_stops_early_is_complete_and_not_paused() -> None:
    sets = ("train.early_stopping={patience: 1}", "search.pruner.min_epochs=2", "train.epochs=20")
    run(*sets)
    early = [found.row for found in details() if found.row.reason == "early_stopped"]
    assert early
    assert {row.state.value for row in early} == {"complete"}
    assert any(row.epochs == 2 for row in early), "at the epoch of a rung"


def test_killed_before_it_could_say_that_it_stopped_early_a_trial_is_complete_all_the_same() -> None:
    text = SPACE.replace("train: {epochs: 9}", "train: {epochs: 20, early_stopping: {patience: 1}}")
    Path("small.yaml").write_text(text.replace("min_epochs: 1", "min_epochs: 2"))
    aside = Path("aside")
    aside.mkdir()
    (aside / "small.yaml").write_text(Path("small.yaml").read_text())
    with contextlib.chdir(aside):
        run()
        expected = outcomes()
    first = next(row["number"] for row in expected if (row["reason"], row["epochs"]) == ("early_stopped", 2))
    assert _in_child(f"epoch_recorded:kill@{2 * (first + 1)}") == -signal.SIGKILL
    run()
    assert outcomes() == expected


@pytest.mark.slow
def test_two_workers_promote_and_end_with_nothing_paused() -> None:
    recorder = Recorder()
    result = run_in_processes("search.workers=2", "search.trials=27", recorder=recorder)
    counts = result.status.counts
    assert (counts["complete"] + counts["pruned"], counts["paused"], counts["running"]) == (27, 0, 0)
    assert counts["complete"] >= 1
    assert len(recorder.resumed()) >= 9
    with contextlib.closing(sqlite3.connect("studies.db")) as connection:
        rows = connection.execute("SELECT trial, first_epoch, goal FROM tuner_attempts").fetchall()
    assert max(Counter((trial, first) for trial, first, _ in rows).values()) == 1, "no epoch is trained twice"


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_paused_trial(unbroken: list[dict[str, Any]]) -> None:
    killed: list[int] = []
    executor = ProcessExecutor()

    def kill(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and progress.epoch == 3 and not killed:
            pid = executor._workers[0].process.pid
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    recorder = Recorder(kill)
    search(SearchRequest(space="small.yaml"), recorder, executor)
    assert killed
    assert outcomes() == unbroken


def test_promoted_trials_train_as_lanes_and_one_that_pauses_makes_room() -> None:
    recorder = Recorder()
    result = run("search.lanes=3", "search.trials=18", "train.epochs=6", recorder=recorder)
    counts = result.status.counts
    assert (counts["complete"] + counts["pruned"], counts["paused"]) == (18, 0)
    assert counts["complete"] >= 1
    lanes = {
        attempt.first_epoch: attempt.picked.get("lanes")
        for found in details()
        for attempt in found.attempts
        if attempt.picked.get("lanes")
    }
    assert set(lanes) >= {1, 2}, "new trials and promoted ones had company"


def test_the_same_search_without_lanes_gives_a_lane_its_numbers() -> None:
    run("search.lanes=3")
    rows = {str(row["params"]): row["curve"] for row in outcomes()}
    aside = Path("aside")
    aside.mkdir()
    (aside / "small.yaml").write_text(SPACE)
    with contextlib.chdir(aside):
        run("search.pruner=none")
        alone = {str(row["params"]): row["curve"] for row in outcomes()}
    shared = rows.keys() & alone.keys()
    assert shared
    assert all(rows[params] == alone[params][: len(rows[params])] for params in shared)


def test_faults_while_a_paused_trial_is_taken_up_again_are_retried(unbroken: list[dict[str, Any]]) -> None:
    faults.arm("checkpoint_written:raise@10")
    try:
        recorder = Recorder()
        run(recorder=recorder)
    finally:
        faults.arm("")
    assert any("trying again" in item.message for item in recorder.shown if isinstance(item, Note))
    assert outcomes() == unbroken
