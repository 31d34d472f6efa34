"""Reading `when` and `each`: the parents that they name, in the space or in the base config."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel

from tuner.config.conditions import reachable
from tuner.config.entries import Entries, Layers, NeverActiveError, Varied
from tuner.config.messages import suggestion
from tuner.config.targets import paths_of
from tuner.space.document import Located, show
from tuner.space.parameters import AnyOf, Choices, Condition, Domain, IntRange, Scalar

MAX_LAYERS = 256
"""Layers of one list: each is a parameter of its own, and a sampler models them all."""


class _Found(Enum):
    """Why the base config has no value at a path."""

    ABSENT = "there is no such path"
    WRONG = "its section is wrong"


def read_when(entries: Entries, name: str) -> tuple[Condition, ...]:
    """The conditions of an entry; problems make the entry wrong. Raises NeverActiveError."""
    when = entries.nodes[name].items.get("when")
    if when is None:
        return ()
    if not when.items:
        message = f"when: expected a mapping such as {{optimizer.kind: sgd}}, got {show(when.plain())}"
        entries.refuse(name, message, when)
        return ()
    conditions = [_read_condition(entries, name, parent, values) for parent, values in when.items.items()]
    return tuple(condition for condition in conditions if condition)


def _read_condition(entries: Entries, name: str, parent: str, values: Located) -> AnyOf | None:
    """One key of `when`; None when it always holds, or is wrong."""
    wanted = values.value if isinstance(values.value, tuple) else (values,)
    if parent in entries.dropped:
        raise NeverActiveError
    if parent not in entries.nodes:
        _check_constant(entries, name, parent, values, [item.plain() for item in wanted])
        return None
    varied = entries.varied[parent]
    if varied.layers:
        entries.refuse(name, f"when: {parent} has a value a layer and cannot be a condition", values, at_key=True)
        return None
    if not wanted:
        entries.refuse(name, f"when: {parent}: an empty list never holds", values)
    labels: list[Scalar] = []
    for item in wanted:
        found = reachable(varied.domain, item.plain())
        labels.extend(found)
        if not found:
            entries.refuse(name, f"when: {parent} is never {show(item.plain())}{_instead(varied, item.plain())}", item)
    return AnyOf(parent=parent, labels=tuple(labels))


def _instead(varied: Varied, value: object) -> str:
    domain = varied.domain
    if isinstance(domain, Choices):
        known = [show(choice) for choice in domain.values]
        return suggestion(value, map(str, domain.values)) if isinstance(value, str) else f"; it is {' or '.join(known)}"
    if isinstance(domain, IntRange):
        step = f" in steps of {domain.step}" if domain.step > 1 else ""
        return f"; it is an integer from {domain.low} to {domain.high}{step}"
    if domain.step is None:
        return "; it varies continuously, so no single value can be a condition"
    return f"; it goes from {domain.low} to {domain.high} in steps of {domain.step}"


def _check_constant(entries: Entries, name: str, parent: str, values: Located, wanted: Sequence[Any]) -> None:
    found = _constant(entries, parent)
    if found is _Found.WRONG:
        entries.wrong.add(name)
    elif any(_is_same(found, value) for value in wanted):
        return
    elif parent in entries.released:
        raise NeverActiveError
    elif found is _Found.ABSENT:
        message = f"when: {parent} is neither varied nor in the base config"
        entries.refuse(name, message + suggestion(parent, _known(entries)), values, at_key=True)
    else:
        entries.refuse(name, f"when: never holds, since {parent} is {show(_plain(found))} and does not vary", values)


def _constant(entries: Entries, path: str) -> object:
    """The value that the base config, with its defaults, has at a path."""
    section, *rest = path.split(".")
    if section not in entries.base or not rest:
        return _Found.ABSENT
    found: object = entries.base[section]
    if found is None:
        return _Found.WRONG
    for part in rest:
        found = _step(found, part)
    return found


def _step(holder: object, part: str) -> object:
    if isinstance(holder, BaseModel) and part in type(holder).model_fields:
        return getattr(holder, part)
    if isinstance(holder, dict) and part in holder:
        return holder[part]
    if isinstance(holder, (tuple, list)) and part.isdecimal() and int(part) < len(holder):
        return holder[int(part)]
    return _Found.ABSENT


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _is_same(found: object, value: object) -> bool:
    plain = list(found) if isinstance(found, tuple) else _plain(found)
    return plain == value and isinstance(plain, bool) == isinstance(value, bool)


def _known(entries: Entries) -> list[str]:
    bases = entries.base.items()
    paths = [path for name, base in bases if base for path in paths_of(name, getattr(base, "kind", None))]
    return list(dict.fromkeys([*entries.nodes, *paths]))


def read_each(entries: Entries, name: str) -> Layers | None:
    """The layers that an entry has a value for; None without `each`, or when it is wrong. Raises NeverActiveError."""
    each = entries.nodes[name].items.get("each")
    if each is None:
        return None
    if not isinstance(each.value, str):
        entries.refuse(name, f"each: expected the path of a number of layers, got {show(each.plain())}", each)
        return None
    if each.value in entries.dropped:
        raise NeverActiveError
    if each.value in entries.nodes:
        layers = _searched_layers(entries, name, each, entries.varied[each.value])
    else:
        layers = _constant_layers(entries, name, each, each.value)
    if layers and layers.most > MAX_LAYERS:
        entries.refuse(name, f"each: {layers.most} layers; at most {MAX_LAYERS} can vary one by one", each)
        return None
    return layers


def _searched_layers(entries: Entries, name: str, each: Located, count: Varied) -> Layers | None:
    bounds = None if count.layers else _counts(count.domain)
    if bounds is None or bounds[0] < 0 or bounds[1] < 1:
        entries.refuse(name, f"each: {count.name} is not a number of layers; give one that varies over integers", each)
        return None
    # While a conditional count is away there are no layers, so then even the first one depends on it.
    least = 0 if count.conditions else bounds[0]
    return Layers(count=count.name, constant=None, least=least, most=bounds[1])


def _counts(domain: Domain) -> tuple[int, int] | None:
    if isinstance(domain, IntRange):
        return domain.low, domain.high
    if isinstance(domain, Choices) and all(type(value) is int for value in domain.values):
        return min(domain.values), max(domain.values)
    return None


def _constant_layers(entries: Entries, name: str, each: Located, path: str) -> Layers | None:
    count = _constant(entries, path)
    if count is _Found.WRONG:
        entries.wrong.add(name)
    elif count is _Found.ABSENT:
        message = f"each: {path} is neither varied nor in the base config{suggestion(path, _known(entries))}"
        entries.refuse(name, message, each)
    elif type(count) is not int or count < 1:
        entries.refuse(name, f"each: expected a number of layers, but {path} is {show(_plain(count))}", each)
    else:
        return Layers(count=path, constant=count, least=count, most=count)
    return None
