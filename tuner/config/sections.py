"""Plain data -> section: which class a section has, and what is wrong with the data, in our own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tuner.config.fields import FieldType, field_at
from tuner.config.messages import Problems, nearest, suggestion, unknown_key
from tuner.config.schema import (
    DEFAULT_KINDS,
    PRUNER_KINDS,
    SAMPLER_KINDS,
    SECTION_KINDS,
    Confirm,
    Objective,
    Search,
    Section,
)
from tuner.config.schema.trackers import TRACKER_KINDS
from tuner.space.document import Located, show

KINDS: dict[str, Mapping[str, type[Section]]] = {
    **SECTION_KINDS,
    "search.sampler": SAMPLER_KINDS,
    "search.pruner": PRUNER_KINDS,
    "trackers": TRACKER_KINDS,
}
"""The class of each kind, for the sections that have kinds."""

CLASSES: dict[str, type[Section]] = {"objective": Objective, "search": Search, "confirm": Confirm}
"""The class of the other sections."""

NOUNS: dict[str, str] = {
    "data": "data source",
    "train": "way to train",
    "search.sampler": "sampler",
    "search.pruner": "pruner",
    "trackers": "tracker",
}
"""What a kind of a section is called, where it is not the section's own name."""

TRIAL_SECTIONS = ("data", "model", "loss", "optimizer", "schedule", "train")
"""The sections that describe one training run; `space:` varies what is in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a section's class refuses, at a path inside the section."""

    path: tuple[str, ...]
    message: str
    at_key: bool = False
    between_fields: bool = False
    """The fields are fine one by one, but not together."""


def class_of(section: str, kind: str | None) -> type[Section]:
    return CLASSES[section] if kind is None else KINDS[section][kind]


def kind_in(section: str, data: Mapping[str, Any]) -> str | None:
    """The kind that plain, valid data of a section has; None for sections without kinds."""
    if section not in KINDS:
        return None
    return str(data.get("kind", DEFAULT_KINDS.get(section)))


def unknown_kind(section: str, kind: object) -> str:
    noun = NOUNS.get(section, section)
    if not isinstance(kind, str):
        return f"expected the name of a {noun}, got {show(kind)}"
    return f"unknown {noun} {kind!r}{suggestion(kind, KINDS[section])}"


def validate(section: type[Section], data: Mapping[str, Any]) -> Section | list[Fault]:
    """The section that plain data describes, or all that is wrong with it."""
    try:
        return section.model_validate(dict(data))
    except ValidationError as error:
        return list(_faults(section, data, error))


def read_section(name: str, node: Located | None, root: Located, problems: Problems) -> Section | None:
    """Build a section of the document; what is wrong is added to `problems`, and then there is no section.

    `root` gives the place when the whole section is missing.
    """
    if node is None or node.value is None:
        if name == "data":
            problems.add(
                node or root, "data", "missing; say what to train on, such as data: {kind: digits}", at_key=True
            )
            return None
        node = Located(value={}, mark=root.mark, key=node.key if node else None)
    if not isinstance(node.value, dict):
        problems.add(node, name, _expected_mapping(name, node))
        return None
    if name not in KINDS:
        return build(name, CLASSES[name], node, problems)
    kind = read_kind(name, node, problems)
    return build(name, KINDS[name][kind], node, problems) if kind else None


def read_kind(name: str, node: Located, problems: Problems) -> str | None:
    """The kind that a section names or has by default; None after a problem."""
    kind = node.items.get("kind")
    if kind is None:
        if (glued := next((key for key in node.items if key.startswith("kind:")), None)) is not None:
            problems.add(node.items[glued], f"{name}.{glued}", unknown_key(glued, ["kind"]), at_key=True)
            return None
        if name not in DEFAULT_KINDS:
            problems.add(node, f"{name}.kind", f"missing; one of {', '.join(KINDS[name])}", at_key=True)
        return DEFAULT_KINDS.get(name)
    if isinstance(kind.value, str) and kind.value in KINDS[name]:
        return kind.value
    problems.add(kind, f"{name}.kind", unknown_kind(name, kind.plain()))
    return None


def build(name: str, section: type[Section], node: Located, problems: Problems) -> Section | None:
    """Validate a mapping node against a class; problems are located at the key or value that they concern."""
    found = validate(section, node.plain())
    if isinstance(found, Section):
        return found
    for fault in found:
        report(name, node, fault, problems)
    return None


def report(name: str, node: Located, fault: Fault, problems: Problems) -> None:
    """Add a fault at the deepest place of the document that its path reaches."""
    at, reached = node, True
    for part in fault.path:
        below = at.child(part)
        reached = below is not None
        at = below or at
    problems.add(at, ".".join((name, *fault.path)), fault.message, at_key=fault.at_key or not reached)


def _expected_mapping(name: str, node: Located) -> str:
    value = node.plain()
    message = f"expected a mapping, got {show(value)}"
    first = "kind" if name in KINDS else "metric" if name == "objective" else None
    return f"{message}; write {name}: {{{first}: {value}}}" if first and isinstance(value, str) else message


def _faults(section: type[Section], data: Mapping[str, Any], error: ValidationError) -> Iterator[Fault]:
    """Translate pydantic's errors: one fault a path, without the union members that pydantic puts into paths."""
    found: dict[tuple[str, ...], Fault] = {}
    for details in error.errors(include_url=False):
        fault = _fault(section, data, details)
        found.setdefault(fault.path, fault)
    for path, fault in found.items():
        # A union reports the whole value for one member and an item for another; the item says more.
        if not any(other[: len(path)] == path and len(other) > len(path) for other in found) or not path:
            yield fault


def _fault(section: type[Section], data: Mapping[str, Any], details: ErrorDetails) -> Fault:
    path = _path_in(data, details)
    if details["type"] == "extra_forbidden":
        holder = field_at(section, path[:-1])
        names = holder.section.model_fields if holder and holder.section else ()
        return Fault(path=path, message=unknown_key(path[-1], names), at_key=True)
    if details["type"] == "missing" and isinstance(details["loc"][-1], str):
        return Fault(path=path, message=_missing(section, path), at_key=True)
    if details["type"] == "value_error":
        return _between_fields(section, path, details["msg"].removeprefix("Value error, "))
    field = field_at(section, path) or FieldType(annotation=Any)
    return Fault(path=path, message=f"expected {field.expected()}, got {_got(field, _value_at(data, path))}")


def _path_in(data: Mapping[str, Any], details: ErrorDetails) -> tuple[str, ...]:
    path: list[str] = []
    value: Any = data
    for part in details["loc"]:
        if isinstance(value, Mapping) and part in value:
            value = value[str(part)]
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif details["type"] != "missing" or isinstance(part, int):
            continue  # the name of a union's member, or an item that is not there
        path.append(str(part))
    return tuple(path)


def _value_at(data: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        data = data[int(part)] if isinstance(data, (list, tuple)) else data[part]
    return data


def _got(field: FieldType, value: Any) -> str:
    near = nearest(value, field.names) if isinstance(value, str) else None
    return show(value) + (f"; did you mean {near!r}?" if near else "")


def _missing(section: type[Section], path: tuple[str, ...]) -> str:
    field = field_at(section, path)
    text = field.description.rstrip(".") if field else ""
    return f"missing; {text[:1].lower()}{text[1:]}" if text else "missing"


def _between_fields(section: type[Section], path: tuple[str, ...], message: str) -> Fault:
    name, colon, rest = message.partition(": ")
    if colon and field_at(section, (*path, name)):
        return Fault(path=(*path, name), message=rest, between_fields=True)
    return Fault(path=path, message=message, between_fields=True)
