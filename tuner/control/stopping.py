"""When a search is not worth going on with: what more trials are expected to gain is below the noise of one training.

As in Makarova et al. 2022 (Automatic Termination for Hyperparameter Optimization, AutoML-Conf) a search ends when what
is left to gain is smaller than the error with which a value is known; they bound the gain by a Gaussian process and
take the error from cross-validation. Here both come from what every search has. The gain: the best of the finished
trials are peaks over a threshold, whose excesses have a generalised Pareto tail (Coles 2001, An Introduction to
Statistical Modeling of Extreme Values, chapter 4; fitted by moments, with its shape drawn to the exponential, which
stops late); once for all trials and once for the recent half, since a sampler gets better, and the larger counts; and
the best must not have improved of late. The noise: the spread of equal configs on several seeds where that is known,
else the jitter of the best curves from epoch to epoch, which is smaller than that of a seed, and stops late too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FEWEST_TRIALS = 30
"""Finished ones, before which nothing is stopped."""
STRETCH = 0.3
"""Of the finished trials, but at least 30 of them: the last ones, in which the best must not have improved."""
FEWEST_PEAKS = 5
FEWEST_VALUES = 2
"""Different ones among the best ten."""
PEAK_SHARE = 0.25
MOST_PEAKS = 20
N_BEST_CURVES = 5
TAIL = 6
"""Epochs up to the best one that tell the jitter of a curve."""
PRIOR = 20
GRID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a search may end."""

    n_finished: int
    n_next: int
    gain: float
    noise: float
    is_of_seeds: bool
    """The noise is that of seeds; else of epochs."""

    def text(self, n_trials: int | None) -> str:
        of = f" of {n_trials}" if n_trials is not None else ""
        whose = "a seed" if self.is_of_seeds else "an epoch"
        return (
            f"stopped after {self.n_finished}{of} trials: the next {self.n_next} are expected to gain {self.gain:.2g}, "
            f"the noise of {whose} is {self.noise:.2g}"
        )


