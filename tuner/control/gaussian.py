"""A Gaussian process with a length scale for each parameter, in numpy.

Rasmussen & Williams 2006 (Gaussian Processes for Machine Learning): equations 2.25, 2.26 for the posterior, 5.9 for the
gradient of the marginal likelihood, 5.12 for leaving one out; Matern's kernel of smoothness 5/2, equation 4.17. The
hyperparameters are those of the largest posterior density under log-normal priors. A base kernel that is given from
outside, for a constant and for the mean of another process, is added to it.

N points, M other points, D features, G groups of features with a length scale of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Floats = NDArray[np.float64]

JITTER = 1e-6
MAX_STEPS = 12
"""Of the optimiser: more changed the suggestions of benchmarks/search_quality.py by less than its noise."""
_BOUNDS = ((-3.5, 2.5), (-4.0, 2.0), (-6.0, 1.0))
"""Of log length scale, log variance, log noise variance."""


@dataclass(slots=True)
class OneThread:
    """Keeps linear algebra on one thread: for matrices of a hundred rows several only wait for each other.

    On 2 cores (AMD EPYC, both in use by workers, numpy 2.4, n = 1000 asks) an ask took 86 ms of CPU time with numpy's
    default of a thread a core, 9 ms with one.
    """

    _controller: ThreadpoolController | None = field(default=None)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        if self._controller is None:
            import scipy.optimize  # noqa: F401  0.4 s; it brings a BLAS of its own, to be found below
            from threadpoolctl import ThreadpoolController

            self._controller = ThreadpoolController()
        with self._controller.limit(limits=1, user_api="blas"):
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Centres of the log-normal priors."""

    length: float
    variance: float
    noise: float

    def start(self, n_groups: int) -> Floats:
        found: Floats = np.log(np.array([*[self.length] * n_groups, self.variance, self.noise]))
        return found


_SPREAD = (1.0, 0.7, 1.0)
"""Standard deviations of the priors, in the logarithm."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Matern 5/2 of features [N, D]; `groups` [D] says which length scale each has."""

    groups: NDArray[np.intp]

    @property
    def n_groups(self) -> int:
        return int(self.groups.max(initial=-1)) + 1

    def scaled(self, features: Floats, theta: Floats) -> Floats:
        found: Floats = features * np.exp(-theta[self.groups])
        return found

    def of(self, left: Floats, right: Floats, theta: Floats) -> Floats:
        """[N, M] from scaled features."""
        distance = _distance(left, right)
        found: Floats = np.exp(theta[-2]) * (1.0 + distance + distance * distance / 3.0) * np.exp(-distance)
        return found


def _distance(left: Floats, right: Floats) -> Floats:
    """sqrt(5) times the Euclidean distance, [N, M]."""
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :] - 2.0 * left @ right.T
    found: Floats = np.sqrt(5.0 * np.maximum(squares, 0.0))
    return found


def fit(kernel: Kernel, features: Floats, targets: Floats, base: Floats, prior: Prior) -> Floats:
    """Hyperparameters [G + 2]: log length scales, log variance, log noise variance."""
    from scipy.optimize import minimize

    start = prior.start(kernel.n_groups)
    spread = np.array([*[_SPREAD[0]] * kernel.n_groups, *_SPREAD[1:]])
    onto = _one_hot(kernel)

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = _negative_likelihood(kernel, onto, features, targets, base, theta)
        offset = (theta - start) / spread
        return value + 0.5 * float(offset @ offset), gradient + offset / spread

    bounds = [*[_BOUNDS[0]] * kernel.n_groups, *_BOUNDS[1:]]
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_STEPS})
    best: Floats = np.asarray(result.x) if np.isfinite(result.fun) else start
    return best


def _one_hot(kernel: Kernel) -> Floats:
    """Which group each feature is of [D, G]."""
    return np.eye(kernel.n_groups)[kernel.groups]


def _negative_likelihood(
    kernel: Kernel, onto: Floats, features: Floats, targets: Floats, base: Floats, theta: Floats
) -> tuple[float, Floats]:
    scaled = kernel.scaled(features, theta)
    distance = _distance(scaled, scaled)
    shrunk = np.exp(theta[-2]) * np.exp(-distance)
    own = shrunk * (1.0 + distance + distance * distance / 3.0)
    noise = float(np.exp(theta[-1]))
    try:
        root = np.linalg.cholesky(own + base + (noise + JITTER) * np.eye(len(targets)))
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    half = np.linalg.inv(root)
    inverse = half.T @ half
    weights = inverse @ targets
    outer = inverse - np.outer(weights, weights)
    # d k / d log length_g = 5/3 variance (1 + r) exp(-r) (a_g - b_g)^2; the square is opened to stay a matrix product
    slope = outer * shrunk * (5.0 / 3.0) * (1.0 + distance)
    sums = slope.sum(axis=1)
    by_feature = 2.0 * (sums @ (scaled * scaled)) - 2.0 * ((slope @ scaled) * scaled).sum(axis=0)
    gradient = 0.5 * np.array([*(by_feature @ onto), float((outer * own).sum()), noise * float(np.trace(outer))])
    value = 0.5 * float(targets @ weights) + float(np.log(np.diag(root)).sum())
    return value, gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """A process that has seen targets [N]."""

    kernel: Kernel
    theta: Floats
    points: Floats
    """Scaled features."""
    inverse: Floats
    weights: Floats
    targets: Floats

    @classmethod
    def of(cls, kernel: Kernel, theta: Floats, features: Floats, targets: Floats, base: Floats) -> Posterior:
        points = kernel.scaled(features, theta)
        noise = float(np.exp(theta[-1])) + JITTER
        own = kernel.of(points, points, theta)
        inverse = np.asarray(np.linalg.inv(own + base + noise * np.eye(len(targets))), dtype=np.float64)
        return cls(
            kernel=kernel, theta=theta, points=points, inverse=inverse, weights=inverse @ targets, targets=targets
        )

    def predict(self, features: Floats, base: Floats, base_variance: Floats) -> tuple[Floats, Floats]:
        """Mean and variance [M], without noise; `base` [M, N] and [M] are the added kernel."""
        cross = self.kernel.of(self.kernel.scaled(features, self.theta), self.points, self.theta) + base
        variance = np.exp(self.theta[-2]) + base_variance - ((cross @ self.inverse) * cross).sum(axis=1)
        return cross @ self.weights, np.maximum(variance, JITTER)

    def left_out(self) -> Floats:
        """The mean at each point from the others alone."""
        found: Floats = self.targets - self.weights / np.diag(self.inverse)
        return found
