"""What a search varies: parameters, their domains and the conditions under which they exist.

A parameter's name is its dotted path in the config (`optimizer.lr`, `model.width.0`); there is no other name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Scalar = None | bool | int | float | str
"""A value that Optuna's tables can hold."""

Params = Mapping[str, Scalar]
"""Sampled values by dotted name; labels for choices that are no scalars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """A closed interval of real numbers; with `step`, the grid low, low + step, ..., high."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """A closed interval of integers; with `step`, the grid low, low + step, ..., high."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A finite set of values, any JSON value each; samplers see the labels."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Scalar, ...]:
        """The values as scalars: themselves, or their JSON text for lists and mappings."""
        return tuple(label_of(value) for value in self.values)

    def value_of(self, label: Scalar) -> Any:
        for value in self.values:
            own = label_of(value)
            if type(own) is type(label) and own == label:
                return value
        for value in self.values:  # a float choice stored as 1.0 may come back as the int 1
            if label_of(value) == label:
                return value
        raise KeyError(label)


def label_of(value: Any) -> Scalar:
    """The scalar that stands for a choice in Optuna's tables."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return json.dumps(value)


Domain = FloatRange | IntRange | Choices


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Holds when the parent is active and its value is one of `labels`."""

    parent: str
    labels: tuple[Scalar, ...]

    def holds(self, params: Params) -> bool:
        return self.parent in params and params[self.parent] in self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreThan:
    """Holds when the parent is active and above `bound`; made by `each:`, for the layer of index `bound`."""

    parent: str
    bound: int

    def holds(self, params: Params) -> bool:
        value = params.get(self.parent)
        return isinstance(value, (int, float)) and value > self.bound


Condition = AnyOf | MoreThan


Confidence = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Where its user expects the best value of a parameter: `prior: {center: 1e-3, confidence: medium}`."""

    center: Scalar
    confidence: Confidence = "medium"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One searched value; it exists in a trial when all of its conditions hold."""

    name: str
    domain: Domain
    conditions: tuple[Condition, ...] = ()
    belief: Belief | None = None

    def is_active(self, params: Params) -> bool:
        return all(condition.holds(params) for condition in self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Parameters in an order in which every parent comes before its children."""

    parameters: tuple[Parameter, ...]

    @property
    def is_conditional(self) -> bool:
        return any(parameter.conditions for parameter in self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)
