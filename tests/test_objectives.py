"""Searches for several objectives and under constraints: real data, real SQLite, Optuna's own reading of it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import statistics
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from click.testing import CliRunner

import tuner
from tuner.cli.main import cli as commands
from tuner.cli.reporters import JsonReporter
from tuner.config.spec import load
from tuner.control import pareto
from tuner.errors import ChangedError, ConfigError, NoTrialError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.study.queries import StudyReader
from tuner.study.rows import TrialRow
from tuner.workflows.best import best, best_front
from tuner.workflows.confirm import confirm
from tuner.workflows.progress import Progress, TrialFinished
from tuner.workflows.reproduce import reproduce
from tuner.workflows.result import SearchResult
from tuner.workflows.search import SearchRequest, search
from tuner.workflows.status import detail_of

STORAGE = "sqlite:///studies.db"
SPACE = """
study: two
seed: 1
objective: [{metric: accuracy}, {metric: params}]
data: {kind: digits, batch_size: 64}
model: {kind: mlp, depth: 1, width: 16}
train: {epochs: 4}
space:
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  model.width: {low: 4, high: 256, log: true}
search: {trials: 18, workers: 1, pruner: median}
"""


class Recorder:
    def __init__(self) -> None:
        self.shown: list[Progress] = []

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("two.yaml").write_text(SPACE)


def run(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="two.yaml", sets=sets), recorder or Recorder(), InlineExecutor())


def rows() -> list[TrialRow]:
    reader = StudyReader.open(STORAGE)
    return reader.trials(reader.study(None))


def comparable() -> list[dict[str, Any]]:
    return [{name: value for name, value in row.to_json().items() if name != "seconds"} for row in rows()]


def in_optuna() -> optuna.Study:
    return optuna.load_study(study_name="two", storage=STORAGE)


def cli(*args: str) -> Any:
    result = CliRunner().invoke(commands, args)
    assert result.exit_code == 0, result.output
    return result.stdout


CHILD = """
import os
import torch
from tuner import faults
from tuner.execution.inline import InlineExecutor
from tuner.workflows.search import SearchRequest, search
os.chdir({folder!r})
torch.set_num_threads(1)
faults.arm({fault!r})
search(SearchRequest(space="two.yaml"), None, InlineExecutor())
"""


def in_child(fault: str) -> int | None:
    """Search in another process with a fault armed; its exit code, -N when signal N killed it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuner.execution.preload", "tuner.workflows.session"])
    child = context.Process(target=exec, args=(CHILD.format(folder=str(Path.cwd()), fault=fault),))
    child.start()
    child.join()
    return child.exitcode


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the search of SPACE, never interrupted."""
    folder = tmp_path_factory.mktemp("searched")
    with contextlib.chdir(folder):
        Path("two.yaml").write_text(SPACE)
        torch.set_num_threads(1)
        run()
    return folder


@pytest.fixture
def _in_searched(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(searched)


@pytest.mark.usefixtures("_in_searched")
def test_optuna_reads_the_same_front_and_values() -> None:
    study, own = in_optuna(), rows()
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val/accuracy", "params"]
    assert {trial.number for trial in study.best_trials} == {row.number for row in own if row.is_on_front}
    for trial, row in zip(study.trials, own, strict=True):
        assert trial.state.name.lower() == row.state.value
        assert trial.params == dict(row.params)
        assert trial.values == (list(row.values.values()) if row.values else None)
        assert trial.intermediate_values == {}


@pytest.mark.usefixtures("_in_searched")
def test_optunas_samplers_can_go_on_with_the_study() -> None:
    study = in_optuna()
    for sampler in (optuna.samplers.TPESampler(seed=0), optuna.samplers.NSGAIISampler(seed=0)):
        copy = optuna.create_study(directions=study.directions, sampler=sampler)
        copy.add_trials(study.trials)
        asked = copy.ask(dict(study.trials[0].distributions.items()))
        assert set(asked.params) == {"optimizer.lr", "model.width"}


def test_one_of_optunas_samplers_searches_several_objectives_without_a_pruner() -> None:
    run("search.sampler=random", "search.pruner=none", "search.trials=3", "train.epochs=2")
    assert [row.state.value for row in rows()] == ["complete"] * 3


@pytest.mark.usefixtures("_in_searched")
def test_pruned_trials_stop_early_and_small_models_do_not_suffer() -> None:
    pruned = [row for row in rows() if row.state.value == "pruned"]
    assert pruned
    assert all(0 < row.epochs < 4 for row in pruned)
    assert {row.reason for row in pruned} == {"pruned"}
    complete = [row for row in rows() if row.state.value == "complete"]
    assert all(row.epochs == 4 for row in complete)
    assert min(row.params["model.width"] for row in complete) < 8


@pytest.mark.usefixtures("_in_searched")
def test_curves_hold_every_objective_and_the_values_are_those_of_the_best_epoch() -> None:
    front = next(row for row in rows() if row.is_on_front)
    detail = detail_of(STORAGE, None, front.number)
    curve = [(epoch.metrics["val/accuracy"], epoch.metrics["params"]) for epoch in detail.curve]
    assert front.values is not None
    assert curve[front.best_epoch - 1] == tuple(front.values.values())
    assert front.value == max(accuracy for accuracy, _ in curve if accuracy is not None)
    width = detail.config["model"]["width"]
    assert front.values["params"] == 64 * width + width + 10 * width + 10


@pytest.mark.usefixtures("_in_searched")
def test_the_commands_show_values_and_front() -> None:
    trials = json.loads(cli("trials", "--json"))
    assert list(trials[0]) == ["number", "state", "values", "front", "params", "epochs", "seconds", "reason"]
    front = [trial for trial in trials if trial["front"]]
    status = json.loads(cli("status", "--json"))
    assert status["objectives"] == [
        {"metric": "val/accuracy", "direction": "maximize"},
        {"metric": "params", "direction": "minimize"},
    ]
    assert [(item["trial"], item["values"]) for item in status["front"]] == [
        (trial["number"], trial["values"]) for trial in front
    ]
    assert status["best"]["trial"] in {trial["number"] for trial in front}
    table = cli("trials").splitlines()
    assert table[0].split()[:5] == ["trial", "state", "val/accuracy", "params", "front"]
    assert sum(" *  " in line for line in table) == len(front)
    assert f"front: {len(front)} trials" in cli("status")
    shown = json.loads(cli("show", str(front[0]["number"]), "--json"))
    assert shown["values"] == front[0]["values"]
    assert shown["curve"][0]["params"] == front[0]["values"]["params"]
    assert "on the front" in cli("show", str(front[0]["number"]))
    assert "val/accuracy, params" in cli("studies")


@pytest.mark.usefixtures("_in_searched")
@pytest.mark.slow
def test_the_knee_is_exported_and_loads_and_weights_pick_another() -> None:
    knee = best()
    assert knee.picked.startswith("the knee of ")
    assert knee.bundle.trial == json.loads(cli("status", "--json"))["best"]["trial"]
    assert knee.bundle.objectives.keys() == {"val/accuracy", "params"}
    assert knee.to_json()["values"] == dict(knee.bundle.objectives)
    assert knee.reevaluated == knee.bundle.objectives["val/accuracy"]
    model = tuner.load(knee.path)
    assert sum(param.numel() for param in model.module.parameters()) == knee.bundle.objectives["params"]
    best_one = best(rule="accuracy=1")
    front = [row for row in rows() if row.is_on_front]
    assert best_one.bundle.trial == max(front, key=lambda row: row.value or 0.0).number
    assert best_one.picked == f"the best of {len(front)} trials on the front by weights: val/accuracy 1"
    for export in best_front(out=Path("front")):
        assert export.path.name == f"two-{export.bundle.trial}"
    assert len(list(Path("front").iterdir())) == len(front)
    smallest = best(trial=min(front, key=lambda row: (row.values or {})["params"]).number)
    assert smallest.picked == "named by --trial"


@pytest.mark.usefixtures("_in_searched")
def test_weights_of_the_whole_front_are_kept() -> None:
    for row in rows():
        kept = detail_of(STORAGE, None, row.number).checkpoints
        assert bool(kept) >= bool(row.is_on_front)


@pytest.mark.usefixtures("_in_searched")
@pytest.mark.parametrize(
    ("rule", "message"),
    (
        ("best", r"--pick: expected knee, front, or weights such as accuracy=0\.5,params=0\.5; got 'best'"),
        ("acuracy=1", r"--pick: 'acuracy' is not an objective of study 'two'; did you mean 'accuracy'\?"),
        ("accuracy=much", "--pick: the weight of accuracy must be a number of 0 or more, got 'much'"),
        ("accuracy=-1", "--pick: the weight of accuracy must be a number of 0 or more, got '-1'"),
        ("accuracy=1,accuracy=2", "--pick: accuracy is there twice"),
        ("accuracy=0", "--pick: at least one weight must be above 0"),
    ),
)
def test_a_wrong_pick_is_explained(rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        best(rule=rule)
    with pytest.raises(UsageError, match="--pick and --trial"):
        best(rule=rule, trial=1)


def test_a_pick_needs_several_objectives() -> None:
    run("objective={metric: accuracy}", "search.trials=1", "train.epochs=1")
    with pytest.raises(UsageError, match="study 'two' has one objective, accuracy; leave --pick out"):
        best(rule="knee")


@pytest.mark.parametrize(
    "point",
    ("epoch_recorded", "before_tell", *(pytest.param(p, marks=pytest.mark.slow) for p in ("after_ask", "told"))),
)
def test_a_search_that_died_goes_on_as_if_it_had_not(point: str, searched: Path) -> None:
    assert in_child(f"{point}:kill@9") == -signal.SIGKILL
    run()
    resumed = comparable()
    with contextlib.chdir(searched):
        assert resumed == comparable()


@pytest.mark.parametrize(
    "sampler", ("tpe", "nsga2", *(pytest.param(s, marks=pytest.mark.slow) for s in ("random", "nsga3", "qmc", "gp")))
)
def test_every_sampler_that_knows_several_objectives_searches(sampler: str) -> None:
    startup = {"tpe": "n_startup_trials: 3", "gp": "n_startup_trials: 3"}
    population = {"nsga2": "population_size: 3", "nsga3": "population_size: 3"}
    options = {**startup, **population}.get(sampler)
    kind = f"search.sampler={{kind: {sampler}{', ' + options if options else ''}}}"
    settings = (kind, "train.epochs=1", 'constraints=["params <= 9000"]')
    run(*settings, "search.trials=5")
    run(*settings, "search.trials=7")
    study = in_optuna()
    assert len(study.trials) == 7
    assert {trial.number for trial in study.best_trials} == {row.number for row in rows() if row.is_on_front}


ASHA = "search.pruner={kind: asha, eta: 2, mode: MODE}"


@pytest.mark.parametrize("mode", ("promote", "stop"))
def test_rungs_let_non_dominated_trials_go_on(mode: str) -> None:
    run(ASHA.replace("MODE", mode), "search.trials=12")
    ended = [row for row in rows() if row.state.value == "pruned"]
    assert ended
    assert {row.epochs for row in ended} <= {1, 2}  # the rungs below 4 epochs
    assert {trial.number for trial in in_optuna().best_trials} == {row.number for row in rows() if row.is_on_front}
    details = [detail_of(STORAGE, None, row.number) for row in rows()]
    first = [
        (-(detail.curve[0].metrics["val/accuracy"] or 0.0), detail.curve[0].metrics["params"] or 0.0)
        for detail in details
    ]
    rank = pareto.ranks(first)
    went_on = [rank[detail.row.number] for detail in details if detail.row.epochs > 1]
    stayed = [rank[detail.row.number] for detail in details if detail.row.epochs == 1]
    assert statistics.mean(went_on) < statistics.mean(stayed)
    assert any("rungs at epoch 1 (12), 2 (" in line for line in cli("status").splitlines())


LIMITED = "objective: {metric: accuracy}\nconstraints: [params <= 2000, accuracy <= 0.9]\nconfirm: off"


@pytest.mark.parametrize("objective", ("objective: [{metric: accuracy}, {metric: params}]", LIMITED))
def test_a_search_that_died_between_rungs_goes_on_as_if_it_had_not(objective: str) -> None:
    text = SPACE.replace("pruner: median", "pruner: {kind: asha, eta: 2}")
    text = text.replace("objective: [{metric: accuracy}, {metric: params}]", objective)
    Path("two.yaml").write_text(text)
    assert in_child("epoch_recorded:kill@7") == -signal.SIGKILL
    run()
    resumed = comparable()
    Path("elsewhere").mkdir()
    with contextlib.chdir("elsewhere"):
        Path("two.yaml").write_text(text)
        run()
        assert resumed == comparable()


@pytest.mark.parametrize(
    ("sets", "message"),
    (
        (
            ["search.sampler=cmaes"],
            "search.sampler: cmaes optimises one objective; for several use auto, tpe, ",
        ),
        (
            ["search.pruner=hyperband"],
            "search.pruner: hyperband ranks trials by one objective; for several ",
        ),
        (["objective=[{metric: params}]"], "objective: params alone cannot tell a trained model from an untrained one"),
        (
            ["objective=[]"],
            "objective: expected 1 to 6 objectives, such as [{metric: accuracy}, ",
        ),
        (
            ["objective=[{metric: accuracy}, {metric: latency}]"],
            "objective.1.metric: unknown metric 'latency'; did you mean 'latency_ms'?",
        ),
        (
            ["objective=[{metric: accuracy}, {metric: r2}]"],
            "objective.1.metric: r2 is for regression and autoencoding, but digits",
        ),
    ),
)
def test_what_does_not_go_with_several_objectives_is_said_before_anything_runs(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(*sets)
    assert message in str(caught.value)
    assert not Path("studies.db").exists()


def test_metrics_for_another_task_than_the_datas_are_refused() -> None:
    Path("labels.csv").write_text("a,b\n" + "\n".join(f"{i},{'xy'[i % 2]}" for i in range(40)))
    with pytest.raises(ConfigError, match="r2 is not a metric of classification, which the data is for"):
        run("data={kind: csv, path: labels.csv, target: b}", 'constraints=["r2 >= 0.5"]')


def test_objectives_and_constraints_are_fixed_for_a_study() -> None:
    run("search.trials=1", "train.epochs=1")
    with pytest.raises(ChangedError, match=r"objective\.1\.metric: 'params' -> 'latency_ms'"):
        run("search.trials=1", "train.epochs=1", "objective=[{metric: accuracy}, {metric: latency_ms}]")
    with pytest.raises(ChangedError, match="constraint params <= 3: added"):
        run("search.trials=1", "train.epochs=1", 'constraints=["params <= 3"]')


ONE = ("objective={metric: accuracy}", "train.epochs=3")


def test_constraints_on_params_and_on_the_size_refuse_before_the_first_epoch() -> None:
    recorder = Recorder()
    run(*ONE, 'constraints=["params <= 2000", "model.width * optimizer.lr <= 0.5"]', recorder=recorder)
    details = [detail_of(STORAGE, None, row.number) for row in rows()]
    of_model = [
        item for item in details if item.message.startswith("constraint 'params <= 2000' is not met: params is ")
    ]
    dotted = [
        item for item in details if "'model.width * optimizer.lr <= 0.5' is not met: model.width is " in item.message
    ]
    assert of_model
    assert dotted
    assert {(item.row.state.value, item.row.reason, item.row.epochs) for item in [*of_model, *dotted]} == {
        ("pruned", "infeasible", 0)
    }
    assert all(len(item.attempts) == 1 for item in of_model)  # a worker had to build it
    assert all(not item.attempts for item in dotted)
    for item in details:
        width, rate = (float(str(item.row.params[name])) for name in ("model.width", "optimizer.lr"))
        is_broken = 75 * width + 10 > 2000 or width * rate > 0.5
        assert (item.row.reason == "infeasible") is is_broken
    shown = [item for item in recorder.shown if isinstance(item, TrialFinished) and item.reason == "infeasible"]
    assert len(shown) == len(of_model) + len(dotted)


def test_the_sampler_learns_from_what_is_infeasible() -> None:
    run(*ONE, 'constraints=["params <= 2000"]', "search.trials=30", "train.epochs=1")
    refused = [row.number for row in rows() if row.reason == "infeasible"]
    assert sum(number >= 20 for number in refused) <= 3  # of 10, of which chance refuses 5 or 6


def test_a_constraint_on_a_metric_is_judged_at_the_end_and_its_trial_is_never_the_best() -> None:
    result = run(*ONE, 'constraints=["val/accuracy <= 0.9"]', "search.pruner=none", "search.trials=10")
    broken = [row for row in rows() if row.reason == "infeasible"]
    assert broken
    assert all(row.state.value == "complete" and (row.value or 0.0) > 0.9 for row in broken)
    able = [row for row in rows() if row.state.value == "complete" and row not in broken]
    assert result.status.best is not None
    assert result.status.best.value == max(row.value or 0.0 for row in able)
    assert result.status.best.value <= 0.9
    study = in_optuna()
    assert study.best_trial.number == result.status.best.number
    for row in rows():
        (excess,) = study.trials[row.number].constraints.values()
        assert excess == (row.value or 0.0) - 0.9
    assert detail_of(STORAGE, None, broken[0].number).checkpoints == ()


def test_without_a_feasible_trial_there_is_no_best_one() -> None:
    Path("two.yaml").write_text(SPACE.replace("trials: 18", "trials: 2"))
    with pytest.raises(NoTrialError, match="no complete trial of study 'two' meets its constraints"):
        tuner.search(
            "two.yaml", set={"objective": {"metric": "accuracy"}, "constraints": ["accuracy >= 1.5"], "train.epochs": 1}
        )
    with pytest.raises(NoTrialError, match="no complete trial of study 'two' meets its constraints"):
        best()


def test_a_front_has_no_infeasible_trials() -> None:
    run('constraints=["val/accuracy <= 0.9"]', "search.trials=12", "train.epochs=2")
    assert any(row.reason == "infeasible" for row in rows())
    front = {row.number for row in rows() if row.is_on_front}
    assert front == {trial.number for trial in in_optuna().best_trials}
    assert all((row.value or 0.0) <= 0.9 for row in rows() if row.number in front)


def test_measured_costs_are_recorded_and_kept_over_a_pause() -> None:
    goals = "objective=[{metric: accuracy}, {metric: latency_ms}, {metric: epoch_seconds}]"
    run(goals, "search.trials=3", "train.epochs=3")
    for row in rows():
        detail = detail_of(STORAGE, None, row.number)
        latencies = {epoch.metrics["latency_ms"] for epoch in detail.curve}
        assert len(latencies) == 1  # timed once a trial
        assert all((epoch.metrics["epoch_seconds"] or 0.0) > 0.0 for epoch in detail.curve)
        assert row.values is not None
        assert list(row.values) == ["val/accuracy", "latency_ms", "epoch_seconds"]


def test_a_trial_whose_epochs_take_too_long_is_stopped() -> None:
    run(*ONE, 'constraints=["epoch_seconds <= 1e-6"]', "search.trials=2")
    assert [(row.state.value, row.reason, row.epochs) for row in rows()] == [("pruned", "infeasible", 2)] * 2
    message = detail_of(STORAGE, None, 0).message
    assert message.startswith("constraint 'epoch_seconds <= 1e-6' is not met: epoch_seconds is ")


def test_one_objective_in_a_list_is_one_objective() -> None:
    spec = load(Path("two.yaml"), sets=["objective=[{metric: accuracy}]"])
    assert not spec.goals.are_several
    assert spec.differences(load(Path("two.yaml"), sets=["objective={metric: accuracy}"])) == []
    run("objective=[{metric: accuracy}]", "search.trials=1", "train.epochs=1")
    (trial,) = json.loads(cli("trials", "--json"))
    assert list(trial) == ["number", "state", "value", "params", "epochs", "seconds", "reason"]


def test_check_says_what_the_constraints_leave_of_the_space() -> None:
    sets = ["--set", 'constraints=["model.width <= 32", "params <= 2000"]']
    shown = cli("check", "--no-data", "--space", "two.yaml", *sets)
    assert "val/accuracy, params" in shown
    assert "of 300 random trials break one by params; judged by the search: params <= 2000" in shown
    checked = json.loads(cli("check", "--no-data", "--space", "two.yaml", *sets, "--json"))
    assert checked["infeasible_share"] == pytest.approx(0.5, abs=0.1)  # 32 is the middle of 4 to 256, in the logarithm
    assert "constraints" not in json.loads(cli("check", "--no-data", "--space", "two.yaml", "--json"))


def test_events_of_a_search_name_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = JsonReporter()
    reporter.done(search(SearchRequest(space="two.yaml", sets=["search.trials=1"]), reporter, InlineExecutor()))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    started, finished = lines[0], next(line for line in lines if line.get("state") == "complete")
    assert started["objectives"] == ["val/accuracy", "params"]
    assert list(finished["values"]) == ["val/accuracy", "params"]
    assert finished["n_front"] == 1
    assert lines[-1]["front"][0]["trial"] == 0


def test_nothing_confirms_a_front_and_a_winner_under_constraints_meets_them() -> None:
    spec = load(Path("two.yaml"))
    assert spec.confirm is None
    with pytest.raises(ConfigError, match="confirm: chooses by the mean of one objective; with several leave it out"):
        load(Path("two.yaml"), sets=["confirm={top: 2, seeds: 1}"])
    run("search.trials=1", "train.epochs=1")
    with pytest.raises(
        UsageError, match="study 'two' has several objectives, and confirming chooses by the mean of one"
    ):
        confirm()
    sets = (*ONE, 'constraints=["val/accuracy <= 0.9"]', "search.trials=6", "confirm={top: 2, seeds: 1}", "study=one")
    result = run(*sets)
    broken = {
        row.number for row in StudyReader.open(STORAGE).trials(StudyReader.open(STORAGE).study("one")) if row.reason
    }
    assert broken
    assert result.status.confirmed is not None
    assert {item.trial for item in result.status.confirmed.candidates}.isdisjoint(broken)


def test_a_trial_of_several_objectives_is_reproduced_but_for_what_was_timed() -> None:
    run("objective=[{metric: accuracy}, {metric: params}, {metric: latency_ms}]", "search.trials=1")
    again = reproduce(0, executor=InlineExecutor())
    assert again.is_identical
    assert {number.metric for number in again.numbers} >= {"val/accuracy", "params"}
    assert "latency_ms" not in {number.metric for number in again.numbers}


OWN = """
def run(config, state):
    for epoch in range(3):
        yield {"score": config["x"] * (epoch + 1), "price": config["x"] ** 2}, {"epoch": epoch}
