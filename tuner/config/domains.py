"""One entry of `space:` -> domain: a list of choices, or a range of the numbers that its field takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tuner.config.fields import FieldType, NumberType
from tuner.config.messages import Problems, unknown_key
from tuner.space.document import Located, show
from tuner.space.parameters import Choices, Domain, FloatRange, IntRange, Scalar, label_of

RANGE_KEYS = ("low", "high", "log", "step", "type")
ENTRY_KEYS = ("choices", *RANGE_KEYS, "when", "each", "prior")
_INSTEAD = "; a value that does not vary belongs in the base config"
_FEWEST_CHOICES = 2
MAX_CHOICES = 1000
"""Choices of one entry: of more than that, a sampler learns nothing."""
_TOLERANCE = 1e-9
"""Relative; 0.6 / 0.05 is 11.999999999999998."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the config says about the place that a parameter goes to."""

    number_type: NumberType | None
    expected: str
    """What one value has to be, in words."""
    is_free: bool = False
    """Whether it takes anything at all."""

    @classmethod
    def of(cls, fields: list[FieldType], *, per_layer: bool) -> Target:
        """From the field's type under every kind that the parameter can be active with."""
        if per_layer:
            fields = [field.descend("0") or field for field in fields]
        numbers = {field.number_type for field in fields}
        number: NumberType | None = "float" if "float" in numbers else "int" if "int" in numbers else "any"
        is_free = all(field.annotation is Any for field in fields)
        number = None if None in numbers else number
        return cls(number_type=number, expected=fields[0].expected(), is_free=is_free)


def read_domain(name: str, node: Located, target: Target, problems: Problems) -> Domain | None:
    """The domain of an entry; None after a problem."""
    path, before = f"space.{name}", len(problems)
    if isinstance(node.value, tuple):
        return _read_choices(path, node, problems)
    if not isinstance(node.value, dict):
        problems.add(node, path, f"expected a list of choices, or {{low, high}}, got {show(node.value)}{_INSTEAD}")
        return None
    for key, value in node.items.items():
        if key not in ENTRY_KEYS:
            problems.add(value, f"{path}.{key}", unknown_key(key, ENTRY_KEYS), at_key=True)
    if "choices" in node.items:
        domain: Domain | None = _read_choices_mapping(path, node, problems)
    else:
        domain = _read_range(path, node, target, problems)
    return domain if len(problems) == before else None


def values_of(node: Located, domain: Domain) -> Iterator[tuple[str, Located]]:
    """The low and the high, or every choice, each with what to call it in a message."""
    if not isinstance(domain, Choices):
        yield from ((key, node.items[key]) for key in ("low", "high"))
        return
    choices = node if isinstance(node.value, tuple) else node.items["choices"]
    assert isinstance(choices.value, tuple)
    yield from (("", item) for item in choices.value)


def _read_choices_mapping(path: str, node: Located, problems: Problems) -> Choices | None:
    for key in RANGE_KEYS:
        if key in node.items:
            problems.add(node.items[key], f"{path}.{key}", "does not go with choices", at_key=True)
    return _read_choices(path, node.items["choices"], problems)


def _read_choices(path: str, node: Located, problems: Problems) -> Choices | None:
    if not isinstance(node.value, tuple):
        problems.add(node, path, f"choices: expected a list, got {show(node.plain())}")
        return None
    if len(node.value) < _FEWEST_CHOICES:
        what = "no choice" if not node.value else f"a single choice ({show(node.value[0].plain())})"
        problems.add(node, path, f"{what}; give at least two{_INSTEAD}")
        return None
    if len(node.value) > MAX_CHOICES:
        problems.add(node, path, f"{len(node.value)} choices; at most {MAX_CHOICES}, or a range")
        return None
    before = len(problems)
    seen: set[Scalar] = set()
    for item in node.value:
        label = label_of(item.plain())
        if isinstance(label, float) and not math.isfinite(label):
            problems.add(item, path, f"choice {label} is not finite")
        elif label in seen:
            problems.add(item, path, f"choice {show(item.plain())} is there twice (1, 1.0 and true count as equal)")
        seen.add(label)
    return Choices(values=tuple(item.plain() for item in node.value)) if len(problems) == before else None