@dataclass(slots=True, kw_only=True)
class StoppingRule:
    """Follows the finished trials of a study; `limit` is the best value that there can be, None for no limit."""

    maximize: bool
    limit: float | None = None
    seed_noise: float | None = None
    """The standard deviation over seeds, where it is known."""
    _values: list[float] = field(default_factory=list)
    """Of the finished trials in their order, smaller is better; inf for those that are not complete."""
    _jitter: list[tuple[float, float]] = field(default_factory=list)
    """Value and jitter of the complete trials."""

    def finished(self, value: float | None, curve: Mapping[int, float]) -> None:
        """A trial is over: its value, None when it is not complete, and its curve by epoch."""
        if value is None:
            self._values.append(math.inf)
            return
        signed = -value if self.maximize else value
        self._values.append(signed)
        self._jitter.append((signed, jitter(curve, maximize=self.maximize)))

    def verdict(self, n_left: float, n_paused: int = 0) -> Verdict | None:
        """Why `n_left` trials more are not worth it; None when they are, or when too little is known.

        Paused trials were not good enough to be complete: they count as finished ones without a value.
        """
        n_finished = len(self._values) + n_paused
        noise = self.seed_noise if self.seed_noise is not None else self._noise_of_epochs()
        if n_finished < FEWEST_TRIALS or n_left < 1 or noise is None:
            return None
        n_next = int(min(n_left, n_finished))
        gain = self.expected_gain(n_next, n_paused)
        if gain is None or max(gain, self._gained_of_late()) > noise:
            return None
        return Verdict(
            n_finished=n_finished,
            n_next=n_next,
            gain=gain,
            noise=noise,
            is_of_seeds=self.seed_noise is not None,
        )

    def expected_gain(self, n_next: int, n_paused: int = 0) -> float | None:
        """How much better than the best the best of so many more trials is expected to be; None for unknown."""
        best = min(self._values, default=math.inf)
        if not math.isfinite(best):
            return None
        room = math.inf
        if self.limit is not None:
            room = max(0.0, best - (-self.limit if self.maximize else self.limit))
        recent = self._values[len(self._values) // 2 :]
        halves = ((self._values, n_paused), (recent, n_paused // 2))
        gains = [_gain([*values, *[math.inf] * n_more], best, n_next, room) for values, n_more in halves]
        return None if gains[0] is None else max(gain for gain in gains if gain is not None)

    def _gained_of_late(self) -> float:
        """How much the best improved over the last stretch: a sampler that has just taken off is not done."""
        stretch = max(FEWEST_TRIALS, round(STRETCH * len(self._values)))
        before, now = min(self._values[:-stretch], default=math.inf), min(self._values)
        return before - now if math.isfinite(now) else math.inf

    def _noise_of_epochs(self) -> float | None:
        best = [noise for _, noise in sorted(self._jitter)[:N_BEST_CURVES]]
        return statistics.median(best) if len(best) == N_BEST_CURVES else None


def _gain(values: Sequence[float], best: float, n_next: int, room: float) -> float | None:
    """The expected gain of `n_next` draws from the tail of some values: peaks below the first value that is none."""
    ordered = sorted(values)
    if len({value for value in ordered[: 2 * FEWEST_PEAKS] if math.isfinite(value)}) < FEWEST_VALUES and room > 0.0:
        return None  # trials that do not learn are all alike, and tell nothing of a tail
    n_peaks = min(MOST_PEAKS, max(FEWEST_PEAKS, round(PEAK_SHARE * len(values))))
    if len(ordered) <= n_peaks or not math.isfinite(ordered[n_peaks - 1]):
        return None
    threshold = ordered[n_peaks] if math.isfinite(ordered[n_peaks]) else ordered[n_peaks - 1]
    tail = Tail.of([threshold - value for value in ordered[:n_peaks]])
    if tail is None:
        return 0.0
    to_best = threshold - best
    share = n_peaks / len(values)
    far = min(room, tail.reach - to_best, tail.scale * (math.log1p(n_next * share) + 8.0))
    step = far / GRID
    beaten = (1.0 - (1.0 - share * tail.beyond(to_best + (index + 0.5) * step)) ** n_next for index in range(GRID))
    return max(0.0, step) * sum(beaten)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A generalised Pareto distribution of excesses, whose end is where the objective cannot get any better."""

    scale: float
    shape: float
    """0 for an exponential tail without an end, -1 for a uniform one."""

    @classmethod
    def of(cls, excesses: Sequence[float]) -> Tail | None:
        """From mean and variance, the shape drawn to 0 as by twenty more excesses; None when all are 0."""
        mean, variance = statistics.fmean(excesses), statistics.pvariance(excesses)
        if mean <= 0.0:
            return None
        shape = 0.5 * (1.0 - mean * mean / variance) if variance > 0.0 else -1.0
        shape = min(0.0, max(-1.0, shape)) * len(excesses) / (len(excesses) + PRIOR)
        return cls(scale=mean * (1.0 - shape), shape=shape)

    @property
    def reach(self) -> float:
        """The largest excess that there can be."""
        return math.inf if self.shape == 0.0 else self.scale / -self.shape

    def beyond(self, excess: float) -> float:
        """The probability of a larger excess."""
        if self.shape == 0.0:
            return math.exp(-excess / self.scale)
        left: float = max(0.0, 1.0 + self.shape * excess / self.scale) ** (-1.0 / self.shape)
        return left


def jitter(curve: Mapping[int, float], *, maximize: bool) -> float:
    """The standard deviation of an epoch's value around the course of its curve, near the best epoch; 0 for unknown.

    Second differences: a course that goes down evenly has no jitter. For independent noise their variance is six times
    that of a value.
    """
    if not curve:
        return 0.0
    best = (max if maximize else min)(curve, key=lambda epoch: curve[epoch])
    last = max(curve)
    epochs = range(max(1, best - TAIL + 1), min(last, best + TAIL // 2) + 1)
    values = [curve[epoch] for epoch in epochs if epoch in curve and math.isfinite(curve[epoch])]
    bends = [after - 2.0 * here + before for before, here, after in zip(values, values[1:], values[2:], strict=False)]
    return math.sqrt(statistics.fmean(bend * bend for bend in bends) / 6.0) if bends else 0.0
