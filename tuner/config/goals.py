"""What a search wants: its objectives, and the constraints that a winner has to meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner.config.constraints import value_at
from tuner.config.expressions import Constraint
from tuner.config.metrics import COSTS, recorded_as
from tuner.config.recorded import Recorded
from tuner.config.schema import Objective, TrialConfig

Metrics = Mapping[str, float | None]
"""What is known of a trial, by the names of its curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """Objectives in the order of the file, each with its direction, and constraints."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    recorded: Recorded = field(default_factory=Recorded)
    is_enforced: bool = True
    """Whether a trial that breaks a constraint is refused; else what they name is only recorded."""

    @property
    def lead(self) -> Objective:
        """The first objective that is a metric: it tells a trial's best epoch, and when to stop early."""
        return next(objective for objective in self.objectives if objective.metric not in COSTS)

    @property
    def are_several(self) -> bool:
        return len(self.objectives) > 1

    @property
    def keys(self) -> tuple[str, ...]:
        """The objectives by the names of the curve."""
        return tuple(recorded_as(objective.metric) for objective in self.objectives)

    @property
    def maximize(self) -> tuple[bool, ...]:
        return tuple(objective.direction == "maximize" for objective in self.objectives)

    @property
    def signs(self) -> tuple[float, ...]:
        """What makes each objective one that is minimised."""
        return tuple(-1.0 if maximize else 1.0 for maximize in self.maximize)

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics of the validation part that objectives and constraints need, without their split."""
        return frozenset(name.removeprefix("val/") for name in self._names if "." not in name) - set(COSTS)

    @property
    def costs(self) -> frozenset[str]:
        """The costs that they need."""
        return frozenset(self._names) & set(COSTS)

    @property
    def _names(self) -> set[str]:
        named = {name.name for constraint in self.constraints for name in constraint.names}
        return {objective.metric for objective in self.objectives} | named

    def vector(self, metrics: Metrics) -> tuple[float, ...]:
        """The values of several objectives after an epoch; empty for one, whose value says all."""
        values = [metrics[key] for key in self.keys] if self.are_several else []
        return tuple(math.nan if value is None else value for value in values)

    def excesses(self, config: TrialConfig, metrics: Metrics, *, final: bool) -> dict[str, float]:
        """By how much each constraint is missed (0 or less: it holds), as far as that can be told.

        Before the end only what later epochs cannot change counts: constraints of params and costs.
        """
        judged = [item for item in self.constraints if final or not _has_metric(item)]
        found = {item.text: item.excess(lambda name: _value(name, config, metrics)) for item in judged}
        return {text: excess for text, excess in found.items() if excess is not None}

    def broken(self, config: TrialConfig, metrics: Metrics, *, final: bool = False) -> str:
        """What is wrong with a trial, for people; empty while nothing is. `final` as in `excesses`."""
        if not self.is_enforced:
            return ""
        excesses = self.excesses(config, metrics, final=final)
        missed = [item for item in self.constraints if excesses.get(item.text, 0.0) > 0.0]
        return "; ".join(_described(item, config, metrics) for item in missed)


def _is_metric(name: str) -> bool:
    return "." not in name and name not in COSTS


def _has_metric(constraint: Constraint) -> bool:
    return any(_is_metric(name.name) for name in constraint.names)


def _value(name: str, config: TrialConfig, metrics: Metrics) -> float | None:
    if "." in name:
        return value_at(config, name)
    key = recorded_as(name.removeprefix("val/"))
    if key not in metrics:
        return None
    value = metrics[key]
    return math.nan if value is None else value  # measured, and not finite


def _described(constraint: Constraint, config: TrialConfig, metrics: Metrics) -> str:
    values = [(name.name, _value(name.name, config, metrics)) for name in constraint.names]
    known = ", ".join(f"{name} is {value:.6g}" for name, value in values if value is not None)
    return f"constraint {constraint.text!r} is not met: {known}"
