"""When a search is not worth going on with: the rule on made-up records, and searches that end by it."""

from __future__ import annotations

import contextlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.control.stopping import FEWEST_TRIALS, StoppingRule, jitter
from tuner.execution.inline import InlineExecutor
from tuner.workflows.ending import Ending
from tuner.workflows.progress import Note, Progress
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: small
seed: 1
objective: {metric: accuracy}
data: {kind: iris, batch_size: 32, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 4}
space:
  optimizer.lr: {low: 1e-2, high: 1e-1, log: true}
search: {sampler: random, pruner: none, trials: 60, workers: 1, threads: 1, stop: auto}
"""


def rule_over(values: list[float], **settings: float | None) -> StoppingRule:
    rule = StoppingRule(maximize=False, **settings)  # type: ignore[arg-type]
    for value in values:
        rule.finished(value if math.isfinite(value) else None, {})
    return rule


def uniform(n: int, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).uniform(size=n))


def test_nothing_is_stopped_before_enough_trials() -> None:
    values = [0.0, *uniform(FEWEST_TRIALS)]
    assert rule_over(values[:-2], seed_noise=10.0).verdict(100) is None
    assert rule_over([0.0, *uniform(2 * FEWEST_TRIALS)], seed_noise=10.0).verdict(100) is not None


def test_a_search_ends_when_the_expected_gain_is_below_the_noise_of_a_seed() -> None:
    values = sorted(uniform(40), key=lambda value: value > 0.02)  # the best came early
    assert rule_over(values, seed_noise=0.3).verdict(60) is not None
    assert rule_over(values, seed_noise=1e-4).verdict(60) is None


def test_the_verdict_says_what_it_is_based_on() -> None:
    verdict = rule_over([0.0, *uniform(79)], seed_noise=0.5).verdict(20)
    assert verdict is not None
    assert (verdict.n_finished, verdict.n_next, verdict.noise) == (80, 20, 0.5)
    assert verdict.text(100).startswith("stopped after 80 of 100 trials: the next 20 are expected to gain 0.0")
    assert verdict.text(100).endswith("the noise of a seed is 0.5")


def test_the_expected_gain_is_that_of_more_draws_and_rather_too_large() -> None:
    random = np.random.default_rng(0)
    real, expected = [], []
    for _ in range(300):
        values = np.log(random.uniform(size=80))  # an exponential tail: what the rule takes all tails for
        real.append(max(0.0, values[:40].min() - values[40:].min()))
        expected.append(rule_over(list(values[:40])).expected_gain(40) or 0.0)
    assert np.mean(real) == pytest.approx(math.log(2.0), abs=0.15)  # what theory says of records
    assert np.mean(real) * 0.75 < np.mean(expected) < np.mean(real) * 2.0


def test_a_limit_of_the_metric_bounds_the_gain() -> None:
    values = [0.001, *(value + 0.01 for value in uniform(60))]
    free, bounded = rule_over(values).expected_gain(60), rule_over(values, limit=0.0).expected_gain(60)
    assert free is not None
    assert bounded is not None
    assert bounded <= 0.001 < free
    assert rule_over([0.0] * 40, limit=0.0, seed_noise=0.0).verdict(20) is not None  # nothing better can come


def test_trials_that_do_not_learn_end_nothing() -> None:
    assert rule_over([0.693] * 80, seed_noise=0.1).verdict(20) is None


def test_a_sampler_that_has_just_taken_off_is_not_done() -> None:
    plateau = [1.0 + value for value in uniform(60)]
    assert rule_over([*plateau, 0.5], seed_noise=0.4).verdict(40) is None
    assert rule_over([*plateau, 0.95], seed_noise=0.4).verdict(40) is not None


def test_pruned_trials_count_but_have_no_value() -> None:
    pruned = [math.inf] * 60
    assert rule_over([*pruned, *uniform(4)], seed_noise=1.0).verdict(50) is None
    assert rule_over([*uniform(30), *pruned], seed_noise=1.0).verdict(50) is not None


def test_paused_trials_count_as_those_that_were_not_good_enough() -> None:
    rule = rule_over(uniform(20), seed_noise=10.0)
    assert rule.verdict(50) is None
    assert rule.verdict(50, n_paused=20) is None  # and none of them can be the latest improvement
    lone, among = rule.expected_gain(50), rule.expected_gain(50, 200)
    assert lone is not None
    assert among is not None
    assert among < lone


def test_jitter_is_the_noise_around_the_course_of_a_curve() -> None:
    random = np.random.default_rng(0)
    course = {epoch: 1.0 / epoch for epoch in range(20, 60)}
    assert jitter(course, maximize=False) < 1e-4
    found = [
        jitter({epoch: -epoch * 0.01 + 0.1 * random.normal() for epoch in range(1, 30)}, maximize=False)
        for _ in range(300)
    ]
    assert np.median(found) == pytest.approx(0.1, rel=0.3)
    assert jitter({}, maximize=True) == 0.0


class Recorder:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.notes.append(progress.message)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchResult, list[str]]:
    """A search that ended itself: its folder, result and notes."""
    folder = tmp_path_factory.mktemp("ended")
    with contextlib.chdir(folder):
        Path("small.yaml").write_text(SPACE)
        result, notes = run()
    return folder, result, notes


def run(*sets: str) -> tuple[SearchResult, list[str]]:
    torch.set_num_threads(1)
    recorder = Recorder()
    result = search(SearchRequest(space="small.yaml", sets=sets), recorder, InlineExecutor())
    return result, recorder.notes


def test_a_search_that_ends_itself_says_why(ended: tuple[Path, SearchResult, list[str]]) -> None:
    _, result, (why,) = ended
    n_trials = result.status.counts["complete"]
    assert result.ended is Ended.STOPPED
    assert FEWEST_TRIALS <= n_trials < 60
    assert why.startswith(f"stopped after {n_trials} of 60 trials: the next {60 - n_trials} are expected to gain")
    assert why.endswith("`--set search.stop=never` goes on")
    assert result.status.to_json()["stopped"] == why


def test_the_verdict_is_kept_once_as_soon_as_there_is_one() -> None:
    kept: list[str] = []
    ending = Ending(rule=None, n_trials=60, timeout_s=None, keep=kept.append)
    ending.keep_once()
    ending.why = "stopped after 40 of 60 trials"
    ending.keep_once()
    ending.keep_once()
    assert kept == ["stopped after 40 of 60 trials"]


def test_a_search_that_ended_itself_stays_ended_until_it_is_told_to_go_on(
    ended: tuple[Path, SearchResult, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before, (why,) = ended
    n_trials = before.status.counts["complete"]
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    again, notes = run()
    assert (again.ended, again.status.counts["complete"], notes) == (Ended.STOPPED, n_trials, [why])
    result, notes = run("search.stop=never", f"search.trials={n_trials + 2}")
    assert (result.ended, result.status.counts["complete"], notes) == (Ended.BUDGET, n_trials + 2, [])
    assert result.status.study.stopped == ""
