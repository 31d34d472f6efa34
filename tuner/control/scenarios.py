"""What trials take and how their curves may go: measured beginnings that are gone on with, or curves that are made up.

What is not known is drawn as a scenario: see `tuner.control.rehearsal`, which plays them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_UNLED = 10
"""Trials before a sampler can lean to any side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a trial of some config takes."""

    epochs: int
    setup_s: float = 0.0
    epoch_s: float = 0.0
    patience: int | None = None
    curve: tuple[float, ...] = ()
    """Values of its first epochs, smaller is better; empty where they are not known."""
    is_over: bool = False
    """It stopped early by itself within that curve, so that it trains no more epochs than these."""
    is_infeasible: bool = False

    @property
    def full_s(self) -> float:
        return self.setup_s + self.epochs * self.epoch_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How learning goes."""

    settles: float
    """Share of its epochs after which a curve is most of the way down."""
    noise: float
    """Jitter from epoch to epoch, in standard deviations of the final values."""
    head_start: float
    """How far trials are apart at the beginning for reasons that do not last, in the same unit."""
    gain: float
    """How much better the sampler gets, in the same unit, for every e-fold of trials."""
    lean: float
    """To trials that take longer (above 0) or shorter, where curves are made up."""
    focus: float
    """How strongly the sampler prefers what did well, where curves were measured; 0 for not at all."""
    goes_on: float
    """Where curves were measured: what the next such stretch improves, relative to the last."""
    length: float
    """How far the sampler goes towards the most epochs that there are: longer trials mostly end better."""
    speed: float
    """Of everything, relative to what was measured."""

    @classmethod
    def drawn(cls, random: np.random.Generator, busy: float = 0.0) -> Scenario:
        """`busy` is the share of their time that the measurements waited for others: later it can be less or more."""
        return cls(
            settles=math.exp(random.uniform(math.log(0.03), math.log(0.6))),
            noise=math.exp(random.uniform(math.log(0.02), math.log(0.6))),
            head_start=random.uniform(0.2, 3.0),
            gain=random.uniform(0.0, 1.5),
            lean=random.normal(0.0, 0.4),
            focus=random.uniform(1.0, 6.0),
            goes_on=random.uniform(0.2, 0.8),
            length=random.uniform(0.0, 1.0),
            speed=math.exp(random.normal(0.0, 0.16)) * random.uniform(1.0 - 0.7 * busy, 1.0 + 0.3 * busy),
        )


def spread_of(costs: Sequence[Cost]) -> float:
    """The deviation of the better half of the measured ends; 0 where there are none."""
    ends = sorted(min(cost.curve) for cost in costs if cost.curve and all(map(math.isfinite, cost.curve)))
    return float(np.std(ends[: max(2, (len(ends) + 1) // 2)])) if ends else 0.0


def tells_enough(cost: Cost) -> bool:
    """Whether what was measured of a curve says how it goes on."""
    return cost.is_over or len(cost.curve) >= max(3.0, cost.epochs / 4) or not all(map(math.isfinite, cost.curve))


def weights_of(
    costs: Sequence[Cost], drawn: Sequence[int], scenario: Scenario, *, is_measured: bool
) -> NDArray[np.float64]:
    """How often each cost comes: as often as it was drawn, with the preference of the sampler."""
    preference = _by_value(costs, scenario.focus) if is_measured else _by_time(costs, scenario.lean)
    weights: NDArray[np.float64] = np.bincount(drawn, minlength=len(costs)).astype(np.float64)
    weights *= np.exp(preference)
    weights /= weights.sum()
    return weights


def _by_value(costs: Sequence[Cost], focus: float) -> NDArray[np.float64]:
    ends = [min((value for value in cost.curve if math.isfinite(value)), default=math.inf) for cost in costs]
    order = sorted(range(len(costs)), key=lambda index: ends[index])
    preference: NDArray[np.float64] = np.zeros(len(costs))
    preference[order] = np.linspace(0.0, -focus, len(costs))
    return preference


def _by_time(costs: Sequence[Cost], lean: float) -> NDArray[np.float64]:
    logs = np.log([max(cost.full_s, 1e-6) for cost in costs])
    centred = (logs - logs.mean()) / (float(logs.std()) or 1.0)
    preference: NDArray[np.float64] = lean * np.clip(centred, -2.0, 2.0).astype(np.float64)
    return preference


def made_up(trial: int, epochs: int, scenario: Scenario, random: np.random.Generator) -> list[float]:
    """Values after each epoch, smaller is better."""
    end = random.normal() - scenario.gain * math.log1p(max(0, trial - N_UNLED) / N_UNLED)
    start = scenario.head_start * abs(random.normal()) + 1.0
    at = np.arange(1, epochs + 1) / max(1.0, scenario.settles * epochs)
    values: list[float] = (end + start * np.exp(-at) + scenario.noise * random.normal(size=epochs)).tolist()
    return values


def continued(cost: Cost, scenario: Scenario, random: np.random.Generator) -> list[float]:
    """A measured curve with other jitter, gone on with: each stretch as long as its second half improves by less."""
    known = np.array(cost.curve[: cost.epochs])
    n = len(known)
    half = n // 2
    drop = max(0.0, float(known[:half].min(initial=known[0]) - known[half:].min())) if n > 1 else 0.0
    stretches = np.arange(1, cost.epochs - n + 1) / max(1, n - half)
    rest = known[-1] - drop * scenario.goes_on * (1.0 - scenario.goes_on**stretches) / (1.0 - scenario.goes_on)
    jitter = float(np.std(np.diff(known[half:]))) / math.sqrt(2.0) if n - half > 1 else 0.0
    values: list[float] = (np.concatenate([known, rest]) + jitter * random.normal(size=cost.epochs)).tolist()
    return values
