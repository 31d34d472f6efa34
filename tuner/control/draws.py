"""Points of a space without any history: drawn from the prior, and at its corners."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tuner.control.axes import CellAxis, axis_of
from tuner.space.parameters import Choices, Domain, Parameter, Params, Scalar, Space


def random_params(space: Space, random: np.random.Generator) -> dict[str, Scalar]:
    """Params as a sampler without history draws them."""
    return walk(space, lambda parameter: _drawn(parameter.domain, random))


def corners(space: Space, matters: Callable[[str], bool]) -> Iterator[dict[str, Scalar]]:
    """The ends of the space: all high, all low, then each parameter that matters at its other ends, the rest high.

    Conditions decide which parameters exist in a corner. For choices high is the first and low the last; the corners
    of a parameter of many choices are all of them.
    """
    yield walk(space, lambda parameter: ends(parameter.domain)[0])
    yield walk(space, lambda parameter: ends(parameter.domain)[-1])
    for varied in space.parameters:
        if not matters(varied.name):
            continue
        for end in ends(varied.domain)[1:]:
            yield _corner(space, varied, end)


def _corner(space: Space, varied: Parameter, end: Scalar) -> dict[str, Scalar]:
    return walk(space, lambda parameter: end if parameter is varied else ends(parameter.domain)[0])


def walk(space: Space, value_of: Callable[[Parameter], Scalar]) -> dict[str, Scalar]:
    """Params whose conditions hold, each with the value that `value_of` gives it."""
    params: dict[str, Scalar] = {}
    for parameter in space.parameters:
        if parameter.is_active(params):
            params[parameter.name] = value_of(parameter)
    return params


def _drawn(domain: Domain, random: np.random.Generator) -> Scalar:
    axis = axis_of(domain)
    if isinstance(axis, CellAxis):
        return axis.decode(float(random.choice(axis.n_cells, p=axis.prior / axis.prior.sum())))
    return axis.decode(float(random.uniform()))


def ends(domain: Domain) -> tuple[Scalar, ...]:
    """High and low of a range; all choices, of which the first counts as high and the last as low."""
    return domain.labels if isinstance(domain, Choices) else (domain.high, domain.low)


def distinct(points: Iterator[Params], n_most: int) -> list[Params]:
    """The first points that differ, at most so many."""
    found: dict[frozenset[tuple[str, Scalar]], Params] = {}
    for params in points:
        if len(found) >= n_most:
            break
        found.setdefault(frozenset(params.items()), params)
    return list(found.values())
