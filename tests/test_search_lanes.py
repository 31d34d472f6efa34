"""A search whose workers train several trials of one shape: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuner import faults
from tuner.config.schema import TrialConfig
from tuner.config.spec import load
from tuner.control.controller import TrialState
from tuner.execution.inline import InlineExecutor
from tuner.execution.processes import ProcessExecutor
from tuner.study.queries import StudyReader
from tuner.workflows.best import best
from tuner.workflows.lanes import LanePlan, best_size, n_shapes, rough_shape
from tuner.workflows.placement import Remembered
from tuner.workflows.progress import EpochEnded, Note, Progress, TrialFinished
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
train: {epochs: 4}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.dropout: {low: 0.1, high: 0.5}
  model.width: {low: 4, high: 16}
search: {sampler: random, pruner: median, trials: 12, workers: 1, lanes: 3}
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


def run(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="small.yaml", sets=sets), recorder or Recorder(), InlineExecutor())


def trials() -> list[dict[str, Any]]:
    reader = StudyReader.open(STORAGE)
    return [trial.to_json() for trial in reader.trials(reader.study(None))]


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of the same search, never interrupted."""
    with contextlib.chdir(tmp_path_factory.mktemp("unbroken")):
        Path("small.yaml").write_text(SPACE)
        torch.set_num_threads(1)
        run()
        return without_time(trials())


