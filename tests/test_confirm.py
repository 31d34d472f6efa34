"""Searches whose best trials are trained again on fresh seeds: nothing is lost, nothing is trained twice."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from click.testing import CliRunner

from tuner.cli import best as best_command
from tuner.cli import confirm as confirm_command
from tuner.cli import logs as logs_command
from tuner.cli import show as show_command
from tuner.cli import status as status_command
from tuner.cli.tables import spread
from tuner.config.spec import load
from tuner.errors import NotFoundError, NoTrialError
from tuner.execution.inline import InlineExecutor
from tuner.seeding import derive
from tuner.study.confirmed import Standing, run_detail, standing_of
from tuner.study.queries import StudyReader
from tuner.workflows import best as best_workflow
from tuner.workflows import confirm as confirm_workflow
from tuner.workflows.best import best
from tuner.workflows.confirm import confirm
from tuner.workflows.progress import ConfirmStarted, ConfirmStep, EpochEnded, Note, Progress, TrialFinished
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"
SPACE = """
study: small
seed: 3
objective: {metric: loss}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 3}
space:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 4, high: 6}
search: {sampler: random, pruner: none, trials: 4, workers: 1}
confirm: {top: 2, seeds: 2}
"""


class Recorder:
    """Keeps what a search shows, and may act on it."""

    def __init__(self, act: Callable[[Progress], None] = lambda _: None) -> None:
        self.shown: list[Progress] = []
        self._act = act

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)
        self._act(progress)

    def n_epochs(self) -> int:
        return sum(isinstance(item, ConfirmStep) and isinstance(item.step, EpochEnded) for item in self.shown)


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(confirm_workflow, "ProcessExecutor", InlineExecutor)
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)  # starting a process takes seconds
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


def run(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="small.yaml", sets=sets), recorder or Recorder(), InlineExecutor())


def standing() -> Standing:
    reader = StudyReader.open(STORAGE)
    study = reader.study(None)
    return standing_of(reader, study, reader.outline(study)[1])


def values() -> dict[tuple[int, int], float | None]:
    return {(run.trial, run.repeat): run.value for run in standing().runs}


def curves() -> dict[tuple[int, int], list[dict[str, Any]]]:
    reader = StudyReader.open(STORAGE)
    details = {(run.trial, run.repeat): run_detail(reader, reader.study(None), run) for run in standing().runs}
    return {key: [dict(row.metrics) for row in detail.curve] for key, detail in details.items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    """The curves of the same confirmation, never interrupted."""
    with contextlib.chdir(tmp_path_factory.mktemp("unbroken")):
        Path("small.yaml").write_text(SPACE)
        torch.set_num_threads(1)
        run()
        return curves()


def test_the_best_trials_are_trained_again_and_the_mean_chooses() -> None:
    result = run()
    confirmed = result.status.confirmed
    assert confirmed is not None
    rows = [trial for trial in StudyReader.open(STORAGE).trials(result.status.study) if trial.value is not None]
    two_best = sorted(rows, key=lambda row: row.value or 0.0)[:2]
    assert {item.trial for item in confirmed.candidates} == {row.number for row in two_best}
    means = {item.trial: sum(v for v in item.values if v is not None) / 2 for item in confirmed.candidates}
    assert confirmed.winner.trial == min(means, key=lambda trial: means[trial])
    assert confirmed.winner.mean == means[confirmed.winner.trial]
    assert result.ended is Ended.BUDGET


def test_optuna_does_not_see_the_runs_that_confirm() -> None:
    run()
    study = optuna.load_study(study_name="small", storage=STORAGE)
    assert len(study.trials) == 4
    assert len(standing().runs) == 4


def test_each_run_has_a_fresh_seed_and_the_config_of_its_trial_on_other_validation_rows() -> None:
    run()
    reader = StudyReader.open(STORAGE)
    study = reader.study(None)
    for item in standing().runs:
        detail, trial = run_detail(reader, study, item), reader.trial(study, item.trial)
        assert detail.seed == derive(3, "confirm", item.trial, item.repeat) != trial.seed
        split = {**trial.config["data"]["split"], "cut": item.repeat}
        assert detail.config == {**trial.config, "data": {**trial.config["data"], "split": split}}
        assert [row.epoch for row in detail.curve] == [1, 2, 3]
        assert item.value == min(row.metrics["val/loss"] or 0.0 for row in detail.curve)


def test_the_same_command_again_trains_nothing() -> None:
    run()
    before = values()
    recorder = Recorder()
    again = run(recorder=recorder)
    assert recorder.n_epochs() == 0
    assert values() == before
    assert again.status.confirmed is not None


def test_confirm_off_confirms_nothing_and_a_file_without_a_space_neither() -> None:
    assert run("confirm=off").status.confirmed is None
    assert standing().runs == ()
    Path("one.yaml").write_text(SPACE.partition("space:")[0].replace("small", "one"))
    assert load(Path("one.yaml")).confirm is None
    Path("default.yaml").write_text(SPACE.partition("confirm:")[0])
    confirm_by_default = load(Path("default.yaml")).confirm
    assert confirm_by_default is not None
    assert (confirm_by_default.top, confirm_by_default.seeds) == (3, 2)


def test_the_epochs_that_confirming_takes_are_known_before() -> None:
    spec = load(Path("small.yaml"))
    assert spec.confirm_epochs() == 2 * 2 * 3
    assert spec.confirm_epochs(n_trials=1) == 1 * 2 * 3
    assert load(Path("small.yaml"), sets=["confirm=off"]).confirm_epochs() == 0
    recorder = Recorder()
    run(recorder=recorder)
    assert recorder.n_epochs() == 12


def test_lanes_give_the_numbers_of_runs_alone(unbroken: dict[tuple[int, int], Any]) -> None:
    recorder = Recorder()
    run("search.lanes=4", recorder=recorder)
    lanes = standing()
    assert set(values()) <= {(run.trial, run.repeat) for run in lanes.runs}
    shared = set(curves()) & set(unbroken)
    assert {key: curves()[key] for key in shared} == {key: unbroken[key] for key in shared}


def test_interrupted_after_every_epoch_the_runs_end_as_if_they_were_not(unbroken: dict[tuple[int, int], Any]) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, ConfirmStep) and isinstance(progress.step, EpochEnded):
            os.kill(os.getpid(), signal.SIGINT)

    for _ in range(20):
        result = run(recorder=Recorder(interrupt))
        if result.ended is Ended.BUDGET:
            break
        assert result.signal == signal.SIGINT
        assert (result.status.confirmed is None) == any(not item.is_over for item in standing().runs)
    assert curves() == unbroken
    assert standing().confirmed is not None


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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuner.execution.preload", "tuner.workflows.session"])
    child = context.Process(target=exec, args=(CHILD.format(folder=str(Path.cwd()), fault=fault),))
    child.start()
    child.join()
    return child.exitcode


@pytest.mark.parametrize(
    "fault",
    (
        "confirm_planned:kill",
        "job_sent:kill@2",
        "checkpoint_written:kill@4",
        "epoch_recorded:kill@6",
        "before_tell:kill@2",
        "told:kill@4",
    ),
)
def test_killed_while_it_confirms_the_same_command_finishes_it(
    fault: str, unbroken: dict[tuple[int, int], Any]
) -> None:
    run("confirm=off")
    assert _in_child(fault) == -signal.SIGKILL
    run()
    assert curves() == unbroken
    assert standing().confirmed is not None
    with sqlite3.connect("studies.db") as connection:
        accepted = connection.execute(
            "SELECT uid, trial, COUNT(*) FROM tuner_attempts WHERE outcome = 'completed' GROUP BY uid, trial"
        ).fetchall()
    assert [count for *_, count in accepted] == [1] * 8


def test_more_seeds_and_trials_are_added_to_those_that_are_there() -> None:
    run()
    before = values()
    recorder = Recorder()
    result = _confirm(3, 3, recorder)
    assert recorder.n_epochs() == (9 - 4) * 3
    assert result.status.confirmed is not None
    assert [len(item.values) for item in result.status.confirmed.candidates] == [3, 3, 3]
    assert before.items() <= values().items()


def test_where_few_trials_are_complete_the_furthest_of_the_stopped_ones_are_confirmed_in_full() -> None:
    recorder = Recorder()
    asha = "search.pruner={kind: asha, min_epochs: 1, eta: 3}"
    result = run(asha, "search.trials=4", "train.epochs=9", recorder=recorder)
    assert result.status.counts["complete"] == 1
    confirmed = result.status.confirmed
    assert confirmed is not None
    assert len(confirmed.candidates) == 2
    assert all(len(curve) == 9 for curve in curves().values())
    (note,) = [item.message for item in recorder.shown if isinstance(item, Note) and "complete" in item.message]
    assert result.status.best is not None
    (stopped,) = {item.trial for item in confirmed.candidates} - {result.status.best.number}
    assert note == f"fewer than 2 trials are complete: trial {stopped} got furthest of the others, and trains in full"
    assert best().bundle.trial == confirmed.winner.trial


def test_trials_that_a_constraint_never_judged_are_not_confirmed() -> None:
    recorder = Recorder()
    asha = "search.pruner={kind: asha, min_epochs: 1, eta: 3}"
    run(asha, "search.trials=4", "train.epochs=9", "constraints=['loss <= 100']", recorder=recorder)
    assert len({run.trial for run in standing().runs}) == 1
    notes = [item.message for item in recorder.shown if isinstance(item, Note)]
    assert any("1 of the 2 trials that confirm.top asks for" in note for note in notes)


def test_no_spread_is_said_in_words_and_not_as_a_number() -> None:
    assert spread(0.25, 3) == " +- 0.25"
    assert spread(0.0, 3) == ", the same on all 3"
    assert spread(None, 1) == ""


def _confirm(top: int | None, seeds: int | None, recorder: Recorder | None = None) -> SearchResult:
    return confirm(top=top, seeds=seeds, reporter=recorder or Recorder(), executor=InlineExecutor())


def test_a_study_that_was_not_confirmed_can_be_confirmed_without_its_space_file() -> None:
    run("confirm=off")
    Path("small.yaml").unlink()
    assert _confirm(None, None).status.confirmed is not None
    assert len(standing().runs) == 3 * 2


def test_a_study_that_is_not_there_or_has_no_complete_trial_cannot_be_confirmed() -> None:
    with pytest.raises(NotFoundError):
        _confirm(None, None)
    Path("small.yaml").write_text(SPACE.replace("low: 1e-3, high: 1e-1, log: true", "low: 1e+30, high: 1e+31"))
    run("search.trials=1")
    with pytest.raises(NoTrialError, match="no complete trial"):
        _confirm(None, None)


def test_a_search_that_found_a_better_trial_since_is_not_confirmed_until_it_is_confirmed_again() -> None:
    run("search.trials=1", "confirm.top=1")
    first = standing().confirmed
    assert first is not None
    result = run("search.trials=4", "confirm=off")
    assert result.status.best is not None
    assert (result.status.best.number == 0) == (result.status.confirmed is not None)
    assert run().status.confirmed is not None


def test_best_exports_the_winners_best_run_that_gives_its_stored_value_again() -> None:
    result = run()
    confirmed = result.status.confirmed
    assert confirmed is not None
    export = best()
    stored = [value for (trial, _), value in values().items() if trial == confirmed.winner.trial and value is not None]
    assert export.bundle.trial == confirmed.winner.trial
    assert export.bundle.value == export.reevaluated == min([*stored, confirmed.winner.search_value])
    shown = export.to_json()
    assert shown["confirmed"] == json.loads(json.dumps(confirmed.to_json()))
    assert shown["confirmed"]["mean"] == pytest.approx(sum(stored) / 2)
    assert (shown["confirmed"]["seeds"], shown["confirmed"]["n"]) == (2, 2)
    fresh = values().get((confirmed.winner.trial, shown["confirm_run"] or 0), confirmed.winner.search_value)
    assert fresh == export.bundle.value
    assert "expect the former" in (export.path / "README.md").read_text()
    own = best(trial=confirmed.winner.trial)
    assert (own.bundle.value, own.bundle.confirmed) == (confirmed.winner.search_value, None)
    with sqlite3.connect("studies.db") as connection:  # the weights of the search's own run may not be kept
        connection.execute("DELETE FROM tuner_checkpoints WHERE uid = (SELECT uid FROM tuner_studies)")
    assert best().bundle.value == min(stored)


def test_the_reports_say_what_to_expect_and_who_is_as_good() -> None:
    run()
    runner = CliRunner()
    shown = runner.invoke(status_command.command, [], catch_exceptions=False).output
    assert "expect val/loss" in shown
    assert "mean and standard deviation over 2 fresh seeds" in shown
    as_json = json.loads(runner.invoke(status_command.command, ["--json"], catch_exceptions=False).output)
    assert as_json["confirmed"]["trial"] == standing().confirmed.winner.trial  # type: ignore[union-attr]
    exported = runner.invoke(best_command.command, [], catch_exceptions=False).output
    assert "expect val/loss" in exported
    winner = str(as_json["confirmed"]["trial"])
    log = runner.invoke(logs_command.command, [winner, "--run", "2"], catch_exceptions=False).output
    assert "epoch 3: train/loss" in log
    curve = runner.invoke(show_command.command, [winner, "--run", "2", "--json"], catch_exceptions=False).output
    assert json.loads(curve)["seed"] == derive(3, "confirm", int(winner), 2)
    again = runner.invoke(confirm_command.command, ["--json"], catch_exceptions=False, standalone_mode=False)
    assert again.return_value == 0
    assert json.loads(again.output.splitlines()[-1])["confirmed"]["trial"] == int(winner)


def test_progress_names_the_trial_and_its_fresh_seed() -> None:
    recorder = Recorder()
    run(recorder=recorder)
    (started,) = (item for item in recorder.shown if isinstance(item, ConfirmStarted))
    assert (started.n_runs, started.n_finished, started.seeds) == (4, 0, 2)
    over = [item for item in recorder.shown if isinstance(item, ConfirmStep) and isinstance(item.step, TrialFinished)]
    assert {(item.step.trial, item.repeat) for item in over} == set(values())


def test_a_config_that_fails_on_fresh_seeds_loses_to_one_that_does_not() -> None:
    Path("fragile.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, input_shape, n_outputs, fragile=0):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(*input_shape, n_outputs)\n"
        "        lucky = torch.initial_seed() in LUCKY\n"
        "        self.breaks = bool(fragile) and not lucky\n"
        "    def forward(self, x):\n"
        "        return self.layer(x) * (float('nan') if self.breaks and self.training else 1.0)\n"
    )
    space = SPACE.replace("model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}", MODEL)
    space = space.replace("  model.width: {low: 4, high: 6}\n", "  model.options.fragile: [0, 1]\n")
    space = space.replace("  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}\n", "")
    space = space.replace("sampler: random", "sampler: grid").replace("trials: 4, ", "")
    Path("small.yaml").write_text(space)
    spec = load(Path("small.yaml"))
    lucky = {derive(derive(spec.seed, "trial", trial), "init") for trial in (0, 1)}
    text = Path("fragile.py").read_text()
    Path("fragile.py").write_text(f"LUCKY = {lucky}\n{text}")
    result = run()
    confirmed = result.status.confirmed
    assert confirmed is not None
    assert confirmed.candidates[-1].mean is None
    assert confirmed.winner.mean is not None
    reader = StudyReader.open(STORAGE)
    failed = [item for item in standing().runs if item.trial == confirmed.candidates[-1].trial]
    assert {item.reason for item in failed} == {"diverged"}
    assert reader.trial(result.status.study, confirmed.winner.trial).row.params["model.options.fragile"] == 0


MODEL = 'model: {kind: python, target: "fragile.py:Net", options: {fragile: 0}}'
