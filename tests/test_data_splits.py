"""Splits: sizes, proportions, and that the seed alone decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.config.schema import Split
from tuner.data.splits import SplitRows, split_rows
from tuner.errors import DataError


def split(classes: list[int], sizes: Split, *, seed: int = 0, stratify: bool = True) -> SplitRows:
    labels = np.array(classes)
    return split_rows(np.arange(len(labels)), labels if stratify else None, sizes, given={}, seed=seed)


def test_the_same_seed_gives_the_split_that_every_machine_gets() -> None:
    parts = split([0, 1] * 10, Split(val=0.2, test=0.1), seed=7)
    assert (parts.val.tolist(), parts.test.tolist()) == ([4, 11, 12, 13], [3, 6])


def test_another_seed_gives_another_split() -> None:
    one, two = (split([0, 1] * 50, Split(), seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.val, two.val)


def test_a_stratified_split_keeps_the_proportions_to_the_row() -> None:
    classes = np.array([0] * 700 + [1] * 200 + [2] * 100)
    parts = split(classes.tolist(), Split(val=0.1, test=0.2))
    assert np.bincount(classes[parts.val]).tolist() == [70, 20, 10]
    assert np.bincount(classes[parts.test]).tolist() == [140, 40, 20]


def test_a_plain_split_does_not_look_at_the_classes() -> None:
    few = split([0] * 99 + [1], Split(val=10, test=0), stratify=False)
    assert np.array_equal(few.val, split([0] * 50 + [1] * 50, Split(val=10, test=0), stratify=False).val)


def test_counts_are_taken_as_they_are_and_a_zero_test_is_empty() -> None:
    parts = split([0, 1] * 20, Split(val=7, test=0))
    assert (len(parts.train), len(parts.val), len(parts.test)) == (33, 7, 0)


def test_a_given_test_is_kept_and_the_fraction_is_of_the_rest() -> None:
    parts = split_rows(np.arange(100), None, Split(val=0.1), given={"test": np.arange(100, 120)}, seed=0)
    assert (len(parts.train), len(parts.val)) == (90, 10)
    assert parts.test.tolist() == list(range(100, 120))


def test_a_split_that_leaves_no_row_for_training_is_refused() -> None:
    with pytest.raises(DataError, match=r"val takes 8 and test 2 of 10 rows, which leaves none for training"):
        split([0, 1] * 5, Split(val=8, test=2))


def test_a_split_that_would_take_all_rows_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"12 of 15 rows cannot be cut so that each of 5 classes keeps a row"):
        split([0, 1, 2, 3, 4] * 3, Split(val=12, test=0))


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    val=st.floats(0.01, 0.4),
    test=st.floats(0.0, 0.4),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_row_is_in_one_part_and_every_class_is_trained(
    counts: list[int], val: float, test: float, seed: int
) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    try:
        parts = split(classes.tolist(), Split(val=val, test=test), seed=seed)
    except DataError as error:
        assert "keeps a row for training" in str(error)  # noqa: PT017 - the only refusal that may come
        return
    assert np.array_equal(np.sort(np.concatenate([parts.train, parts.val, parts.test])), np.arange(len(classes)))
    assert set(classes[parts.train]) == set(range(len(counts)))
    shares = np.bincount(classes[parts.test], minlength=len(counts)) - np.array(counts) * len(parts.test) / len(classes)
    assert np.abs(shares).max() < 1
