"""What trials had come to after some numbers of epochs: the observations of a search with many unfinished trainings.

A level is a number of epochs, `min_epochs * eta**k`; the last one is the end of a training, whenever that comes. The
value of a trial at a level is the best that it had by then, which is what the search is about, and it is known for all
levels as soon as a training is over. Everything is a function of the reported curves, in whatever order they came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tuner.config import schema
from tuner.control import pareto

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Vector = tuple[float, ...]


def level_epochs(*, max_epochs: int, min_epochs: int, eta: int) -> tuple[int, ...]:
    """The numbers of epochs below the longest training at which trials are compared."""
    found: list[int] = []
    epochs = max(1, min_epochs)
    while epochs < max_epochs:
        found.append(epochs)
        epochs *= max(2, eta)
    return tuple(found)


def levels_of(pruner: schema.Pruner, *, max_epochs: int) -> tuple[int, ...]:
    """The levels of a search with this pruner: the rungs of asha, and the powers of 3 for others."""
    if isinstance(pruner, schema.AshaPruner):
        return level_epochs(max_epochs=max_epochs, min_epochs=pruner.min_epochs, eta=pruner.eta)
    return level_epochs(max_epochs=max_epochs, min_epochs=1, eta=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The trials that came so far, by number."""

    trials: Indices
    vectors: Floats
    """What each has there [trials, objectives]: lower is better, inf for one that diverged."""
    values: Floats
    """What they are ordered by: the objective, or the place in the order of several (tuner.control.pareto)."""

    def best(self, n: int) -> Indices:
        """The best few trials, best first."""
        return self.trials[np.argsort(self.values, kind="stable")[:n]]

    def first(self, n: int) -> Level:
        """The trials of the lowest numbers, as if there were no others."""
        return level_of(self.trials[:n], self.vectors[:n])


def level_of(trials: Indices, vectors: Floats) -> Level:
    """A level of these trials."""
    values = vectors[:, 0] if vectors.shape[1] == 1 else pareto.places(vectors).astype(np.float64)
    if vectors.shape[1] > 1:
        values = np.where(np.isfinite(vectors).all(axis=1), values, math.inf)
    return Level(trials=trials, vectors=vectors, values=values)


@dataclass(slots=True)
class Levels:
    """The levels of a search."""

    epochs: tuple[int, ...]
    n_objectives: int = 1
    _at: list[dict[int, Vector]] = field(init=False)
    _best: dict[int, tuple[int, Vector]] = field(default_factory=dict)
    """Last epoch and best values of each trial."""
    _observed: dict[int, Level] = field(default_factory=dict)
    """Levels that have not changed since they were looked at."""

    def __post_init__(self) -> None:
        self._at = [{} for _ in range(len(self.epochs) + 1)]

    @property
    def _worst(self) -> Vector:
        return (math.inf,) * self.n_objectives

    def report(self, trial: int, epoch: int, *vector: float) -> None:
        """Take in the objectives after an epoch; epochs of a trial come in their order."""
        last, best = self._best.get(trial, (0, self._worst))
        best = tuple(map(min, best, vector))
        for level in range(self._first_after(last), self._first_after(epoch)):
            self._put(level, trial, best)
        self._best[trial] = (max(last, epoch), best)

    def _first_after(self, epoch: int) -> int:
        """The first level that needs more epochs."""
        return next((level for level, needed in enumerate(self.epochs) if needed > epoch), len(self.epochs))

    def complete(self, trial: int) -> None:
        """The training is over: what it came to is what it has at every level that it did not reach."""
        if trial in self._best:
            last, best = self._best[trial]
            for level in range(self._first_after(last), len(self._at)):
                self._put(level, trial, best)

    def fail(self, trial: int) -> None:
        """It diverged, or could not be trained: the worst at the level that it was on its way to."""
        last, _ = self._best.get(trial, (0, ()))
        self._put(self._first_after(last), trial, self._worst)

    def drop(self, trial: int) -> None:
        """It failed through no fault of its params, and says nothing about them."""
        for level, at in enumerate(self._at):
            if at.pop(trial, None) is not None:
                self._observed.pop(level, None)

    def refuse(self, trial: int) -> None:
        """It breaks a constraint: the worst at every level that it reached, and at the first."""
        for level, at in enumerate(self._at):
            if level == 0 or trial in at:
                self._put(level, trial, self._worst)

    def _put(self, level: int, trial: int, vector: Vector) -> None:
        self._at[level][trial] = vector
        self._observed.pop(level, None)

    def observed(self) -> list[Level]:
        """Every level."""
        for level, at in enumerate(self._at):
            if level not in self._observed:
                trials = sorted(at)
                vectors = np.array([at[trial] for trial in trials]).reshape(len(trials), self.n_objectives)
                self._observed[level] = level_of(np.array(trials, dtype=np.intp), vectors)
        return [self._observed[level] for level in range(len(self._at))]

    def counts(self) -> list[int]:
        """How many trials each level has."""
        return [len(at) for at in self._at]
