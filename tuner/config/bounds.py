"""Every low, high and choice, put into the base config under every kind that it can meet, has to be legal there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from tuner.config.base_params import nearest
from tuner.config.bind import PerLayer, UnplaceableError, decode, section_data
from tuner.config.compile import Compiled
from tuner.config.conditions import ancestors, candidates, reachable
from tuner.config.domains import values_of
from tuner.config.entries import Varied
from tuner.config.messages import Problems
from tuner.config.sections import KINDS, Fault, class_of, kind_in, validate
from tuner.space.document import Located, show
from tuner.space.parameters import Choices, Scalar, Space, label_of

Fill = Literal["base"] | float
"""What the other parameters are while one is checked: the base config's values, or all at this share of their range."""
_LOW = 0.0
_SHARES = (0.0, 1.0, *(step / 32 for step in range(1, 32)))
"""Ends first; what goes with no other value may go with one in the middle, as heads do that divide some widths."""


class Unset(Enum):
    """Marks a parameter that is left at the base config's value; None is a value."""

    UNSET = "unset"


def check_bounds(compiled: Compiled, base: Mapping[str, Mapping[str, Any]], problems: Problems) -> None:
    """Add a problem for every low, high and choice that the class of its section refuses."""
    corners = _Corners(varied=compiled.varied, space=compiled.space, per_layer=compiled.per_layer, base=base)
    for entry in compiled.varied:
        obstacle = corners.obstacle(entry)
        if obstacle is not None:
            problems.add(entry.node, f"space.{entry.name}", obstacle.message, at_key=True)
            continue
        if entry.is_free:
            continue
        for label, node in values_of(entry.node, entry.domain):
            for fault in corners.faults(entry, label_of(node.plain())):
                problems.add(node, f"space.{entry.name}", _message(entry, label, node, fault))


