"""Splits by a column: whole groups, or in the order of time.

Rows that belong together (one patient, one customer) in two parts let a model be scored on what it has learned by
heart; so do rows from after those that it is scored on. Neither kind of split looks at classes.
"""

from __future__ import annotations

import numpy as np

from tuner import seeding
from tuner.config.schema import Split
from tuner.data.splits import Indices, SplitRows, part_size, row_order
from tuner.errors import DataError


def split_by_keys(pool: Indices, keys: Indices, sizes: Split, *, given: dict[str, Indices], seed: int) -> SplitRows:
    """Split the rows of `pool`, which have `keys`, into what is not given; DataError when a part would be empty."""
    n_test = 0 if "test" in given else part_size(sizes.test, len(pool))
    n_val = 0 if "val" in given else part_size(sizes.val, len(pool))
    rows = np.arange(len(pool))
    if sizes.by == "time":
        test, rest = _last(keys, rows, n_test, "test")
        val, train = _next_block(keys, rest, sizes) if sizes.folds else _last(keys, rest, n_val, "val")
    else:
        cut_seed = seeding.derive(seed, "cut", sizes.cut)
        test, rest = _groups(keys, rows, n_test, seed, "test")
        val, train = (
            _group_fold(keys, rest, sizes, seed) if sizes.folds else _groups(keys, rest, n_val, cut_seed, "val")
        )
    return SplitRows(
        train=np.sort(pool[train]),
        val=given.get("val", np.sort(pool[val])),
        test=given.get("test", np.sort(pool[test])),
    )


# ----------------------------------------------------------------------------------------------------------------- time


def _last(times: Indices, rows: Indices, n_rows: int, part: str) -> tuple[Indices, Indices]:
    """At least the last `n_rows` rows, and all rows of the same times: one time is in one part."""
    if n_rows == 0:
        return rows[:0], rows
    if n_rows >= len(rows):
        raise _nothing_left(part, n_rows, len(rows))
    begins = np.sort(times[rows])[len(rows) - n_rows]
    taken = times[rows] >= begins
    if taken.all():
        raise DataError(
            f"data.split: {part} would take all {len(rows)} rows that are left, as they have too few distinct times;"
            " lower data.split, or split by another column"
        )
    return rows[taken], rows[~taken]


def _next_block(times: Indices, rows: Indices, sizes: Split) -> tuple[Indices, Indices]:
    """Forward chaining: of `folds` + 1 blocks in time, one validates and all before it train."""
    n_folds = sizes.folds or 1
    distinct = np.unique(times[rows])
    if len(distinct) <= n_folds:
        raise DataError(f"data.split.folds: {n_folds} folds of {len(distinct)} distinct times; take fewer folds")
    ordered = np.sort(times[rows])
    cuts = [ordered[len(rows) * number // (n_folds + 1)] for number in range(n_folds + 1)]
    if len(set(cuts)) <= n_folds:
        raise DataError(
            f"data.split.folds: {n_folds} folds would cut rows of one time apart, as many rows have the same; take"
            " fewer folds"
        )
    fold = sizes.fold % n_folds
    begins = cuts[fold + 1]
    ends = cuts[fold + 2] if fold + 2 <= n_folds else distinct[-1] + 1
    of_row = times[rows]
    return rows[(of_row >= begins) & (of_row < ends)], rows[of_row < begins]


# --------------------------------------------------------------------------------------------------------------- groups


def _groups(groups: Indices, rows: Indices, n_rows: int, seed: int, part: str) -> tuple[Indices, Indices]:
    """Whole groups in random order, each taken where it brings the part nearer to `n_rows`."""
    if n_rows == 0:
        return rows[:0], rows
    if n_rows >= len(rows):
        raise _nothing_left(part, n_rows, len(rows))
    present, counts = np.unique(groups[rows], return_counts=True)
    order = row_order(len(present), seed)
    taken: list[int] = []
    size = 0
    for number in order.tolist():
        grown = size + int(counts[number])
        if abs(n_rows - grown) < abs(n_rows - size) and len(taken) < len(present) - 1:
            taken.append(number)
            size = grown
    if not taken:
        if len(present) == 1:
            raise DataError("data.split: all rows are of one group; a split by group needs one for every part")
        taken = [int(np.argmin(counts))]  # every group has more than twice the rows that were asked for
    is_taken = np.isin(groups[rows], present[taken])
    return rows[is_taken], rows[~is_taken]


def _group_fold(groups: Indices, rows: Indices, sizes: Split, seed: int) -> tuple[Indices, Indices]:
    """The largest groups first, each to the fold with the fewest rows."""
    n_folds = sizes.folds or 1
    present, counts = np.unique(groups[rows], return_counts=True)
    if len(present) < n_folds:
        raise DataError(f"data.split.folds: {n_folds} folds of {len(present)} groups; take fewer folds")
    shuffled = row_order(len(present), seed)
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of = np.empty(len(present), dtype=np.int64)
    for number in shuffled[np.argsort(-counts[shuffled], kind="stable")].tolist():
        fold_of[number] = int(np.argmin(filled))
        filled[fold_of[number]] += counts[number]
    validates = fold_of[np.searchsorted(present, groups[rows])] == sizes.fold % n_folds
    return rows[validates], rows[~validates]


def _nothing_left(part: str, n_rows: int, n_left: int) -> DataError:
    return DataError(
        f"data.split: {part} takes {n_rows} of {n_left} rows, which leaves none for training; lower data.split"
    )
