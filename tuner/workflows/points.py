"""Points of a space at which it is tried before it is searched: with each kind that can be chosen, and its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuner.config.base_params import base_value
from tuner.config.spec import Spec
from tuner.control.draws import ends, random_params, walk
from tuner.errors import ConfigError
from tuner.seeding import derive
from tuner.space.parameters import Choices, Parameter, Params, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind that a section can have."""

    parameter: str
    """`model.kind`."""
    label: Scalar

    def __str__(self) -> str:
        return f"{self.parameter}: {self.label}"

    def is_in(self, params: Params) -> bool:
        return self.parameter in params and params[self.parameter] == self.label


def kinds_of(spec: Spec, parameters: tuple[str, ...] | None = None) -> list[Kind]:
    """The kinds that the space chooses among, those of all sections or of these parameters."""
    return [
        Kind(parameter=parameter.name, label=label)
        for parameter in spec.space.parameters
        if isinstance(parameter.domain, Choices) and parameter.name.endswith(".kind")
        if parameters is None or parameter.name in parameters
        for label in parameter.domain.labels
    ]


def near_base(spec: Spec, kind: Kind) -> Params | None:
    """The base config as params, with this kind; None where the other values do not let it be."""
    return _with(spec, kind, lambda parameter: base_value(parameter, spec.base))


def at_ends(spec: Spec, kind: Kind) -> list[Params]:
    """All other parameters high, and all low, with this kind."""
    high = _with(spec, kind, lambda parameter: ends(parameter.domain)[0])
    low = _with(spec, kind, lambda parameter: ends(parameter.domain)[-1])
    return [point for point in (high, low) if point is not None]


def _with(spec: Spec, kind: Kind, value_of: Callable[[Parameter], Scalar]) -> Params | None:
    params = walk(spec.space, lambda parameter: kind.label if parameter.name == kind.parameter else value_of(parameter))
    return params if kind.parameter in params else None


# ------------------------------------------------------------------------------------------------------- what fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Of random points, how many have values that do not go together, and how many break a constraint on them."""

    n_drawn: int
    n_misfits: int
    n_broken: int
    example: str
    """What is said most often of values that do not go together; empty when all do."""

    @property
    def share(self) -> float:
        """Of the space, what cannot be trained whatever the data is."""
        return (self.n_misfits + self.n_broken) / self.n_drawn


def fit_of(spec: Spec, n_points: int) -> Fit:
    """Bind random points of the space; nothing is built or trained."""
    n_points = n_points if spec.space.parameters else 1  # all are the base config
    random = np.random.default_rng(derive(spec.seed, "plan", "bind"))
    said: Counter[str] = Counter()
    n_broken = 0
    for _ in range(n_points):
        try:
            n_broken += bool(spec.goals.broken(spec.bind(random_params(spec.space, random)), {}))
        except ConfigError as error:  # a combination that trials would be refused with
            said[str(error)] += 1
    example = said.most_common(1)[0][0] if said else ""
    return Fit(n_drawn=n_points, n_misfits=said.total(), n_broken=n_broken, example=example)
