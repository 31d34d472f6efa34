"""The sampler of `auto`: a multivariate tree-structured Parzen estimator, in numpy alone.

Bergstra et al. 2011 (Algorithms for Hyper-Parameter Optimization, section 4): the finished trials are split into the
better ones and the others, each group gets a density, and of some points drawn from the better group's the one with
the largest ratio of the two is suggested. As in Falkner et al. 2018 (BOHB) a kernel spans all parameters of a trial, so
that what goes together stays together. Deviations: a space with conditions is a tree that is walked from the root, and
a kernel that lacks a parameter has the prior for it; running trials count among the others (a constant liar), so that
several open trials keep apart; bandwidths follow the number of trials and not their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tuner.control import pareto
from tuner.control.axes import Axis, CellAxis, Cells, Floats, Line, axis_of
from tuner.control.controller import NONE, Excesses, TrialState, is_feasible
from tuner.seeding import derive
from tuner.space.parameters import Condition, Params, Scalar, Space

N_STARTUP = 10
N_CANDIDATES = 24
BETTER_SHARE = 0.1
MAX_BETTER = 25
BANDWIDTH = 0.2
"""Of one trial, in units of a parameter's range.

A compromise, picked after about 30 settings (0.1 to 0.5, two or more in turns, 24 to 64 candidates) were tried on
tables of learning curves of 5 tasks and on two smooth functions: wider kernels did better on the tables, narrower
ones on the functions. Mean regret after 50 full trainings with the median rule .169, Optuna 5's TPE .301 (24 seeds,
up to 16 of them seen while picking); on a smooth function with conditions, after 100 trials, .296 +- .041 and .274 +-
.039 (8 seeds).
"""
MIN_BANDWIDTH = 0.01

Indices = NDArray[np.intp]


class _State(IntEnum):
    ABSENT = 0
    RUNNING = 1
    PRUNED = 2
    COMPLETE = 3


_STATES = {
    TrialState.COMPLETE: _State.COMPLETE,
    TrialState.PRUNED: _State.PRUNED,
    TrialState.FAILED: _State.ABSENT,
}


class Observations:
    """What was asked and told, by trial number: equal after a resume, in whatever order trials ended."""

    def __init__(self, axes: dict[str, Axis], n_objectives: int = 1) -> None:
        self._axes = axes
        self.vectors = np.full((64, n_objectives), math.nan) if n_objectives > 1 else None
        self.n = 0
        self.codes: Floats = np.full((len(axes), 64), math.nan)
        self.states = np.zeros(64, dtype=np.int8)
        self.values = np.full(64, math.nan)
        self.epochs = np.zeros(64, dtype=np.int64)

    def add(self, trial: int, params: Params) -> None:
        """A trial that runs from now on."""
        while trial >= len(self.states):
            self._grow()
        for row, (name, axis) in enumerate(self._axes.items()):
            self.codes[row, trial] = axis.encode(params[name]) if name in params else math.nan
        self.states[trial] = _State.RUNNING
        self.n = max(self.n, trial + 1)

    def _grow(self) -> None:
        size = len(self.states)
        self.codes = np.concatenate([self.codes, np.full((len(self._axes), size), math.nan)], axis=1)
        self.states = np.concatenate([self.states, np.zeros(size, dtype=np.int8)])
        self.values = np.concatenate([self.values, np.full(size, math.nan)])
        if self.vectors is not None:
            self.vectors = np.concatenate([self.vectors, np.full((size, self.vectors.shape[1]), math.nan)])
        self.epochs = np.concatenate([self.epochs, np.zeros(size, dtype=np.int64)])

    def reach(self, trial: int, epoch: int, value: float) -> None:
        """The value (lower is better) after the last epoch so far."""
        self.epochs[trial], self.values[trial] = epoch, value

    def end(self, trial: int, state: _State, value: float | None) -> None:
        """The trial is over; a pruned one keeps the value of its last epoch."""
        self.states[trial] = state
        if value is not None and state is _State.COMPLETE:
            self.values[trial] = value

    def take(self, trial: int, values: Sequence[float]) -> None:
        """Several objectives (lower is better) after the last epoch so far, or of the trial when it is complete."""
        if self.vectors is not None and values:
            self.vectors[trial] = values

    def refuse(self, trial: int) -> None:
        """The trial breaks a constraint: it counts as one that was stopped before its first epoch."""
        self.states[trial], self.epochs[trial], self.values[trial] = _State.PRUNED, 0, math.nan
        if self.vectors is not None:
            self.vectors[trial] = math.nan

    def _merits(self, finished: Indices, epochs: NDArray[np.int64]) -> Floats:
        """What trials of equal state and epochs are ordered by: their value, or their place in a Pareto order."""
        if self.vectors is None:
            return self.values[finished]
        merits = np.full(len(finished), math.nan)
        groups = np.stack([self.states[finished].astype(np.int64), epochs], axis=1)
        for group in np.unique(groups, axis=0):
            of_group = (groups == group).all(axis=1)
            merits[of_group] = pareto.places(self.vectors[finished[of_group]])
        return merits

    def split(self) -> tuple[Indices, Indices, int]:
        """The better trials, the others (running ones too), each by number, and how many are finished.

        Complete trials come first, by value; then pruned ones, by how far they came and the value there, as Optuna
        orders them; nan (stopped before the first epoch) is last.
        """
        states = self.states[: self.n]
        finished = np.flatnonzero(states >= _State.PRUNED)
        epochs = np.where(states[finished] == _State.COMPLETE, 0, self.epochs[finished])
        keys = (self._merits(finished, epochs), -epochs, -states[finished])
        n_better = min(math.ceil(BETTER_SHARE * len(finished)), MAX_BETTER)
        better = finished[np.lexsort(keys)[:n_better]]
        is_other = states > _State.ABSENT
        is_other[better] = False
        return np.sort(better), np.flatnonzero(is_other), len(finished)


class Mixture:
    """The density of a group of trials: a kernel for each, and the prior as the last one."""

    def __init__(self, axes: list[Axis], codes: Floats) -> None:
        n_trials = codes.shape[1]
        width = max(BANDWIDTH * max(n_trials, 1) ** (-1.0 / (len(axes) + 4)), MIN_BANDWIDTH)
        with_prior = np.concatenate([codes, np.full((len(axes), 1), math.nan)], axis=1)
        self._n = n_trials + 1
        self._kernels = [
            Cells(axis, row, width) if isinstance(axis, CellAxis) else Line(row, np.full(self._n, width))
            for axis, row in zip(axes, with_prior, strict=True)
        ]

    def log_kernels(self, points: Floats) -> Floats:
        """Log of every kernel [points, kernels] relative to the prior, at points [axes, points]."""
        total = np.zeros((points.shape[1], self._n))
        for kernels, codes in zip(self._kernels, points, strict=True):
            exists = ~np.isnan(codes)
            if exists.all():
                total += kernels.log(codes)
            elif exists.any():
                total[exists] += kernels.log(codes[exists])
        return total

    def log_density(self, points: Floats) -> Floats:
        logs = self.log_kernels(points)
        top = logs.max(axis=1)
        logs -= top[:, None]
        total: Floats = top + np.log(np.exp(logs, out=logs).sum(axis=1)) - math.log(self._n)
        return total

    def draw(self, row: int, kernels: Indices, uniforms: Floats) -> Floats:
        return self._kernels[row].draw(kernels, uniforms)


class ParzenSampler:
    """Suggests params: a function of the seed, the trial's number and what was told."""

    def __init__(self, space: Space, *, seed: int, maximize: bool, signs: tuple[float, ...] = ()) -> None:
        """`signs` are those of several objectives: 1 for one that is minimised, -1 for one that is maximised."""
        self._names = [parameter.name for parameter in space.parameters]
        self._axes = {parameter.name: axis_of(parameter.domain) for parameter in space.parameters}
        self._conditions = [parameter.conditions for parameter in space.parameters]
        self._seed = seed
        self._sign = -1.0 if maximize else 1.0
        self._signs = signs
        self._seen = Observations(self._axes, max(1, len(signs)))

    # ---------------------------------------------------------------------------------------------------- what was told

    def add(self, trial: int, params: Params) -> None:
        """Take in a trial that was asked for; it is running until it is told otherwise."""
        self._seen.add(trial, params)

    def report(self, trial: int, epoch: int, value: float, values: tuple[float, ...] = ()) -> None:
        self._seen.reach(trial, epoch, self._sign * value)
        self._seen.take(trial, self._signed(values))

    def finish(
        self,
        trial: int,
        state: TrialState,
        value: float | None,
        values: tuple[float, ...] = (),
        constraints: Excesses = NONE,
    ) -> None:
        """Take in how a trial ended; one that failed says nothing about its params."""
        self._seen.end(trial, _STATES[state], None if value is None else self._sign * value)
        self._seen.take(trial, self._signed(values))
        if not is_feasible(constraints) and state is not TrialState.FAILED:
            self._seen.refuse(trial)

    def _signed(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sign * value for sign, value in zip(self._signs, values, strict=False))

    # ------------------------------------------------------------------------------------------------------- suggesting

    def suggest(self, trial: int, fixed: Params | None = None) -> Params:
        """Params for the trial of this number, which runs from now on.

        `fixed` params are taken as they are, where they exist, and the others are drawn given them.
        """
        rng = np.random.default_rng(derive(self._seed, "sampler", trial))
        given = {name: self._axes[name].encode(value) for name, value in (fixed or {}).items() if name in self._axes}
        point = self._choose(rng, given)
        params: dict[str, Scalar] = {}
        for name, code in zip(self._names, point, strict=True):
            if not math.isnan(code):
                params[name] = fixed[name] if fixed and name in given else self._axes[name].decode(code)
        self.add(trial, params)
        return params

    def propose(self, rng: np.random.Generator, given: dict[int, float]) -> Floats:
        """One point [parameters], as codes; `given` codes by row are taken as they are."""
        return self._choose(rng, {self._names[row]: code for row, code in given.items()})

    def _choose(self, rng: np.random.Generator, given: dict[str, float]) -> Floats:
        better, others, n_finished = self._seen.split()
        axes = list(self._axes.values())
        if n_finished < N_STARTUP:
            nothing = Mixture(axes, np.empty((len(axes), 0)))
            drawn: Floats = self._draw(nothing, np.zeros(1, dtype=np.intp), rng, given)[:, 0]
            return drawn
        good = Mixture(axes, self._seen.codes[:, better])
        bad = Mixture(axes, self._seen.codes[:, others])
        kernels = rng.choice(len(better) + 1, size=N_CANDIDATES, p=self._weights(good, given))
        points = self._draw(good, kernels, rng, given)
        best: Floats = points[:, int(np.argmax(good.log_density(points) - bad.log_density(points)))]
        return best

    def _weights(self, mixture: Mixture, given: dict[str, float]) -> Floats:
        """How probable each kernel is, given the fixed values."""
        point = np.array([[given.get(name, math.nan)] for name in self._names])
        logs = mixture.log_kernels(point)[0]
        weights: Floats = np.exp(logs - logs.max())
        weights /= weights.sum()
        return weights

    def _draw(self, mixture: Mixture, kernels: Indices, rng: np.random.Generator, given: dict[str, float]) -> Floats:
        """Points [axes, points], one around each of the kernels; parents before their children."""
        points = np.full((len(self._names), len(kernels)), math.nan)
        for row, name in enumerate(self._names):
            uniforms = rng.random(len(kernels))
            active = self._is_active(row, points)
            if name in given:
                points[row, active] = given[name]
            else:
                points[row, active] = mixture.draw(row, kernels[active], uniforms[active])
        return points

    def _is_active(self, row: int, points: Floats) -> NDArray[np.bool_]:
        active = np.ones(points.shape[1], dtype=bool)
        for condition in self._conditions[row]:
            active &= self._holds(condition, points)
        return active

    def _holds(self, condition: Condition, points: Floats) -> NDArray[np.bool_]:
        parent = condition.parent
        codes: Floats = points[self._names.index(parent)]
        return self._axes[parent].holds(condition, parent, codes)
