"""Exhaustive search: every combination of a space once, conditions included, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tuner.space.parameters import Choices, Domain, FloatRange, IntRange, Params, Scalar, Space


def points(domain: Domain, n_points: int | None) -> tuple[Scalar, ...]:
    """The values of a domain on the grid; a range without a step gets `n_points`, evenly (log: in the logarithm)."""
    if isinstance(domain, Choices):
        return domain.labels
    if isinstance(domain, IntRange):
        return _integers(domain, n_points)
    return _floats(domain, n_points)


def _integers(domain: IntRange, n_points: int | None) -> tuple[int, ...]:
    values = range(domain.low, domain.high + 1, domain.step)
    if domain.step > 1 or n_points is None or len(values) <= n_points:
        return tuple(values)
    return tuple(sorted({round(value) for value in _spread(domain.low, domain.high, n_points, log=domain.log)}))


def _floats(domain: FloatRange, n_points: int | None) -> tuple[float, ...]:
    if domain.step is not None:
        # In decimal, as the file has them: 0.1 + 2 * 0.1 is 0.3.
        low, step = Decimal(str(domain.low)), Decimal(str(domain.step))
        count = round((domain.high - domain.low) / domain.step)
        return tuple(min(domain.high, float(low + i * step)) for i in range(count + 1))
    if n_points is None:
        raise ValueError("a range without a step needs n_points")
    return tuple(_spread(domain.low, domain.high, n_points, log=domain.log))


def _spread(low: float, high: float, n_points: int, *, log: bool) -> Iterator[float]:
    yield low
    for i in range(1, n_points - 1):
        share = i / (n_points - 1)
        yield low ** (1 - share) * high**share if log else low + (high - low) * share
    yield high


def combinations(space: Space, n_points: int | None) -> Iterator[Params]:
    """All params of a space, lazily; the last parameter varies fastest."""
    return _extend(space, n_points, 0, {})


def _extend(space: Space, n_points: int | None, index: int, params: dict[str, Scalar]) -> Iterator[Params]:
    if index == len(space.parameters):
        yield dict(params)
        return
    parameter = space.parameters[index]
    if not parameter.is_active(params):
        yield from _extend(space, n_points, index + 1, params)
        return
    for value in points(parameter.domain, n_points):
        yield from _extend(space, n_points, index + 1, {**params, parameter.name: value})
