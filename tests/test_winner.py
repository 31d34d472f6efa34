"""Who wins among re-trained candidates, and who cannot be told from the winner."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuner.control.winner import Candidate, choose, quantile


def candidate(trial: int, search_value: float, *values: float | None) -> Candidate:
    return Candidate(trial=trial, search_value=search_value, values=values)


def test_the_mean_over_fresh_seeds_chooses_and_not_the_search() -> None:
    lucky, steady = candidate(3, 0.99, 0.90, 0.91), candidate(5, 0.97, 0.96, 0.97)
    confirmed = choose([lucky, steady], maximize=True)
    assert confirmed is not None
    assert [item.trial for item in confirmed.candidates] == [5, 3]
    assert confirmed.winner.mean == pytest.approx(0.965)


def test_the_direction_is_that_of_the_objective() -> None:
    confirmed = choose([candidate(0, 0.1, 0.3, 0.3), candidate(1, 0.2, 0.2, 0.2)], maximize=False)
    assert confirmed is not None
    assert confirmed.winner.trial == 1


def test_equal_means_are_decided_by_the_search_and_then_by_the_number() -> None:
    confirmed = choose([candidate(4, 0.5, 0.4), candidate(2, 0.5, 0.4), candidate(1, 0.4, 0.4)], maximize=True)
    assert confirmed is not None
    assert [item.trial for item in confirmed.candidates] == [2, 4, 1]


def test_a_candidate_that_fails_on_a_fresh_seed_does_not_win() -> None:
    confirmed = choose([candidate(0, 0.9, 0.95, None), candidate(1, 0.8, 0.7, 0.7)], maximize=True)
    assert confirmed is not None
    assert [item.trial for item in confirmed.candidates] == [1, 0]
    assert confirmed.candidates[1].mean is None
    assert confirmed.tied_with == ()


def test_where_all_fail_nobody_wins() -> None:
    assert choose([candidate(0, 0.9, None, 0.9)], maximize=True) is None
    assert choose([], maximize=True) is None


def test_one_seed_tells_nothing_apart() -> None:
    confirmed = choose([candidate(0, 0.9, 0.9), candidate(1, 0.8, 0.1)], maximize=True)
    assert confirmed is not None
    assert (confirmed.tied_with, confirmed.winner.std) == ((1,), None)


def test_candidates_far_apart_are_told_apart_and_near_ones_are_not() -> None:
    near, far = candidate(1, 0.9, 0.899, 0.903), candidate(2, 0.9, 0.5, 0.504)
    confirmed = choose([candidate(0, 0.9, 0.902, 0.904), near, far], maximize=True)
    assert confirmed is not None
    assert confirmed.tied_with == (1,)


def test_a_candidate_that_collapses_on_one_seed_does_not_make_the_others_equal() -> None:
    collapsing = candidate(2, 0.96, 0.96, 0.31)
    confirmed = choose([candidate(0, 0.97, 0.964, 0.958), candidate(1, 0.92, 0.922, 0.91), collapsing], maximize=True)
    assert confirmed is not None
    assert 1 not in confirmed.tied_with


values = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6)


@given(values, values)
def test_two_candidates_are_told_apart_where_students_test_does(first: list[float], second: list[float]) -> None:
    confirmed = choose([candidate(0, 0.5, *first), candidate(1, 0.5, *second)], maximize=True)
    assert confirmed is not None
    if min(stdev(first), stdev(second)) < 1e-6:
        return  # scipy warns of its own rounding
    p = stats.ttest_ind(first, second).pvalue
    if not math.isclose(p, 0.05, rel_tol=1e-3):
        assert (confirmed.tied_with != ()) == (p > 0.05)
    assert confirmed.winner.mean == pytest.approx(max(fmean(first), fmean(second)))


@pytest.mark.parametrize("freedom", (*range(1, 36), 60, 300))
def test_the_quantiles_are_students(freedom: int) -> None:
    assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=2e-4)
