"""Which epoch is best, and when training stops waiting for a better one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.training.early_stopping import BestEpoch, is_better

VALUES = st.one_of(
    st.floats(-5, 5).map(lambda value: round(value, 1)), st.sampled_from((math.nan, math.inf, -math.inf))
)


def follow(best: BestEpoch, values: list[float]) -> int:
    """Feed the values until it is exhausted; the number of epochs that were trained."""
    for epoch, value in enumerate(values, start=1):
        best.update(epoch, value)
        if best.is_exhausted:
            return epoch
    return len(values)


@pytest.mark.parametrize("maximize", (True, False))
@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf))
def test_a_value_that_is_not_finite_beats_nothing(value: float, maximize: bool) -> None:
    assert not is_better(value, None, maximize=maximize)
    assert not is_better(value, 0.0, maximize=maximize)


def test_the_first_of_equal_values_stays_best() -> None:
    best = BestEpoch(maximize=True)
    follow(best, [0.5, 0.9, 0.9, 0.9])
    assert (best.epoch, best.value) == (2, 0.9)


def test_training_stops_when_patience_epochs_in_a_row_were_no_better() -> None:
    best = BestEpoch(maximize=False, patience=2)
    assert follow(best, [3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 0.1]) == 6
    assert (best.epoch, best.value) == (4, 1.0)


def test_gains_of_min_delta_or_less_do_not_reset_the_patience_but_are_still_the_best() -> None:
    best = BestEpoch(maximize=True, patience=2, min_delta=0.5)
    assert follow(best, [1.0, 1.25, 1.5, 9.0]) == 3
    assert (best.epoch, best.value, best.reference) == (3, 1.5, 1.0)


def test_small_gains_add_up_against_the_last_value_that_counted() -> None:
    best = BestEpoch(maximize=True, patience=2, min_delta=0.5)
    assert follow(best, [1.0, 1.375, 1.75, 2.0, 2.125]) == 5
    assert best.reference == 1.75


def test_a_first_value_that_is_not_finite_counts_as_no_improvement() -> None:
    best = BestEpoch(maximize=True, patience=2)
    assert follow(best, [math.nan, math.nan, 1.0]) == 2
    assert (best.epoch, best.value) == (0, None)


def test_without_patience_it_never_stops() -> None:
    best = BestEpoch(maximize=True)
    assert follow(best, [1.0, *[0.0] * 100]) == 101


@given(values=st.lists(VALUES, min_size=1), maximize=st.booleans())
def test_the_best_epoch_is_the_first_extreme_of_the_finite_values(values: list[float], maximize: bool) -> None:
    best = BestEpoch(maximize=maximize)
    follow(best, values)
    finite = [value for value in values if math.isfinite(value)]
    expected = (max if maximize else min)(finite) if finite else None
    assert best.value == expected
    assert best.epoch == (0 if expected is None else values.index(expected) + 1)


@given(
    values=st.lists(VALUES, min_size=1),
    cut=st.integers(0, 20),
    maximize=st.booleans(),
    patience=st.integers(1, 4),
    min_delta=st.sampled_from((0.0, 0.25, 1.0)),
)
def test_a_restored_state_goes_on_as_if_there_had_been_no_break(
    values: list[float], cut: int, maximize: bool, patience: int, min_delta: float
) -> None:
    def new() -> BestEpoch:
        return BestEpoch(maximize=maximize, patience=patience, min_delta=min_delta)

    whole, before, after = new(), new(), new()
    for epoch, value in enumerate(values, start=1):
        whole.update(epoch, value)
        (before if epoch <= cut else after).update(epoch, value)
        if epoch == cut:
            after.restore(before.state())
    ended = before if len(values) < cut else after
    if cut == 0 or len(values) >= cut:
        assert ended == whole
