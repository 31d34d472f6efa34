"""Base config + params -> the config of one trial."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.config.sections import KINDS, Fault, class_of, kind_in
from tuner.errors import ConfigError
from tuner.space.document import show
from tuner.space.parameters import Choices, Condition, Params, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class PerLayer:
    """A value that a space varies once a layer (`each:`): the list of NAME.0, NAME.1, ... as many as `count` says."""

    name: str
    count: str
    """The path of the number of layers."""
    constant: int | None
    """The number of layers, where the space does not vary it."""
    conditions: tuple[Condition, ...]
    """When the list exists; else the base config's value is used for all layers."""

    def n_layers(self, params: Params) -> int | None:
        """How many values the list has in a trial; None when there is no list."""
        n_layers = self.constant if self.constant is not None else params.get(self.count)
        is_active = all(condition.holds(params) for condition in self.conditions)
        return n_layers if is_active and isinstance(n_layers, int) else None


class UnplaceableError(Exception):
    """A path leads through a value of the base config that holds nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def decode(space: Space, per_layer: tuple[PerLayer, ...], params: Params) -> dict[str, Any]:
    """The values that params put into the config, by path: labels become choices, layers become lists.

    Raises ConfigError for a parameter that the space does not have, a choice that it does not offer, a missing layer.
    """
    parameters = {parameter.name: parameter for parameter in space.parameters}
    values: dict[str, Any] = {}
    for name, label in params.items():
        if name not in parameters:
            raise ConfigError(f"{name}: the space has no such parameter")
        domain = parameters[name].domain
        if isinstance(domain, Choices) and label not in domain.labels:
            raise ConfigError(f"{name}: {show(label)} is not one of its choices {show(domain.values)}")
        values[name] = domain.value_of(label) if isinstance(domain, Choices) else label
    for layers in per_layer:
        _gather(layers, params, values)
    return values


def _gather(layers: PerLayer, params: Params, values: dict[str, Any]) -> None:
    n_layers = layers.n_layers(params)
    given = [name for name in values if _is_layer(name, layers.name)]
    if n_layers is not None:
        names = [f"{layers.name}.{index}" for index in range(n_layers)]
        if set(names) != set(given):
            raise ConfigError(f"{layers.name}: expected values for {n_layers} layers, got {', '.join(given) or 'none'}")
        values[layers.name] = [values[name] for name in names]
    for name in given:
        del values[name]


def _is_layer(name: str, template: str) -> bool:
    return name.startswith(template + ".") and name[len(template) + 1 :].isdecimal()


def section_data(section: str, base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain data of one section with all values put in.

    Under another kind than the base config's, the options that both kinds have are carried over, and the others left
    out. Raises UnplaceableError.
    """
    own = {name[len(section) + 1 :]: value for name, value in values.items() if name.startswith(section + ".")}
    kind = str(own.pop("kind", None) or kind_in(section, base)) if section in KINDS else None
    cls = class_of(section, kind)
    data = {key: copy.deepcopy(value) for key, value in base.items() if kind is None or key in cls.model_fields}
    if kind is not None:
        data = {"kind": kind, **data} | {"kind": kind}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
    for path, value in own.items():
        _place(section, data, defaults, tuple(path.split(".")), value)
    return data


def _place(section: str, data: dict[str, Any], defaults: Mapping[str, Any], path: tuple[str, ...], value: Any) -> None:
    first = path[0]
    holder: Any = data
    if len(path) > 1 and first not in data:
        default = defaults.get(first)
        is_item = path[1].isdecimal()
        data[first] = list(default) if isinstance(default, tuple) else default if is_item else {}
    for depth, part in enumerate(path):
        _check_holds(section, holder, path, depth)
        key: Any = int(part) if isinstance(holder, list) else part
        if depth == len(path) - 1:
            holder[key] = value
        elif isinstance(holder, dict):
            holder = holder.setdefault(key, {})
        else:
            holder = holder[key]


def _check_holds(section: str, holder: Any, path: tuple[str, ...], depth: int) -> None:
    part = path[depth]
    is_item = part.isdecimal() and isinstance(holder, list) and int(part) < len(holder)
    if not is_item and (part.isdecimal() or not isinstance(holder, dict)):
        where = ".".join((section, *path[:depth]))
        need = "a list that is long enough" if part.isdecimal() else "a mapping"
        message = f"the base config has {where}: {show(holder)}, which has no {part!r}; make it {need}"
        raise UnplaceableError(Fault(path=path, message=message))
