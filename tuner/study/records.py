"""Trials as they are asked for and as they are read back, for layers that do not know Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.control.controller import TrialState
from tuner.space.parameters import Choices, Domain, FloatRange, Params


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTrial:
    """A new trial: what Optuna's tables have to hold of it."""

    number: int
    params: Params
    distributions: Mapping[str, BaseDistribution]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    """The sampler's own notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """A trial as Optuna's tables hold it."""

    number: int
    state: TrialState
    """RUNNING for all that is not over."""
    value: float | None
    params: Params
    distributions: Mapping[str, BaseDistribution]
    curve: Mapping[int, float]
    """The objective by epoch, as far as it was finite."""
    best_epoch: int
    system_attrs: Mapping[str, Any]
    reason: str = ""
    """Why it ended as it did, where there is more to say than the state."""

    @property
    def is_finished(self) -> bool:
        return self.state is not TrialState.RUNNING


def distribution_of(domain: Domain) -> BaseDistribution:
    """Optuna's name for a domain."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.labels)
    if isinstance(domain, FloatRange):
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
