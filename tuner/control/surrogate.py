"""A model of what trainings come to, from trainings of which most were never finished.

One Gaussian process a level (see tuner.control.levels): that of a level models what the mean of the level below does
not explain, so that a first epoch that says nothing about the last one is ignored, and one that says much is used. This
is the recursion of Le Gratiet & Garnier 2014 (Recursive co-kriging model for design of computer experiments with
multiple levels of fidelity), with the factor between two levels integrated out. Deviations: values are replaced by
normal scores of their ranks, since losses of different epochs have nothing but their order in common and one diverged
trial must not flatten the others; levels are not nested; what a level adds is regularised towards nothing.

Hyperparameters are fitted to a part of the observations which changes rarely: they are a function of what was observed,
so that a resumed search suggests what an unbroken one does, and are kept as long as that part stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tuner.control.axes import normal_quantile
from tuner.control.gaussian import Floats, Kernel, Posterior, Prior, fit
from tuner.control.levels import Indices, Level

MAX_POINTS = 100
"""Of a level: the better half, and the others thinned out. An inverse of so many takes half a millisecond."""
MAX_FITTED = 80
MIN_FIRST = 6
MIN_LATER = 4
"""Trials that the first level needs, and each later one."""
FACTOR, FACTOR_VARIANCE = 0.7, 0.25
"""Of the mean of the level below in the mean of the next, before anything is known."""
CONSTANT_VARIANCE = 0.3
CARRIED = 0.5
"""Share of the variance of the level below."""
_FIRST = Prior(length=0.6, variance=0.8, noise=0.1)
_LATER = Prior(length=1.0, variance=0.3, noise=0.2)


def scores(values: Floats) -> Floats:
    """Normal scores of the ranks: about -2 for the best of 40, 2 for the worst; equal values have equal scores."""
    unique, places = np.unique(values, return_inverse=True)
    counts = np.bincount(places, minlength=len(unique))
    middle = np.cumsum(counts) - 0.5 * counts
    found: Floats = normal_quantile(middle[places] / len(values))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    features: Floats
    targets: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """The process of one level, and the mean of the level below at its points."""

    posterior: Posterior
    below: Floats


@dataclass(frozen=True, slots=True)
class Stack:
    """The processes of the levels that have enough observations, the first level first."""

    processes: tuple[_Process, ...] = ()

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the score at the last of the levels, for features [M, D]; lower is better."""
        mean, variance = np.zeros(len(features)), np.zeros(len(features))
        for place, process in enumerate(self.processes):
            base = CONSTANT_VARIANCE + FACTOR_VARIANCE * np.outer(mean, process.below)
            own, rest = process.posterior.predict(features, base, CONSTANT_VARIANCE + FACTOR_VARIANCE * mean * mean)
            mean = FACTOR * mean + own
            variance = rest + (CARRIED * variance if place else 0.0)
        return mean, variance

    def with_level(self, kernel: Kernel, theta: Floats, data: _Data) -> Stack:
        """Add what was observed at the next level."""
        below, base = self.below(data.features)
        posterior = Posterior.of(kernel, theta, data.features, data.targets - FACTOR * below, base)
        return Stack((*self.processes, _Process(posterior=posterior, below=below)))

    def below(self, features: Floats) -> tuple[Floats, Floats]:
        """The mean [M] that the next level builds upon, and the kernel [M, M] that goes with it."""
        mean, _ = self.predict(features)
        return mean, CONSTANT_VARIANCE + FACTOR_VARIANCE * np.outer(mean, mean)

    def noise(self) -> float:
        """Variance of a score that no params explain, on the level that has most of it; about 1 is all there is."""
        return max((float(np.exp(process.posterior.theta[-1])) for process in self.processes), default=1.0)

    def agreement(self) -> float:
        """Correlation of what was observed with what the other observations predict, on the level of most use.

        At most 1; about 0 or below for a model that knows nothing.
        """
        return max((_agreement(process) for process in self.processes), default=0.0)


def _agreement(process: _Process) -> float:
    left_out, targets = process.posterior.left_out(), process.posterior.targets
    if np.ptp(left_out) == 0.0 or np.ptp(targets) == 0.0:
        return 0.0
    return float(np.corrcoef(left_out, targets)[0, 1])


@dataclass(slots=True)
class Surrogate:
    """Builds the stack for what has been observed."""

    kernel: Kernel
    _fitted: dict[int, tuple[bytes, Floats, Stack]] = field(default_factory=dict)
    """By level: what the hyperparameters were fitted to, they, and the stack of that part of the observations."""

    def model(self, levels: list[Level], features: Floats) -> Stack:
        """The model of these levels; `features` [trials, D] of all trials by number."""
        whole, part = Stack(), Stack()
        key = b""
        for place, level in enumerate(levels):
            if len(level.trials) < (MIN_LATER if place else MIN_FIRST):
                break
            key, theta, part = self._fit(place, key, part, level, features)
            kept = thinned(level)
            data = _Data(features=features[level.trials[kept]], targets=scores(level.values)[kept])
            whole = whole.with_level(self.kernel, theta, data)
        return whole

    def _fit(
        self, place: int, below: bytes, stack: Stack, level: Level, features: Floats
    ) -> tuple[bytes, Floats, Stack]:
        size = fitted_size(len(level.trials))
        fitted = level.first(size)
        key = b"".join([below, fitted.trials.tobytes(), fitted.vectors.tobytes()])
        known = self._fitted.get(place)
        if known is None or known[0] != key:
            data = _Data(features=features[fitted.trials], targets=scores(fitted.values))
            mean, base = stack.below(data.features)
            prior = _LATER if place else _FIRST
            theta = fit(self.kernel, data.features, data.targets - FACTOR * mean, base, prior)
            known = (key, theta, stack.with_level(self.kernel, theta, data))
            self._fitted[place] = known
        return known


def fitted_size(n: int) -> int:
    """The size of the part of `n` observations that hyperparameters are fitted to: it grows in steps of a quarter."""
    size = MIN_LATER
    while (larger := size + max(1, size // 4)) <= min(n, MAX_FITTED):
        size = larger
    return min(size, n)


def thinned(level: Level) -> Indices:
    """Places of at most MAX_POINTS observations: the better half of them, and the others at equal distances."""
    order = np.argsort(level.values, kind="stable")
    n_better = MAX_POINTS // 2
    if len(order) <= MAX_POINTS:
        return np.arange(len(order))
    rest = order[n_better:]
    places = np.linspace(0, len(rest) - 1, MAX_POINTS - n_better).astype(np.intp)
    found: NDArray[np.intp] = np.sort(np.concatenate([order[:n_better], rest[places]]))
    return found
