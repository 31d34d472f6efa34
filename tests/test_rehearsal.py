"""Searches that are played through: what comes out follows from costs, rules and workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner.config.schema import AshaPruner, HyperbandPruner, MedianPruner, NoPruner, Search, ThresholdPruner
from tuner.control.draws import corners, distinct, random_params
from tuner.control.rehearsal import Budget, Range, rehearse
from tuner.control.scenarios import Cost, Scenario
from tuner.space.parameters import AnyOf, Choices, FloatRange, IntRange, MoreThan, Parameter, Space
from tuner.study.judging import judge_of

SPACE = Space(
    parameters=(
        Parameter(name="optimizer.kind", domain=Choices(values=("adamw", "sgd"))),
        Parameter(name="optimizer.lr", domain=FloatRange(low=1e-4, high=1e-1, log=True)),
        Parameter(
            name="optimizer.momentum",
            domain=FloatRange(low=0.0, high=0.9),
            conditions=(AnyOf(parent="optimizer.kind", labels=("sgd",)),),
        ),
        Parameter(name="model.depth", domain=IntRange(low=1, high=3)),
        Parameter(
            name="model.width.1",
            domain=IntRange(low=8, high=64, log=True),
            conditions=(MoreThan(parent="model.depth", bound=1),),
        ),
    )
)
BUDGET = Budget(n_trials=30, workers=1, epoch_s=0.0, trial_s=0.0)
COST = Cost(epochs=9, setup_s=1.0, epoch_s=2.0)
EXACT = replace(Scenario.drawn(np.random.default_rng(0)), speed=1.0, length=0.0)


def judge(search: Search, n: int = 1) -> object:
    return judge_of(search, SPACE, [{"optimizer.kind": "adamw", "model.depth": 1}] * n, max_epochs=9)


def played(
    search: Search, costs: list[Cost], budget: Budget = BUDGET, scenario: Scenario = EXACT, seed: int = 0
) -> object:
    return rehearse(costs, budget, judge(search, len(costs)), scenario, np.random.default_rng(seed))


def test_without_pruning_the_time_is_the_sum_over_all_trials() -> None:
    found = played(Search(pruner=NoPruner()), [COST])
    assert (found.n_epochs, found.n_stopped) == (30 * 9, 0)
    assert found.seconds == pytest.approx(30 * (1.0 + 9 * 2.0))


def test_two_workers_take_half_of_the_time() -> None:
    found = played(Search(pruner=NoPruner()), [COST], replace(BUDGET, workers=2))
    assert found.seconds == pytest.approx(15 * (1.0 + 9 * 2.0))


def test_workers_wait_for_a_driver_that_is_busy() -> None:
    budget = replace(BUDGET, workers=10, epoch_s=1.0)
    found = played(Search(pruner=NoPruner()), [replace(COST, setup_s=0.0, epoch_s=0.1)], budget)
    assert found.seconds == pytest.approx(30 * 9 * 1.0, rel=0.02)


@pytest.mark.parametrize("pruner", (MedianPruner(), HyperbandPruner()))
def test_the_studys_own_rule_stops_trials(pruner: MedianPruner | HyperbandPruner) -> None:
    found = played(Search(pruner=pruner), [COST])
    assert 0 < found.n_stopped < 30
    assert found.n_epochs < 30 * 9


def test_asha_pauses_trials_and_goes_on_with_the_best_third() -> None:
    pruner = AshaPruner(min_epochs=1, eta=3, mode="promote")
    found = played(Search(pruner=pruner), [replace(COST, epochs=9)], replace(BUDGET, n_trials=90))
    n_first, n_second = 90, 30
    assert found.n_stopped >= 70
    assert n_first + 2 * n_second <= found.n_epochs <= n_first + 2 * n_second + 6 * 20
    fast = played(Search(pruner=pruner), [COST], replace(BUDGET, n_trials=90, workers=8))
    assert fast.seconds < found.seconds / 5
    stopping = AshaPruner(min_epochs=1, eta=3, mode="stop")
    assert 0 < played(Search(pruner=stopping), [COST]).n_stopped < 30


def test_a_threshold_stops_nothing_since_values_are_made_up() -> None:
    assert played(Search(pruner=ThresholdPruner(upper=-100.0)), [COST]).n_stopped == 0


def test_measured_curves_are_gone_on_with_and_stop_early_where_they_do_not_improve() -> None:
    flat = replace(COST, curve=(0.5,) * 6, patience=3)
    falling = replace(COST, curve=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4), patience=3)
    assert played(Search(pruner=NoPruner()), [flat]).n_epochs == 30 * 4
    assert played(Search(pruner=NoPruner()), [falling]).n_epochs == 30 * 9


def test_the_sampler_comes_to_prefer_what_did_well() -> None:
    good, bad = replace(COST, epochs=4, curve=(0.1,) * 4), replace(COST, epochs=40, curve=(0.9,) * 40)
    costs = [good, good, bad, bad]
    indifferent = played(Search(pruner=NoPruner()), costs, scenario=replace(EXACT, focus=0.0)).n_epochs
    keen = played(Search(pruner=NoPruner()), costs, scenario=replace(EXACT, focus=50.0)).n_epochs
    assert keen < indifferent


def test_what_cannot_be_trained_costs_nothing() -> None:
    found = played(Search(pruner=NoPruner()), [Cost(epochs=9, is_infeasible=True)])
    assert (found.seconds, found.n_epochs) == (0.0, 0)


def test_confirming_trains_the_best_again_on_every_seed() -> None:
    budget = replace(BUDGET, workers=2, confirm_top=3, confirm_seeds=2)
    found = played(Search(pruner=NoPruner()), [COST], budget)
    assert found.confirm_epochs == 3 * 2 * 9
    assert found.confirm_s == pytest.approx(3 * (1.0 + 9 * 2.0))


def test_a_diverging_curve_ends_its_trial() -> None:
    found = played(Search(pruner=NoPruner()), [replace(COST, curve=(0.5, float("nan")))])
    assert (found.n_epochs, found.n_stopped) == (30 * 2, 30)


def test_a_range_leaves_out_one_in_forty_on_each_side() -> None:
    found = Range.of([float(i) for i in range(1, 42)])
    assert (found.low, found.high) == (2.0, 40.0)
    assert found.times(2.0).to_json() == [4.0, 80.0]


def test_random_points_have_the_params_that_their_conditions_ask_for() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        params = random_params(SPACE, random)
        assert [item.name for item in SPACE.parameters if item.is_active(params)] == list(params)
        assert 1e-4 <= float(params["optimizer.lr"] or 0.0) <= 1e-1


def test_corners_are_the_ends_of_what_matters() -> None:
    found = distinct(corners(SPACE, lambda name: name != "optimizer.lr"), 12)
    high = {"optimizer.kind": "adamw", "optimizer.lr": 0.1, "model.depth": 3, "model.width.1": 64}
    low = {"optimizer.kind": "sgd", "optimizer.lr": 1e-4, "optimizer.momentum": 0.0, "model.depth": 1}
    assert found[:2] == [high, low]
    assert {**high, "model.width.1": 8} in found
    assert {
        "optimizer.kind": "sgd",
        "optimizer.lr": 0.1,
        "optimizer.momentum": 0.9,
        "model.depth": 3,
        "model.width.1": 64,
    } in found
    assert all(params["optimizer.lr"] == 0.1 for params in found if params != low)
    assert len(distinct(corners(SPACE, lambda _: True), 3)) == 3
