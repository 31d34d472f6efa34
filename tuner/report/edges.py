"""Ranges that the best trials lean against: there may be better ones beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuner.config.bind import UnplaceableError, section_data
from tuner.config.schema import Section
from tuner.config.sections import class_of, kind_in, validate
from tuner.config.spec import Spec
from tuner.report.facts import Facts
from tuner.space.parameters import Choices, FloatRange, IntRange, Scalar
from tuner.study.rows import TrialRow

WINNER_NEAR, OTHERS_NEAR = 0.05, 0.15
"""How near to an end of the range, as a share of it: the winner, and the best that go with it."""
N_BEST, FEWEST = 5, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A parameter whose best value is at an end of its range."""

    name: str
    side: Literal["low", "high"]
    value: Scalar
    bound: float
    n_near: int
    """Of the best trials, those that are near to the same end."""
    n_best: int
    can_widen: bool
    """Whether the config takes values beyond it."""

    @property
    def is_to_widen(self) -> bool:
        """One trial at an end may be chance; most of the best are not."""
        return self.can_widen and self.n_best >= FEWEST and 2 * self.n_near > self.n_best


def edges_of(facts: Facts) -> list[Edge]:
    """The parameters that are at an end of their range in the winner, in the order of the space."""
    winner = facts.winner
    if winner is None:
        return []
    best = _best_trials(facts)
    found = (
        _edge(facts.spec, winner, parameter.name, parameter.domain, best) for parameter in facts.spec.space.parameters
    )
    return [edge for edge in found if edge is not None]


def _best_trials(facts: Facts) -> list[TrialRow]:
    """The best of all trials, by what they reached; of several objectives those of the front."""
    if facts.is_multi:
        return [trial for trial in facts.trials if trial.is_on_front]
    reached = {trial.number: value for trial in facts.trials if (value := facts.reached(trial.number)) is not None}
    order = sorted(reached, key=lambda number: facts.sign * reached[number])
    return [facts.by_number[number] for number in order[:N_BEST]]


def _edge(spec: Spec, winner: TrialRow, name: str, domain: object, best: list[TrialRow]) -> Edge | None:
    value = winner.params.get(name)
    if isinstance(domain, Choices) or not isinstance(domain, (FloatRange, IntRange)):
        return None
    if domain.high <= domain.low or not isinstance(value, (int, float)):
        return None
    place = _place(domain, value)
    side: Literal["low", "high"] = "low" if place < 0.5 else "high"  # noqa: PLR2004
    if _distance(place, side) > WINNER_NEAR:
        return None
    there = [_place(domain, other) for trial in best if isinstance(other := trial.params.get(name), (int, float))]
    bound = domain.low if side == "low" else domain.high
    return Edge(
        name=name,
        side=side,
        value=value,
        bound=bound,
        n_near=sum(_distance(place, side) <= OTHERS_NEAR for place in there),
        n_best=len(there),
        can_widen=_takes(spec, winner.params, name, _beyond(domain, side)),
    )


def _place(domain: FloatRange | IntRange, value: float) -> float:
    if domain.log:
        return math.log(value / domain.low) / math.log(domain.high / domain.low)
    return (value - domain.low) / (domain.high - domain.low)


def _distance(place: float, side: Literal["low", "high"]) -> float:
    return place if side == "low" else 1.0 - place


def _beyond(domain: FloatRange | IntRange, side: Literal["low", "high"]) -> float:
    """A value a little outside of the range."""
    sign = -1 if side == "low" else 1
    bound = domain.low if side == "low" else domain.high
    if isinstance(domain, IntRange):
        return bound + sign * max(1, domain.step)
    if domain.log:
        return bound * 1.5**sign
    return bound + sign * (domain.step or 0.1 * (domain.high - domain.low))


def _takes(spec: Spec, params: Mapping[str, Scalar], name: str, value: float) -> bool:
    """Whether a config with this value would be valid; True for layers, of which each is like the others."""
    section, _, rest = name.partition(".")
    if rest.rpartition(".")[2].isdecimal():
        return value > 0
    kind = {f"{section}.kind": params[f"{section}.kind"]} if f"{section}.kind" in params else {}
    base: Mapping[str, Any] = spec.document.get(section) or {}
    try:
        data = section_data(section, base, {**kind, name: value})
        return isinstance(validate(class_of(section, kind_in(section, data)), data), Section)
    except (UnplaceableError, KeyError):
        return False