def _message(entry: Varied, label: str, node: Located, fault: Fault) -> str:
    own = entry.name.partition(".")[2]
    path = ".".join(fault.path)
    if path == own or (entry.layers and path.startswith(own)):
        return f"{label}: {fault.message}" if label else fault.message
    value = f"{label} ({show(node.plain())})" if label else show(node.plain())
    return f"{value} does not go with the base config: {f'{path}: ' if path else ''}{fault.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Corners:
    """Tries values of one entry at a time, in whole assignments."""

    varied: tuple[Varied, ...]
    space: Space
    per_layer: tuple[PerLayer, ...]
    base: Mapping[str, Mapping[str, Any]]

    def obstacle(self, entry: Varied) -> Fault | None:
        """What of the base config is in the way of any value of an entry."""
        path = entry.name.split(".")[1:]
        for kind in () if _is_kind(entry) else entry.kinds:
            try:
                self._data(entry, _at(entry, _LOW), kind, "base")
            except UnplaceableError as error:
                return error.fault if list(error.fault.path) == path else None
        return None

    def faults(self, entry: Varied, value: Scalar) -> Iterator[Fault]:
        """What is wrong with one value of an entry; the same fault under several kinds only once."""
        if _is_kind(entry):
            kinds = (str(value),) if value in KINDS[entry.section] else ()
            found = [self._faults_of_kind(entry, kind) for kind in kinds]
        else:
            found = [self._faults_of_value(entry, value, kind) for kind in entry.kinds]
        seen = {(fault.path, fault.message): fault for faults in found for fault in faults}
        yield from seen.values()

    def _faults_of_kind(self, entry: Varied, kind: str) -> list[Fault]:
        """What a kind lacks or refuses of the base config, and no other parameter makes up for."""
        base = self.base[entry.section]
        kinds = KINDS[entry.section]
        of_base = (
            validate(kinds[str(kind_in(entry.section, base))], base) if kind_in(entry.section, base) in kinds else []
        )
        known = {fault.path for fault in of_base} if isinstance(of_base, list) else set()
        faults = [fault for fault in self._section_faults(entry, kind, kind, "base") if fault.path not in known]
        for fill in _SHARES if faults else ():
            paths = {fault.path for fault in self._section_faults(entry, kind, kind, fill)}
            faults = [fault for fault in faults if fault.path in paths]
        return faults

    def _faults_of_value(self, entry: Varied, value: Scalar, kind: str | None) -> list[Fault]:
        faults = self._section_faults(entry, value, kind, "base")
        own = [fault for fault in faults if _is_own(entry, fault)]
        between = [fault for fault in faults if fault.between_fields]
        if own or not between:
            return own
        # Fields that do not go together are this value's fault when the rest is fine without it, and no other choice of
        # the rest helps.
        if any(fault.between_fields for fault in self._section_faults(entry, Unset.UNSET, kind, "base")):
            return []
        for fill in _SHARES:
            if not any(fault.between_fields for fault in self._section_faults(entry, value, kind, fill)):
                return []
        return between

    def _section_faults(self, entry: Varied, value: Scalar | Unset, kind: str | None, fill: Fill) -> list[Fault]:
        try:
            data = self._data(entry, value, kind, fill)
        except UnplaceableError as error:
            return [error.fault]
        found = validate(class_of(entry.section, kind_in(entry.section, data)), data)
        return found if isinstance(found, list) else []

    def _data(self, entry: Varied, value: Scalar | Unset, kind: str | None, fill: Fill) -> dict[str, Any]:
        """The section's plain data in an assignment. Raises UnplaceableError."""
        values = decode(self.space, self.per_layer, self._params(entry, value, kind, fill))
        if kind is not None:
            values[f"{entry.section}.kind"] = kind
        return section_data(entry.section, self.base[entry.section], values)

    def _params(self, entry: Varied, value: Scalar | Unset, kind: str | None, fill: Fill) -> dict[str, Scalar]:
        """A whole assignment in which the entry has the value, its ancestors allow it, and the rest follows `fill`."""
        varied = {other.name: other for other in self.varied}
        needs = ancestors(entry.requirements, varied)
        forced: dict[str, Scalar | Unset] = {
            name: candidates(name, varied[name].domain, conditions)[0] for name, conditions in needs.items()
        }
        chooser = varied.get(f"{entry.section}.kind")
        if chooser and reachable(chooser.domain, kind):
            forced[chooser.name] = kind
        forced[entry.name] = value
        params: dict[str, Scalar] = {}
        for other in self.varied:
            if all(condition.holds(params) for condition in other.requirements):
                params.update(_assigned(other, forced, params, fill))
        return params


def _is_kind(entry: Varied) -> bool:
    return entry.section in KINDS and entry.name == f"{entry.section}.kind"


def _assigned(
    entry: Varied, forced: Mapping[str, Scalar | Unset], params: Mapping[str, Scalar], fill: Fill
) -> dict[str, Scalar]:
    # Lists of layers are always filled: the base config's value need not fit the number of layers.
    value = forced.get(entry.name, Unset.UNSET if fill == "base" and not entry.layers else _at(entry, fill))
    if isinstance(value, Unset):
        return {}
    if entry.per_layer is None:
        return {entry.name: value}
    return {f"{entry.name}.{layer}": value for layer in range(entry.per_layer.n_layers(params) or 0)}


def _at(entry: Varied, fill: Fill) -> Scalar:
    """The value of an entry at a share of its range; the lowest for lists of layers, which the base config lacks."""
    share = _LOW if isinstance(fill, str) else fill
    domain = entry.domain
    if isinstance(domain, Choices):
        return domain.labels[round(share * (len(domain.labels) - 1))]
    return nearest(domain, domain.low + share * (domain.high - domain.low))


def _is_own(entry: Varied, fault: Fault) -> bool:
    """Whether a fault is about the entry's own value."""
    path = entry.name.split(".")[1:]
    return not fault.between_fields and list(fault.path[: len(path)]) == path