"""
OWN_SPACE = """
study: own
objective: [{metric: score, direction: maximize}, {metric: price, direction: minimize}]
constraints: ["train.options.x <= 9", "price >= 1"]
train: {kind: python, target: "own.py:run", epochs: 3, options: {x: 1.0}}
space:
  train.options.x: {low: 0.0, high: 10.0}
search: {trials: 14, workers: 1, pruner: none}
"""


def test_own_training_code_can_have_several_objectives() -> None:
    Path("own.py").write_text(OWN)
    Path("own.yaml").write_text(OWN_SPACE)
    search(SearchRequest(space="own.yaml"), Recorder(), InlineExecutor())
    for row in rows():
        x = float(str(row.params["train.options.x"]))
        if x > 9:
            assert (row.state.value, row.reason, row.epochs) == ("pruned", "infeasible", 0)
        elif row.values:
            assert dict(row.values) == {"val/score": 3 * x, "val/price": x**2}
            assert row.is_on_front is (x >= 1)  # a larger x costs more, and scores more
    Path("own.py").write_text(OWN.replace('"price"', '"cost"'))
    sets = ["study=other", "search.trials=1", 'constraints=["price >= 1"]']
    search(SearchRequest(space="own.yaml", sets=sets), Recorder(), InlineExecutor())
    failed = detail_of(STORAGE, "other", 0)
    assert failed.row.state.value == "failed"
    assert "the metrics have no 'price', which the space file wants; they are score, cost" in failed.message


def test_an_objective_of_own_training_code_needs_its_direction() -> None:
    Path("own.yaml").write_text(OWN_SPACE.replace(", direction: minimize", "", 1))
    with pytest.raises(ConfigError) as caught:
        load(Path("own.yaml"))
    assert "which way price is better only your code knows" in str(caught.value)
