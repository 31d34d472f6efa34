"""Forecasts of small searches: what they say, what they leave behind, and what the search makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tuner.cli.main import cli
from tuner.cli.plan import text_of
from tuner.cli.reporters import summary
from tuner.config.schema import TrialConfig
from tuner.errors import ChangedError
from tuner.execution.inline import InlineExecutor
from tuner.execution.memory import OwnMemory, Waiting
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import PrepareRequest, Probed, ProbeRequest
from tuner.training.job import TrainJob
from tuner.workflows.forecast import Forecast
from tuner.workflows.plan import PlanRequest, plan
from tuner.workflows.search import SearchRequest, search
from tuner.workflows.status import status_of

STORAGE = "sqlite:///studies.db"
SPACE = """
study: small
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 3}
space:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 4, high: 16}
search: {trials: 6, workers: 1, sampler: random, pruner: none}
confirm: off
"""
MODEL = """
import os, signal
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs, how="well"):
        super().__init__()
        self.head = nn.Linear(*input_shape, n_outputs)
        if how == "fails":
            raise ValueError("no such size")
        if how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
    def forward(self, x):
        return self.head(x)
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tuner.workflows.plan.PROBE_S", 0.02)
    monkeypatch.setattr("tuner.workflows.plan.PLAY_S", 0.2)
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


def planned(*sets: str, space: str = "small.yaml") -> Forecast:
    return plan(PlanRequest(space=space, sets=sets), InlineExecutor())


def test_a_forecast_gives_ranges_of_time_epochs_and_memory() -> None:
    found = planned()
    assert (found.study, found.workers, found.devices, found.n_finished) == ("small", 1, ("cpu",), 0)
    assert 0.0 < found.seconds.low < found.seconds.high
    assert (found.trials.to_json(), found.epochs.to_json(), found.full_epochs) == ([6.0, 6.0], [18.0, 18.0], 18.0)
    assert found.n_params.to_json() == [4 * 4 + 4 + 4 * 3 + 3, 4 * 16 + 16 + 16 * 3 + 3]
    assert found.memory_bytes is not None
    assert found.total_bytes is not None
    assert 0 < found.memory_bytes.low <= found.memory_bytes.high < found.total_bytes.high
    assert (found.infeasible.low, found.problems) == (0.0, ())
    assert json.loads(json.dumps(found.to_json()))["seconds"] == found.seconds.to_json()


def test_a_forecast_leaves_the_decoded_data_and_itself_and_no_study() -> None:
    planned()
    assert not Path("studies.db").exists()
    assert sorted(path.name for path in Path("runs/small").iterdir()) == ["data", "plan.json"]


def test_pruning_saves_epochs_and_confirming_costs_some() -> None:
    found = planned("search.pruner=median", "search.trials=30", "train.epochs=10")
    assert found.epochs.high <= found.full_epochs == 300
    assert found.epochs.low < 250
    found = planned("confirm={top: 2, seeds: 3}")
    assert found.epochs.to_json() == [18.0 + 2 * 3 * 3] * 2
    assert found.confirm_s is not None
    assert found.seconds.high > found.confirm_s.high > 0.0


def test_a_timeout_bounds_the_time_and_leaves_the_trials_open() -> None:
    found = planned("search.trials=null", "search.timeout=0.5")
    assert found.seconds.to_json() == pytest.approx([0.5, 0.5])
    assert 1.0 < found.trials.low < found.trials.high


def test_a_grid_without_a_budget_is_planned_as_a_whole() -> None:
    found = planned("search.sampler={kind: grid, points: 2}", "search.trials=null")
    assert found.trials.to_json() == [4.0, 4.0]


def test_points_that_cannot_be_trained_are_named() -> None:
    Path("mine.py").write_text(MODEL)
    found = planned(
        "model={kind: python, target: 'mine.py:Net', options: {how: well}}",
        "space={model.options.how: [well, fails]}",
        "train.batches_per_epoch=1",
    )
    assert 0.2 < found.infeasible.low < 0.5 < found.infeasible.high < 0.8
    assert found.problems[0].params == {"model.options.how": "fails"}
    assert found.problems[0].problem.startswith("ValueError: no such size, in ")
    assert "cannot be trained: model.options.how=fails" in text_of(found)


def test_points_that_break_a_constraint_on_weights_are_infeasible() -> None:
    found = planned('constraints=["params <= 60"]')  # a width of 4 has 35, one of 16 has 131
    assert 0.2 < found.infeasible.high < 1.0
    assert found.infeasible.low > 0.1
    assert found.problems[0].problem.startswith("constraint 'params <= 60' is not met: params is ")
    assert found.n_params.high <= 60


def test_a_search_that_stops_by_itself_is_planned_so() -> None:
    whole = planned("search.trials=150")
    assert whole.trials.to_json() == [150.0, 150.0]
    found = planned("search.trials=150", "search.stop=auto")
    assert 30.0 <= found.trials.low < 150.0
    assert found.epochs.low < whole.epochs.low


def test_several_objectives_are_planned_with_all_of_their_metrics() -> None:
    objectives = "objective=[{metric: accuracy}, {metric: f1_macro}]"
    found = planned(objectives, "search.pruner=median", "search.trials=30", "train.epochs=10")
    assert found.epochs.low < found.epochs.high == 300.0  # by ranks of two objectives perhaps none is stopped
    assert found.confirm_s is None


