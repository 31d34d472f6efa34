"""Non-dominated ranks, hypervolumes and picks, against Optuna's and against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from tuner.control import pareto
from tuner.control.asha import Asha
from tuner.control.pareto_rule import ParetoRule

coarse = st.integers(min_value=0, max_value=6).map(float)  # few values, so that many are equal


def vectors(n_objectives: int, min_size: int = 1) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(coarse, min_size=n_objectives, max_size=n_objectives), min_size=min_size, max_size=25)


some = st.integers(min_value=1, max_value=4).flatmap(vectors)


@given(some)
def test_ranks_are_those_of_optuna(values: list[list[float]]) -> None:
    assert pareto.ranks(values).tolist() == _fast_non_domination_rank(np.array(values)).tolist()


@given(some)
def test_the_front_is_what_nothing_dominates(values: list[list[float]]) -> None:
    def dominates(a: list[float], b: list[float]) -> bool:
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    wanted = [i for i, own in enumerate(values) if not any(dominates(other, own) for other in values)]
    assert pareto.front(values).tolist() == wanted


@given(some)
def test_an_order_has_every_index_once_and_never_goes_back_in_rank(values: list[list[float]]) -> None:
    order = pareto.order(values)
    assert sorted(order.tolist()) == list(range(len(values)))
    assert sorted(pareto.ranks(values)[order].tolist()) == pareto.ranks(values)[order].tolist()
    assert pareto.places(values)[order].tolist() == list(range(len(values)))


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=20))
def test_one_objective_is_ordered_by_its_value_and_what_is_not_finite_is_last(column: list[float]) -> None:
    order = pareto.order(np.array(column)[:, None]).tolist()
    finite = [column[i] for i in order if np.isfinite(column[i])]
    assert finite == sorted(finite)
    assert all(not np.isfinite(column[i]) for i in order[len(finite) :])


def test_what_is_not_finite_is_behind_everything() -> None:
    values = [[1.0, np.nan], [9.0, 9.0], [np.inf, 0.0], [1.0, 1.0]]
    assert pareto.ranks(values).tolist() == [2, 1, 2, 0]
    assert pareto.order(values).tolist() == [3, 1, 0, 2]
    assert pareto.front([[np.nan, 1.0]]).tolist() == []


def test_nothing_has_no_order() -> None:
    assert pareto.ranks(np.empty((0, 2))).tolist() == []
    assert pareto.order(np.empty((0, 2))).tolist() == []


@given(st.integers(min_value=2, max_value=4).flatmap(vectors))
def test_hypervolumes_are_those_of_optuna(values: list[list[float]]) -> None:
    reference = np.full(len(values[0]), 5.0)
    inside = [row for row in values if max(row) < 5.0]
    wanted = compute_hypervolume(np.array(inside), reference) if inside else 0.0
    assert pareto.hypervolume(values, reference) == pytest.approx(wanted)


@settings(max_examples=50)
@given(vectors(2, min_size=3))
def test_inside_a_rank_each_adds_the_most_to_the_hypervolume_of_those_before(values: list[list[float]]) -> None:
    front = pareto.scaled(np.unique(np.array(values)[pareto.front(values)], axis=0))
    order = pareto.order(front).tolist()
    reference = np.full(2, 1.0 + pareto.MARGIN)
    for n_chosen in range(len(order)):
        volumes = [pareto.hypervolume(front[[*order[:n_chosen], i]], reference) for i in order[n_chosen:]]
        assert volumes[0] == pytest.approx(max(volumes))


def test_the_knee_is_nearest_to_the_best_of_everything() -> None:
    front = [[0.0, 1000.0], [0.1, 300.0], [0.5, 100.0], [1.0, 0.0]]
    assert pareto.knee(front) == 1
    assert pareto.knee([[3.0, 4.0]]) == 0


def test_weights_move_the_pick_along_the_front() -> None:
    front = [[0.0, 1000.0], [0.1, 300.0], [1.0, 0.0]]
    picks = [pareto.weighted(front, weights) for weights in ([1.0, 0.0], [0.5, 0.5], [0.05, 0.95])]
    assert picks == [0, 1, 2]


def test_a_rung_ranks_by_non_domination_and_puts_diverged_trials_last() -> None:
    schedule = Asha(min_epochs=1, eta=2, mode="promote", max_epochs=4, maximize=True, signs=(-1.0, 1.0))
    vectors = {0: (0.9, 100.0), 1: (0.2, 10.0), 2: (0.5, 500.0), 3: (0.1, 900.0), 4: (0.6, 50.0), 5: (0.99, 9.0)}
    for trial, vector in vectors.items():
        schedule.add(trial, 4)
        schedule.report(trial, 1, vector[0], vector)
    schedule.diverge(5)
    promotable = schedule.promotable(set(vectors))
    assert sorted(promotable) == [0, 1, 4]
    assert schedule.best_paused({2, 3}) == 2


def test_a_rung_stops_what_is_not_in_the_best_part_of_the_pareto_order() -> None:
    schedule = Asha(min_epochs=1, eta=2, mode="stop", max_epochs=4, maximize=True, signs=(-1.0, 1.0))
    stopped = {}
    for trial, vector in enumerate([(0.9, 100.0), (0.8, 200.0), (0.2, 10.0), (0.1, 300.0), (0.95, 400.0)]):
        schedule.add(trial, 4)
        schedule.report(trial, 1, vector[0], vector)
        stopped[trial] = schedule.should_stop(trial)
    assert stopped[1]  # dominated by the first, and one of two goes on
    assert stopped[3]  # behind all
    assert not stopped[0]


def rule(percentile: float = 50.0, n_startup_trials: int = 0, n_warmup_epochs: int = 0) -> ParetoRule:
    return ParetoRule(
        percentile=percentile,
        n_startup_trials=n_startup_trials,
        n_warmup_epochs=n_warmup_epochs,
        interval_epochs=1,
        n_min_trials=1,
        signs=(-1.0, 1.0),
    )


def with_complete(judge: ParetoRule, vectors: list[tuple[float, float]], epoch: int = 1) -> ParetoRule:
    for trial, vector in enumerate(vectors):
        judge.report(trial, epoch, vector)
        judge.finish(trial, is_complete=True)
    return judge


COMPLETE = [(0.9, 100.0), (0.8, 50.0), (0.85, 200.0), (0.7, 150.0), (0.5, 300.0)]
"""Accuracy and parameters; ranks 0, 0, 1, 1, 2."""


@pytest.mark.parametrize(
    ("vector", "is_stopped"),
    (
        pytest.param((0.4, 400.0), True, id="behind all"),
        pytest.param((0.6, 250.0), True, id="dominated by four of the five"),
        pytest.param((0.1, 10.0), False, id="the smallest of all"),
        pytest.param((0.95, 900.0), False, id="the best of all"),
        pytest.param((0.84, 120.0), False, id="dominated by one of the five"),
    ),
)
def test_a_trial_that_most_are_ahead_of_is_stopped(vector: tuple[float, float], is_stopped: bool) -> None:
    judge = with_complete(rule(), COMPLETE)
    judge.report(9, 1, vector)
    assert judge.should_stop(9) is is_stopped


def test_a_trial_is_judged_by_the_best_that_it_has_had() -> None:
    judge = with_complete(with_complete(rule(), COMPLETE), COMPLETE, epoch=2)
    judge.report(9, 1, (0.95, 60.0))
    judge.report(9, 2, (0.3, 60.0))
    assert judge.should_stop(9) is False


def test_nothing_is_stopped_before_enough_trials_are_complete_nor_in_the_warmup() -> None:
    few = with_complete(rule(n_startup_trials=6), COMPLETE)
    early = with_complete(rule(n_warmup_epochs=2), COMPLETE)
    for judge in (few, early):
        judge.report(9, 1, (0.1, 900.0))
        assert judge.should_stop(9) is False
    assert rule().should_stop(3) is False


def test_a_trial_that_did_not_complete_is_no_measure() -> None:
    judge = rule()
    judge.report(0, 1, (0.9, 1.0))
    judge.finish(0, is_complete=False)
    judge.report(1, 1, (0.1, 9.0))
    assert judge.should_stop(1) is False


def test_a_lower_percentile_stops_more() -> None:
    judge = with_complete(rule(percentile=10.0), COMPLETE)
    judge.report(9, 1, (0.84, 120.0))
    assert judge.should_stop(9) is True
