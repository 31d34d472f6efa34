"""Which rows train, which validate and which are kept for the test.

The order of the rows comes from the raw 64-bit words of PCG64, a stream that NumPy never changes, sorted stably; the
class quotas are integers. So a split depends on the seed, the sizes and the classes, and is the same on every machine
and in every version. scikit-learn's train_test_split is not used, as it draws from a generator whose methods may
change, and costs its import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuner import seeding
from tuner.config.schema import Split
from tuner.errors import DataError

Indices = npt.NDArray[np.int64]

PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRows:
    """Row numbers of each part, ascending and disjoint; `test` may be empty."""

    train: Indices
    val: Indices
    test: Indices

    def __getitem__(self, part: str) -> Indices:
        return {"train": self.train, "val": self.val, "test": self.test}[part]


def split_rows(
    pool: Indices, classes: Indices | None, sizes: Split, *, given: dict[str, Indices], seed: int
) -> SplitRows:
    """Cut what is missing of val and test from `pool`; the parts in `given` are taken as they are.

    `classes` has the class of each row of `pool`, or is None for a plain split. Fractions are of the rows in the pool.
    With `sizes.folds` the rows that are not for the test are cut into so many folds, of which one validates; another
    `sizes.cut` takes other rows of them for validation.
    Raises DataError when nothing would be left for training.
    """
    n_test = 0 if "test" in given else part_size(sizes.test, len(pool))
    if sizes.folds is not None:
        return _folds(pool, classes, sizes, sizes.folds, n_test=n_test, given=given, seed=seed)
    n_val = 0 if "val" in given else part_size(sizes.val, len(pool))
    if n_val + n_test >= len(pool):
        raise DataError(
            f"data.split: val takes {n_val} and test {n_test} of {len(pool)} rows, which leaves none for training;"
            " lower data.split"
        )
    order = row_order(len(pool), seed)
    test, rest = _cut(order, classes, n_test)
    if sizes.cut:
        rest = rest[row_order(len(rest), seeding.derive(seed, "cut", sizes.cut))]
    val, train = _cut(rest, classes, n_val)
    return SplitRows(
        train=np.sort(pool[train]),
        val=given.get("val", np.sort(pool[val])),
        test=given.get("test", np.sort(pool[test])),
    )


def row_order(n_rows: int, seed: int) -> Indices:
    """The numbers of rows in an order that depends on the seed alone."""
    return np.argsort(np.random.PCG64(seed).random_raw(n_rows), kind="stable")


def _folds(
    pool: Indices,
    classes: Indices | None,
    sizes: Split,
    n_folds: int,
    *,
    n_test: int,
    given: dict[str, Indices],
    seed: int,
) -> SplitRows:
    """One of the folds validates, the others train; the rows of a class are dealt to the folds in turn."""
    if "val" in given:
        raise DataError("data.split.folds: this data has a validation part of its own; leave folds out")
    if len(pool) - n_test < n_folds:
        raise DataError(f"data.split.folds: {n_folds} folds of {len(pool) - n_test} rows; take fewer folds")
    test, rest = _cut(row_order(len(pool), seed), classes, n_test)
    dealt = rest if classes is None else rest[np.argsort(classes[rest], kind="stable")]
    validates = np.arange(len(dealt)) % n_folds == sizes.fold % n_folds
    return SplitRows(
        train=np.sort(pool[dealt[~validates]]),
        val=np.sort(pool[dealt[validates]]),
        test=given.get("test", np.sort(pool[test])),
    )


def part_size(size: float, n_rows: int) -> int:
    """A fraction as a number of rows, rounded half up, and at least one when it is not zero."""
    if isinstance(size, int):
        return size
    return max(1, math.floor(size * n_rows + 0.5)) if size > 0 else 0


def _cut(order: Indices, classes: Indices | None, n_rows: int) -> tuple[Indices, Indices]:
    """The first `n_rows` of `order`, or of each class its share, and the rest."""
    if classes is None or n_rows == 0:
        return order[:n_rows], order[n_rows:]
    of_row = classes[order]
    shares = _shares(np.bincount(of_row), n_rows)
    taken = np.zeros(len(order), dtype=bool)
    for label, share in enumerate(shares):
        taken[np.flatnonzero(of_row == label)[:share]] = True
    return order[taken], order[~taken]


def _shares(counts: Indices, n_rows: int) -> Indices:
    """`n_rows` divided among classes by largest remainder (ties: the lower class), each keeping at least one row."""
    total = int(counts.sum())
    room = np.maximum(counts - 1, 0)
    if n_rows > room.sum():
        raise DataError(
            f"data.split: {n_rows} of {total} rows cannot be cut so that each of {np.count_nonzero(counts)} classes"
            " keeps a row for training; lower data.split, or set data.split.stratify: false"
        )
    shares = np.minimum(counts * n_rows // total, room)
    by_remainder = np.argsort(-(counts * n_rows % total), kind="stable")
    while (missing := n_rows - int(shares.sum())) > 0:
        open_classes = by_remainder[shares[by_remainder] < room[by_remainder]]
        shares[open_classes[:missing]] += 1
    return shares
