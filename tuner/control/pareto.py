"""Vectors of several objectives in order: which are better, which are on the front, which to pick.

Everywhere n vectors of m objectives are `values` [n, m], lower is better; a vector that is not finite comes last.
Ranks are those of the non-dominated sort of Deb et al. 2002 (A fast and elitist multiobjective genetic algorithm,
section III). Inside a rank two objectives are ordered by what each vector adds to the hypervolume of those before it,
greedily, more than two by the crowding distance of the same paper.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

N_GREEDY = 32
"""Vectors of a rank that are ordered by the hypervolume that they add, whose cost grows with their square."""
MARGIN = 0.1
"""How far the reference point of a hypervolume lies behind the worst vector, in units of the range."""
TWO = 2


def ranks(values: ArrayLike) -> Indices:
    """The rank [n] of each vector: 0 for those that none dominates, 1 for those that only these do, and so on.

    Equal vectors do not dominate each other. Vectors that are not finite share one rank behind all others.
    """
    matrix = _matrix(values)
    finite = np.isfinite(matrix).all(axis=1)
    found = np.zeros(len(matrix), dtype=np.intp)
    if finite.any():
        good = matrix[finite]
        found[finite] = _ranks_of_two(good) if good.shape[1] == TWO else _ranks_of_many(good)
        found[~finite] = found[finite].max() + 1
    return found


def front(values: ArrayLike) -> Indices:
    """Indices of the finite vectors that none dominates, in the order given."""
    matrix = _matrix(values)
    found: Indices = np.flatnonzero((ranks(matrix) == 0) & np.isfinite(matrix).all(axis=1))
    return found


def order(values: ArrayLike) -> Indices:
    """Indices [n] of the vectors, the best first; equal ones in the order given."""
    matrix = _matrix(values)
    if matrix.shape[1] == 1:
        column = np.where(np.isfinite(matrix[:, 0]), matrix[:, 0], np.inf)
        return np.argsort(column, kind="stable")
    of_rank = ranks(matrix)
    groups = [np.flatnonzero(of_rank == rank) for rank in range(int(of_rank.max(initial=-1)) + 1)]
    return np.concatenate([np.empty(0, dtype=np.intp), *(group[_within(matrix[group])] for group in groups)])


def places(values: ArrayLike) -> Indices:
    """The place [n] of each vector in `order`: 0 for the best."""
    ordered = order(values)
    found = np.empty(len(ordered), dtype=np.intp)
    found[ordered] = np.arange(len(ordered))
    return found


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """The volume between the vectors and a reference point that is worse in every objective; exact.

    Two objectives by a sweep; more by slicing along the last one (While et al. 2006, HSO), which is for small fronts.
    """
    matrix = _matrix(values)
    corner = np.asarray(reference, dtype=np.float64)
    inside = matrix[(matrix < corner).all(axis=1)]
    return _volume(inside, corner)


def knee(values: ArrayLike) -> int:
    """The index of the compromise of a front: the nearest to the ideal point, every objective scaled to [0, 1]."""
    return int(np.argmin(np.square(scaled(values)).sum(axis=1)))


def weighted(values: ArrayLike, weights: ArrayLike) -> int:
    """The index with the least weighted sum, every objective scaled to [0, 1] over the front."""
    return int(np.argmin(scaled(values) @ np.asarray(weights, dtype=np.float64)))


def scaled(values: ArrayLike) -> Floats:
    """The vectors with 0 for the best and 1 for the worst of each objective; 0 where all are equal."""
    matrix = _matrix(values)
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    found: Floats = (matrix - low) / width
    return found


def _matrix(values: ArrayLike) -> Floats:
    matrix = np.asarray(values, dtype=np.float64)
    return matrix.reshape(len(matrix), -1) if matrix.size else np.empty((0, max(1, matrix.shape[-1])))


# ---------------------------------------------------------------------------------------------------------------- ranks


def _ranks_of_two(values: Floats) -> Indices:
    """A sweep from the best first objective on: each front is known by its best second objective so far."""
    found = np.empty(len(values), dtype=np.intp)
    best: list[float] = []  # increasing: what is behind a front is behind all those before it
    last, rank = (np.nan, np.nan), 0
    for index in np.lexsort((values[:, 1], values[:, 0])).tolist():
        x, y = float(values[index, 0]), float(values[index, 1])
        if (x, y) != last:
            rank = bisect_right(best, y)
            best[rank : rank + 1] = [y]
            last = (x, y)
        found[index] = rank
    return found


def _ranks_of_many(values: Floats) -> Indices:
    no_worse: NDArray[np.bool_] = np.all(values[:, None, :] <= values[None, :, :], axis=2)
    dominates = no_worse & ~no_worse.T
    n_above = dominates.sum(axis=0)
    found = np.zeros(len(values), dtype=np.intp)
    rank, left = 0, np.ones(len(values), dtype=bool)
    while left.any():
        now = left & (n_above == 0)
        found[now] = rank
        n_above = n_above - dominates[now].sum(axis=0)
        left &= ~now
        rank += 1
    return found


# -------------------------------------------------------------------------------------------------------- inside a rank


def _within(values: Floats) -> Indices:
    """Indices of the vectors of one rank, the most wanted first."""
    if len(values) <= 1 or not np.isfinite(values).all():
        return np.arange(len(values))
    return _by_volume(scaled(values)) if values.shape[1] == TWO else _by_crowding(values)


def _by_volume(values: Floats) -> Indices:
    """Greedily by the area that each adds to that of the chosen ones; the rest by their distance to the chosen."""
    chosen: list[int] = []
    added = _added(values, np.empty((0, TWO)))
    while len(chosen) < min(len(values), N_GREEDY):
        added[chosen] = -1.0
        chosen.append(int(np.argmax(added)))
        added = _added(values, values[chosen])
    rest = [index for index in range(len(values)) if index not in set(chosen)]
    return np.array(chosen + sorted(rest, key=lambda index: -added[index]), dtype=np.intp)


def _added(values: Floats, chosen: Floats) -> Floats:
    """The area [n] that each vector would add to that of the chosen ones, up to the reference point."""
    reference = 1.0 + MARGIN
    by_x = chosen[np.lexsort((chosen[:, 1], chosen[:, 0]))]
    starts = np.concatenate([[-np.inf], by_x[:, 0]])
    ends = np.concatenate([by_x[:, 0], [reference]])
    heights = np.minimum.accumulate(np.concatenate([[reference], by_x[:, 1]]))
    widths = np.minimum(ends, reference)[None, :] - np.maximum(starts[None, :], values[:, :1])
    found: Floats = (np.maximum(widths, 0.0) * np.maximum(heights[None, :] - values[:, 1:], 0.0)).sum(axis=1)
    return found


def _by_crowding(values: Floats) -> Indices:
    """By the space that each has around it, those at the ends of an objective first."""
    distance = np.zeros(len(values))
    for column in scaled(values).T:
        by_value = np.argsort(column, kind="stable")
        distance[by_value[[0, -1]]] = np.inf
        distance[by_value[1:-1]] += column[by_value[2:]] - column[by_value[:-2]]
    return np.argsort(-distance, kind="stable")


# ---------------------------------------------------------------------------------------------------------- hypervolume


def _volume(values: Floats, corner: Floats) -> float:
    if not len(values):
        return 0.0
    if values.shape[1] == 1:
        return float(corner[0] - values.min())
    if values.shape[1] == TWO:
        return _area(values, corner)
    by_last = values[np.argsort(values[:, -1], kind="stable")]
    ends = np.append(by_last[1:, -1], corner[-1])
    slices = (
        (end - row[-1]) * _volume(by_last[: index + 1, :-1], corner[:-1])
        for index, (row, end) in enumerate(zip(by_last, ends, strict=True))
        if end > row[-1]
    )
    return float(sum(slices))


def _area(values: Floats, corner: Floats) -> float:
    area, height = 0.0, float(corner[1])
    for x, y in values[np.lexsort((values[:, 1], values[:, 0]))].tolist():
        if y < height:
            area += (float(corner[0]) - x) * (height - y)
            height = y
    return area