def _read_range(path: str, node: Located, target: Target, problems: Problems) -> Domain | None:
    if not {"low", "high"} & set(node.items):
        problems.add(node, path, "expected low and high, or choices")
        return None
    if target.number_type is None:
        problems.add(node, path, f"takes {target.expected}, not a range of numbers; give choices")
        return None
    for key in ("low", "high"):
        if key not in node.items:
            problems.add(node, path, f"{key} is missing")
    number = _number_type(path, node, target, problems)
    numbers = {key: _read_number(path, node.items[key], key, number, target, problems) for key in _numeric_keys(node)}
    log = _read_log(path, node, problems)
    low, high, step = numbers.get("low"), numbers.get("high"), numbers.get("step")
    if low is None or high is None or not _is_ordered(path, node, low, high, problems):
        return None
    _check_log(path, node, low, step, log=log, problems=problems)
    if step is not None:
        _check_step(path, node, (low, high), step, problems)
    if number == "int":
        return IntRange(low=int(low), high=int(high), log=log, step=int(step or 1))
    return FloatRange(low=float(low), high=float(high), log=log, step=None if step is None else float(step))


def _numeric_keys(node: Located) -> list[str]:
    has_step = "step" in node.items and node.items["step"].value is not None
    return [key for key in ("low", "high", "step") if key in node.items and (key != "step" or has_step)]


def _number_type(path: str, node: Located, target: Target, problems: Problems) -> NumberType:
    """`int` or `float`: the field's, else the entry's own `type`, else that of the bounds."""
    own = node.items.get("type")
    if own is not None and own.value not in ("int", "float"):
        problems.add(own, f"{path}.type", f"expected int or float, got {show(own.plain())}")
        own = None
    if target.number_type in ("int", "float"):
        if own is not None and own.value != target.number_type:
            problems.add(own, f"{path}.type", f"{own.value} does not fit: {path[6:]} takes {target.expected}")
        return target.number_type
    if own is not None:
        return "int" if own.value == "int" else "float"
    bounds = [node.items[key].value for key in _numeric_keys(node)]
    return "int" if all(isinstance(value, int) for value in bounds) else "float"


def _read_number(
    path: str, node: Located, key: str, number: NumberType, target: Target, problems: Problems
) -> float | None:
    value = node.value
    if number == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if number != "int" and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    noun = "an integer" if number == "int" else "a number"
    reason = f" ({path[6:]} takes {target.expected})" if isinstance(value, (int, float)) else ""
    problems.add(node, path, f"{key}: expected {noun}, got {show(node.plain())}{reason}")
    return None


def _read_log(path: str, node: Located, problems: Problems) -> bool:
    log = node.items.get("log")
    if log is not None and not isinstance(log.value, bool):
        problems.add(log, path, f"log: expected true or false, got {show(log.plain())}")
    return log is not None and log.value is True


def _is_ordered(path: str, node: Located, low: float, high: float, problems: Problems) -> bool:
    if low == high:
        problems.add(node, path, f"low and high are both {low}{_INSTEAD}")
    elif low > high:
        problems.add(node, path, f"low ({low}) must be below high ({high})")
    return low < high


def _check_log(path: str, node: Located, low: float, step: float | None, *, log: bool, problems: Problems) -> None:
    if log and low <= 0:
        problems.add(node.items["low"], path, f"log needs a low above 0, got {low}")
    if log and step is not None:
        problems.add(node.items["step"], path, "step does not go with log; leave one of them out")


def _check_step(path: str, node: Located, bounds: tuple[float, float], step: float, problems: Problems) -> None:
    low, high = bounds
    if step <= 0:
        problems.add(node.items["step"], path, f"step: expected a number above 0, got {step}")
        return
    count = (high - low) / step
    if abs(count - round(count)) <= _TOLERANCE * max(1.0, count) and round(count) >= 1:
        return
    below, above = (low + step * steps for steps in (math.floor(count), math.floor(count) + 1))
    fits = f"{below:.10g} or {above:.10g}" if below > low else f"{above:.10g}"
    problems.add(node.items["step"], path, f"step {step} does not divide {low} to {high}; a high of {fits} would fit")
