"""Studies side by side: differences, best over budget, and when one cannot tell."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from tuner.cli.main import cli as commands
from tuner.errors import NotFoundError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.report.contest import _margin
from tuner.workflows import confirm as confirm_workflow
from tuner.workflows.compare import compare
from tuner.workflows.confirm import confirm
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: first
objective: {metric: error, direction: minimize}
train: {kind: python, target: "code.py:run", epochs: 3, options: {lr: 0.1, offset: 0.0}}
space: {train.options.lr: {low: 1e-3, high: 1.0, log: true}}
search: {sampler: random, trials: 5, workers: 1, pruner: none}
confirm: {top: 1, seeds: 3}
"""
TWO = """
study: two
objective: [{metric: error, direction: minimize}, {metric: size, direction: minimize}]
train: {kind: python, target: "code.py:run", epochs: 1, options: {lr: 0.1, offset: 0.0}}
space: {train.options.lr: {low: 1e-3, high: 1.0, log: true}}
search: {sampler: random, trials: 3, workers: 1, pruner: none}
confirm: off
"""
CODE = """
import torch

def run(config, state):
    for epoch in range(1 + (state or 0), config["epochs"] + 1):
        noise = 0.01 * torch.rand(()).item()
        error = abs(config["lr"] - 0.1) / epoch + config["offset"] + noise
        yield {"error": error, "size": 1.0 - config["lr"]}, epoch
"""


def run(*sets: str) -> None:
    search(SearchRequest(space="space.yaml", sets=sets), None, InlineExecutor())


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies: the second with another sampler and seed, the third always worse."""
    folder = tmp_path_factory.mktemp("compared")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(confirm_workflow, "ProcessExecutor", InlineExecutor)
        torch.set_num_threads(1)
        Path("space.yaml").write_text(SPACE)
        Path("code.py").write_text(CODE)
        run()
        run("study=second", "seed=5", "search.sampler={kind: grid, points: 6}", "search.trials=6")
        run("study=worse", "train.options.offset=5.0")
        run("study=unconfirmed", "confirm=off", "search.trials=2")
        run("study=other", "objective.direction=maximize", "confirm=off", "search.trials=2")
        Path("space.yaml").write_text(TWO)
        run()
        run("study=two-worse", "train.options.offset=0.5")
        confirm(study="first", seeds=4, executor=InlineExecutor())
    return folder


@pytest.fixture(autouse=True)
def _in_searched(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(searched)


def test_a_difference_that_fresh_seeds_show_names_the_better_one() -> None:
    (item,) = compare(["first", "worse"]).contest.differences()
    assert item.is_clear
    assert item.verdict == "first is better"
    assert item.change == pytest.approx(5.0, abs=0.1)
    (turned,) = compare(["worse", "first"]).contest.differences()
    assert turned.verdict == "first is better"


def test_a_difference_within_chance_cannot_be_told() -> None:
    (item,) = compare(["first", "second"]).contest.differences()
    assert item.low is not None
    assert item.high is not None
    assert item.is_clear == (not item.low < 0.0 < item.high)
    (missing,) = compare(["first", "unconfirmed"]).contest.differences()
    assert missing.verdict == "cannot tell: the winner of unconfirmed is not confirmed"
    assert missing.remedy == "tuner confirm --seeds 5 --study unconfirmed"


def test_the_interval_is_that_of_scipy_up_to_the_whole_degrees_of_freedom() -> None:
    first, second = [0.9, 0.92, 0.91, 0.95], [0.85, 0.9, 0.89]
    interval = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    assert half <= _margin(first, second) <= 1.25 * half


def test_what_differs_is_named() -> None:
    found = compare(["first", "second", "worse"]).contest.to_json()
    assert found["spaces"] == {"second": ["seed: 0 -> 5"], "worse": ["train.options.offset: 0.0 -> 5.0"]}
    assert "sampler: random -> grid (points: 6)" in found["searches"]["second"]
    assert found["comparable"] is True


def test_the_best_over_budget_is_that_of_the_complete_trials_by_then() -> None:
    contest = compare(["first", "second"]).contest
    assert contest.budgets() == [2, 4, 8, 15]
    assert contest.best_at(0, 2) is None
    assert contest.best_at(0, 15) == contest.entries[0].ranked[0].value
    assert contest.best_at(0, 3) == contest.entries[0].by_number[0].value


def test_studies_for_different_things_are_not_ranked() -> None:
    found = compare(["first", "other"])
    assert found.contest.differences() == []
    assert "searched for different things" in found.contest.obstacles()[0]


def test_fronts_are_compared_by_their_hypervolume() -> None:
    contest = compare(["two", "two-worse"]).contest
    better, worse = contest.volumes()
    assert 0.0 < worse < better <= 1.0
    assert contest.differences() == []
    assert compare(["first", "second"]).contest.volumes() == []


def test_a_study_of_another_database_is_named_by_its_file(tmp_path: Path, searched: Path) -> None:
    with contextlib.chdir(tmp_path):
        found = compare([f"{searched}/studies.db:first", f"{searched}/studies.db:second"])
    assert [facts.study.name for facts in found.contest.entries] == ["first", "second"]
    with contextlib.chdir(tmp_path):
        (item,) = compare([f"{searched}/studies.db:first", f"{searched}/studies.db:unconfirmed"]).contest.differences()
    assert item.remedy == f"tuner confirm --seeds 5 --study unconfirmed --storage sqlite:///{searched}/studies.db"


def test_fewer_than_two_or_unknown_studies_are_refused() -> None:
    with pytest.raises(UsageError, match=r"name two studies or more .*; there are: first, second, worse"):
        compare(["first"])
    with pytest.raises(NotFoundError, match="no study 'nothing' here"):
        compare(["first", "nothing"])


def test_the_command_prints_text_json_and_pages(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(commands, ["compare", "first", "worse", "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "first against worse: first is better" in done.stdout
    assert "Best over budget:" in done.stdout
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('class="line series s') == 4
    done = runner.invoke(commands, ["compare", "first", "worse", "--json"])
    assert json.loads(done.stdout)["differences"][0]["verdict"] == "first is better"


def test_a_page_goes_where_that_of_a_report_goes(tmp_path: Path, searched: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file"):
        compare(["first", "worse"], out=tmp_path)
    done = CliRunner().invoke(commands, ["compare", "first", "worse", "--out", "-"])
    assert done.stdout.startswith("<!doctype html>")
    assert not (searched / "-").exists()