def by_params(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What became of each configuration that was trained to its end."""
    complete = [row for row in rows if row["state"] == "complete"]
    return {json.dumps(row["params"]): (row["value"], row["epochs"]) for row in complete}


def test_lanes_share_what_fixes_the_shape_and_nothing_else(unbroken: list[dict[str, Any]]) -> None:
    assert len(unbroken) == 12
    assert {row["state"] for row in unbroken} <= {"complete", "pruned"}
    widths = Counter(row["params"]["model.width"] for row in unbroken)
    assert max(widths.values()) >= 3, "a leader and its company"
    assert len({row["params"]["optimizer.lr"] for row in unbroken}) == 12
    assert len({row["params"]["model.dropout"] for row in unbroken}) == 12


def test_every_number_of_a_lane_is_that_of_the_trial_alone(unbroken: list[dict[str, Any]], tmp_path: Path) -> None:
    run()
    reader = StudyReader.open(STORAGE)
    study = reader.study(None)
    configs = [reader.trial(study, number) for number in range(12)]
    assert {detail.attempts[0].picked["lanes"] for detail in configs if "lanes" in detail.attempts[0].picked} >= {"3"}
    complete = [detail for detail in configs if detail.row.state is TrialState.COMPLETE]
    assert len(complete) >= 3
    best_row = max(complete, key=lambda detail: detail.row.value or 0.0).row
    assert best(storage=STORAGE, trial=best_row.number).reevaluated == best_row.value  # evaluated alone


def test_the_same_seed_gives_the_same_trials(unbroken: list[dict[str, Any]]) -> None:
    run()
    assert without_time(trials()) == unbroken


def test_an_interrupt_pauses_all_lanes_and_the_same_command_goes_on(unbroken: list[dict[str, Any]]) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and (progress.trial, progress.epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    recorder = Recorder(interrupt)
    assert run(recorder=recorder).ended is Ended.INTERRUPTED
    paused = [item.trial for item in recorder.shown if isinstance(item, TrialFinished) and item.state.value == "paused"]
    assert len(paused) == 3
    assert run().ended is Ended.BUDGET
    assert_whole()
    assert without_time(trials()) == unbroken


def assert_whole() -> None:
    assert [row["number"] for row in trials()] == list(range(12))
    assert {row["state"] for row in trials()} <= {"complete", "pruned"}
    with contextlib.closing(sqlite3.connect("studies.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM trials WHERE state = 'RUNNING'").fetchone() == (0,)


def _in_child(fault: str) -> int:
    process = multiprocessing.get_context("spawn").Process(target=_search_with, args=(fault, str(Path.cwd())))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _search_with(fault: str, folder: str) -> None:
    os.chdir(folder)
    torch.set_num_threads(1)
    faults.arm(fault)
    run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    (
        "after_ask:kill@2",
        "job_sent:kill@2",
        "checkpoint_written:kill@5",
        "checkpoint_renamed:kill@8",
        "epoch_recorded:kill@3",
        "before_tell:kill@2",
        "told:kill@4",
    ),
)
def test_killed_at_any_point_the_same_command_finishes_the_study(unbroken: list[dict[str, Any]], fault: str) -> None:
    assert _in_child(fault) == -signal.SIGKILL
    run()
    assert_whole()
    # What was trained to its end has the numbers of the unbroken search; what is asked for can depend on the kill.
    mine, theirs = by_params(trials()), by_params(unbroken)
    assert all(theirs[params] == found for params, found in mine.items() if params in theirs)
    assert mine.keys() & theirs.keys()


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_no_lane_with_it() -> None:
    killed: list[int] = []
    executor = ProcessExecutor()

    def kill(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and progress.epoch == 2 and not killed:
            pid = executor._workers[0].process.pid
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    recorder = Recorder(kill)
    result = search(SearchRequest(space="small.yaml"), recorder, executor)
    assert killed
    assert result.ended is Ended.BUDGET
    assert_whole()
    notes = [item.message for item in recorder.shown if isinstance(item, Note) and "trying again" in item.message]
    assert len(notes) == 3, "each lane of the worker"


@pytest.mark.slow
def test_two_workers_train_lanes_and_each_trial_once() -> None:
    sets = ("search.workers=2", "search.lanes=4", "search.trials=30", "search.sampler=auto")
    result = search(SearchRequest(space="small.yaml", sets=sets), Recorder())
    assert sum(result.status.counts.values()) == 30
    assert result.status.counts["complete"] + result.status.counts["pruned"] == 30
    params = [json.dumps(row["params"]) for row in trials()]
    assert len(set(params)) == 30


# ---------------------------------------------------------------------------------------------------------------- plan


def plan(*sets: str, seconds: dict[int, float] | None = None, on_cpu: bool = True) -> LanePlan:
    spec = load(Path("small.yaml"), sets=sets)
    return LanePlan(
        space=spec.space,
        search=spec.search,
        on_cpu=on_cpu,
        measure=lambda _config, _sizes: seconds or {},
        remembered=Remembered(Path("remembered.json")),
        machine="this",
    )


def base(*sets: str) -> TrialConfig:
    return load(Path("small.yaml"), sets=sets).base


AUTO = "search.lanes=auto"


@pytest.mark.parametrize(
    ("seconds", "size"),
    (({1: 1.0, 4: 0.5, 8: 0.4}, 8), ({1: 1.0, 4: 0.4, 8: 0.5}, 4), ({1: 1.0, 4: 0.85}, 1), ({1: 1.0}, 1), ({}, 1)),
)
def test_auto_takes_the_fastest_and_needs_a_clear_gain(*, seconds: dict[int, float], size: int) -> None:
    assert best_size(seconds) == size
    assert plan(AUTO, seconds=seconds).size(base(), n_left=1000, n_workers=2) == size


def test_what_was_measured_is_remembered_for_the_next_search() -> None:
    assert plan(AUTO, seconds={1: 1.0, 4: 0.2}).size(base(), n_left=1000, n_workers=2) == 4
    assert plan(AUTO, seconds={1: 1.0}).size(base(), n_left=1000, n_workers=2) == 4
    assert plan(AUTO, seconds={1: 1.0}).size(base("model.width=64"), n_left=1000, n_workers=2) == 1


def test_one_worker_on_the_cpu_keeps_to_one_order_of_trials_unless_lanes_are_asked_for() -> None:
    seconds = {1: 1.0, 4: 0.2}
    assert plan(AUTO, seconds=seconds).size(base(), n_left=1000, n_workers=1) == 1
    assert plan(AUTO, seconds=seconds, on_cpu=False).size(base(), n_left=1000, n_workers=1) == 4
    assert plan("search.lanes=6").size(base(), n_left=1000, n_workers=1) == 6


def test_the_last_trials_are_spread_over_the_workers() -> None:
    assert plan("search.lanes=8").size(base(), n_left=5, n_workers=2) == 3
    assert plan("search.lanes=8").size(base(), n_left=0, n_workers=2) == 1


def test_a_model_that_is_too_large_has_no_company() -> None:
    planned = plan("search.lanes=8")
    planned.refuses = lambda config: config.model.width == 16  # type: ignore[union-attr]
    measured: list[str] = []
    sizes = [
        planned.size(base(f"model.width={width}"), 1000, 2, lambda: measured.append("settled")) for width in (16, 8)
    ]
    assert sizes == [1, 8]
    assert measured == ["settled", "settled"]


def test_a_constraint_on_the_number_of_parameters_costs_no_trial_of_the_leaders_company() -> None:
    Path("small.yaml").write_text(SPACE + 'constraints: ["params <= 80"]\n')  # 8 * width + 3
    run()
    rows = trials()
    widths = {row["number"]: row["params"]["model.width"] for row in rows}
    refused = [row["number"] for row in rows if row["reason"] == "infeasible"]
    assert {widths[number] for number in refused} == {width for width in widths.values() if width > 9}
    assert all(widths[number] != widths.get(number + 1) for number in refused)
    assert max(Counter(width for width in widths.values() if width <= 9).values()) >= 3, "lanes where there may be some"


@given(st.lists(st.integers(4, 16), min_size=1, max_size=60), st.floats(0.05, 1.0))
def test_the_sampler_chooses_the_shape_of_a_share_of_the_trials_freely(widths: list[int], breadth: float) -> None:
    Path("small.yaml").write_text(SPACE)
    planned = plan(f"search.breadth={breadth}")
    n_free = n_trials = 0
    for width in widths:
        params = {"model.width": width, "optimizer.lr": 0.1}
        planned.add(params)
        n_free, n_trials = n_free + 1, n_trials + 1
        while len({*widths[:n_free]}) < 13 and planned.may_follow(params):
            planned.add(params)
            n_trials += 1
    assert n_free / n_trials >= breadth - 1e-9


def test_a_shape_may_be_had_by_more_trials_when_every_shape_was_tried() -> None:
    planned = plan("search.breadth=0.5")
    for width in range(4, 17):
        assert planned.may_follow({"model.width": 4}) is (width < 6)
        planned.add({"model.width": 4 if width < 6 else width})
    planned.add({"model.width": 5})
    assert planned.may_follow({"model.width": 4})


def test_a_space_that_varies_no_shape_has_one() -> None:
    spec = load(Path("small.yaml"), sets=("space.model.width=null",))
    assert n_shapes(spec.space) == 1
    assert n_shapes(load(Path("small.yaml")).space) == 13


def test_sizes_of_about_the_same_count_as_one_shape() -> None:
    assert rough_shape(base("model.width=30")) == rough_shape(base("model.width=33"))
    assert rough_shape(base("model.width=30")) != rough_shape(base("model.width=64"))
    assert rough_shape(base("optimizer.lr=0.5")) == rough_shape(base())