def test_the_search_that_follows_says_what_was_planned_and_what_it_took() -> None:
    found = planned()
    result = search(SearchRequest(space="small.yaml"), executor=InlineExecutor())
    assert status_of(STORAGE, "small").planned_seconds == (found.seconds.low, found.seconds.high)
    assert result.status.to_json()["planned"]["epochs"] == [18.0, 18.0]
    (line,) = [line for line in summary(result).splitlines() if line.startswith("planned ")]
    assert ", took " in line
    shown = CliRunner().invoke(cli, ["status"], standalone_mode=False)
    assert "planned: " in shown.stdout


def test_a_plan_for_other_settings_is_not_that_of_the_search() -> None:
    planned("search.trials=2")
    result = search(SearchRequest(space="small.yaml"), executor=InlineExecutor())
    assert "planned" not in result.status.to_json()
    assert "planned" not in summary(result)


def test_a_study_that_has_begun_is_planned_for_its_rest_and_keeps_its_first_plan() -> None:
    first = planned("search.trials=6")
    search(SearchRequest(space="small.yaml", sets=["search.trials=6"]), executor=InlineExecutor())
    rest = planned("search.trials=8")
    assert (rest.n_finished, rest.trials.to_json(), rest.epochs.to_json()) == (6, [2.0, 2.0], [6.0, 6.0])
    assert "6 trials are done, this is about the rest" in text_of(rest)
    assert status_of(STORAGE, "small").planned_seconds == (first.seconds.low, first.seconds.high)
    with pytest.raises(ChangedError, match=r"train\.epochs: 3 -> 4"):
        planned("train.epochs=4")


def test_a_file_without_a_space_is_planned_as_one_run() -> None:
    Path("one.yaml").write_text(SPACE.partition("space:")[0])
    found = planned(space="one.yaml")
    assert (found.trials.to_json(), found.epochs.to_json()) == ([1.0, 1.0], [3.0, 3.0])


def test_the_command_prints_a_table_or_json() -> None:
    text = text_of(planned("search.trials=5"))
    lines = text.splitlines()
    assert lines[0].startswith("plan for small: 1 worker on cpu, 1 thread each")
    assert [line.split("  ")[0] for line in lines[2:6]] == ["", "wall time", "trials", "epochs"]
    shown = CliRunner().invoke(cli, ["plan", "--space", "small.yaml", "--trials", "5", "--json"], standalone_mode=False)
    assert json.loads(shown.stdout)["trials"] == [5.0, 5.0]


# ------------------------------------------------------------------------------------------------------------- workers


def requests(folder: Path, hows: Sequence[str]) -> tuple[PrepareRequest, list[ProbeRequest]]:
    Path("mine.py").write_text(MODEL)
    configs = [
        TrialConfig.model_validate(
            {
                "objective": {"metric": "loss", "direction": "minimize"},
                "data": {"kind": "iris"},
                "model": {"kind": "python", "target": "mine.py:Net", "options": {"how": how}},
                "loss": {"kind": "auto"},
                "optimizer": {"kind": "sgd"},
                "schedule": {"kind": "constant"},
                "train": {"epochs": 2},
            }
        )
        for how in ["well", *hows]
    ]
    prepare = PrepareRequest(
        config=configs[0], metric="loss", seed=0, base_dir=Path.cwd(), data_dir=folder / "data", threads=1
    )
    jobs = [
        TrainJob(
            trial=number,
            attempt=0,
            seed=0,
            config=config,
            metric="val/loss",
            maximize=False,
            checkpoints=(),
            folder=folder / str(number),
            base_dir=Path.cwd(),
            threads=1,
            device="cpu",
        )
        for number, config in enumerate(configs[1:])
    ]
    return prepare, [ProbeRequest(job=job, budget_s=0.01) for job in jobs]


def test_probes_run_in_all_workers_and_survive_one_that_dies() -> None:
    prepare, probes = requests(Path.cwd() / "probes", ["well", "dies", "well", "fails", "well"])
    executor = ProcessExecutor()
    try:
        executor.prepare(prepare)
        executor.grow(2)
        answers = executor.probe(probes, 60.0)
        none = executor.probe(probes, 0.0)
    finally:
        executor.close()
    problems = [answer.problem if isinstance(answer, Probed) else None for answer in answers]
    assert problems[0] == problems[2] == problems[4] == ""
    assert str(problems[1]).startswith("the worker process was killed by SIGKILL")
    assert str(problems[3]).startswith("ValueError: no such size")
    assert none == [None] * 5
    first = answers[0]
    assert first is not None
    assert first.n_params == 4 * 3 + 3
    assert len(first.curve) >= 1


TAKES_MEMORY = """
import json
from tuner.execution.memory import OwnMemory
memory = OwnMemory()
before = memory.peak_bytes()
block = bytearray(b"x") * 50_000_000
del block
print(json.dumps([before, memory.peak_bytes()]))
"""


def test_own_memory_counts_what_a_process_takes_and_gives_back() -> None:
    # In a process of its own: one that has freed memory before takes that again, and does not grow.
    done = subprocess.run([sys.executable, "-c", TAKES_MEMORY], check=True, capture_output=True, text=True)
    before, after = json.loads(done.stdout)
    if before is None or after is None:
        pytest.skip("the system does not say")
    assert 40e6 < after - before < 80e6
    assert OwnMemory(Path("/nonexistent")).peak_bytes() is None
    assert Waiting(Path("/nonexistent")).share() == 0.0
    assert 0.0 <= Waiting().share() <= 1.0
