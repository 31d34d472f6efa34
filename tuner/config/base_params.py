"""The base config as params of its space: where a search begins."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tuner.space.parameters import Choices, FloatRange, IntRange, Parameter, Scalar, Space, label_of


def base_params(space: Space, base: BaseModel) -> dict[str, Scalar]:
    """The params whose trial is the base config, as far as the space allows it.

    A number outside of its range counts as the nearest one inside; a value that is no choice, or that the base config
    does not have, as the first choice or the middle of the range.
    """
    params: dict[str, Scalar] = {}
    for parameter in space.parameters:
        if parameter.is_active(params):
            params[parameter.name] = base_value(parameter, base)
    return params


def base_value(parameter: Parameter, base: BaseModel) -> Scalar:
    """The base config's value of one parameter, as `base_params` has it."""
    return _value(parameter, _find(base, parameter.name))


_ABSENT = object()


def _find(base: BaseModel, path: str) -> Any:
    found: Any = base
    for part in path.split("."):
        if part.isdecimal():
            if isinstance(found, (tuple, list)):
                found = found[int(part)] if int(part) < len(found) else _ABSENT
            continue  # one value for all layers
        if isinstance(found, BaseModel) and part in type(found).model_fields:
            found = getattr(found, part)
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return _ABSENT
    return found


def _value(parameter: Parameter, found: Any) -> Scalar:
    domain = parameter.domain
    if isinstance(domain, Choices):
        plain = (
            list(found) if isinstance(found, tuple) else found.model_dump() if isinstance(found, BaseModel) else found
        )
        known = plain is not _ABSENT and label_of(plain) in domain.labels
        return label_of(domain.value_of(label_of(plain))) if known else domain.labels[0]
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return nearest(domain, float(found)) if is_number else nearest(domain, _middle(domain))


def _middle(domain: FloatRange | IntRange) -> float:
    return (domain.low * domain.high) ** 0.5 if domain.log else (domain.low + domain.high) / 2


def nearest(domain: FloatRange | IntRange, value: float) -> Scalar:
    """The value of a range that is next to this one."""
    inside = min(domain.high, max(domain.low, value))
    if domain.step is None:
        return float(inside)
    n_steps = round((inside - domain.low) / domain.step)
    if isinstance(domain, IntRange):
        return domain.low + min(n_steps, (domain.high - domain.low) // domain.step) * domain.step
    return min(domain.high, float(Decimal(str(domain.low)) + n_steps * Decimal(str(domain.step))))
