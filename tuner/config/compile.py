"""`space:` -> Space: every entry is checked against the fields that it can land in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuner.config import own
from tuner.config.beliefs import read_belief
from tuner.config.bind import PerLayer
from tuner.config.conditions import ancestors, candidates, in_parents_first, parents_of
from tuner.config.domains import Target, read_domain, values_of
from tuner.config.entries import Entries, Layers, NeverActiveError, Varied, requirements
from tuner.config.messages import Problems
from tuner.config.relations import read_each, read_when
from tuner.config.schema import Section
from tuner.config.sections import KINDS, unknown_kind
from tuner.config.targets import MAX_NAME, fields_by_kind, missing_field, refusal
from tuner.space.document import Located, show
from tuner.space.parameters import Choices, Condition, Domain, Space

MAX_PARAMETERS = 500
"""Of a space, layers included. It keeps the checks, quadratic in it, below a second; no sampler models as many."""
_TOO_MANY = f"at most {MAX_PARAMETERS} can vary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The checked entries, parents first, and the names of those that `--set` has made pointless."""

    varied: tuple[Varied, ...] = ()
    dropped: frozenset[str] = frozenset()

    @property
    def space(self) -> Space:
        return Space(parameters=tuple(parameter for entry in self.varied for parameter in entry.parameters))

    @property
    def per_layer(self) -> tuple[PerLayer, ...]:
        return tuple(layers for entry in self.varied if (layers := entry.per_layer))


def compile_space(
    root: Located,
    base: Mapping[str, Section | None],
    base_kinds: Mapping[str, str | None],
    released: frozenset[str],
    problems: Problems,
) -> Compiled:
    """Check `space:` against the base sections and their kinds (None for what is wrong itself).

    `released` are parameters that `--set` took out of the space: an entry that can never be active for that reason is
    dropped, and not an error.
    """
    node = root.items.get("space")
    if node is None or node.value is None:
        return Compiled()
    if not isinstance(node.value, dict):
        problems.add(node, "space", f"expected a mapping from dotted names to what varies, got {show(node.plain())}")
        return Compiled()
    if len(node.items) > MAX_PARAMETERS:
        problems.add(node, "space", f"{len(node.items)} entries; {_TOO_MANY}", at_key=True)
        return Compiled()
    entries = Entries(nodes=node.items, base=base, base_kinds=base_kinds, released=released, problems=problems)
    order = _compile_all(entries)
    varied = tuple(entries.varied[name] for name in order if name in entries.varied)
    return Compiled(varied=varied, dropped=frozenset(entries.dropped))


def _compile_all(entries: Entries) -> list[str]:
    """Check all entries; returns the order in which they are sampled."""
    order, cycles = in_parents_first(entries.nodes)
    for cycle in cycles:
        entries.refuse(cycle[0], f"when and each go in a circle: {' -> '.join(cycle)}", at_key=True)
        entries.wrong.update(cycle)
    _refuse_overlaps(entries)
    # Kinds are checked first, since they decide which fields the others can land in; sampled they are where they stand.
    kinds_first = sorted(entries.nodes, key=lambda name: not _is_kind(name))
    for name in in_parents_first({name: entries.nodes[name] for name in kinds_first})[0]:
        try:
            _compile_entry(entries, name)
        except NeverActiveError:
            entries.dropped[name] = None
    return order


def _is_kind(name: str) -> bool:
    section, _, rest = name.partition(".")
    return section in KINDS and rest == "kind"


def _refuse_overlaps(entries: Entries) -> None:
    for name in entries.nodes:
        parts = name.split(".") if len(name) <= MAX_NAME else []
        for whole in (".".join(parts[:length]) for length in range(1, len(parts))):
            if whole in entries.nodes:
                entries.refuse(name, f"{whole} varies as a whole already; keep one of the two", at_key=True)


def _compile_entry(entries: Entries, name: str) -> None:
    reason = refusal(name)
    if reason is not None:
        entries.refuse(name, reason, at_key=True)
    elif name.partition(".")[0] not in entries.base:
        entries.refuse(name, own.left_out(name), at_key=True)
    if name in entries.wrong:
        return
    conditions, layers = _relations(entries, name)
    kinds = _kinds(entries, name, requirements(conditions, layers)) if name not in entries.wrong else ()
    target = _target(entries, name, kinds, per_layer=layers is not None)
    if not target:
        return
    domain = read_domain(name, entries.nodes[name], target, entries.problems)
    if domain is None:
        entries.wrong.add(name)
    elif _is_kind(name):
        domain = _known_kinds(entries, name, domain)
    if domain is not None and name not in entries.wrong:
        _add(
            entries,
            Varied(
                name=name,
                node=entries.nodes[name],
                domain=domain,
                kinds=kinds,
                conditions=conditions,
                layers=layers,
                belief=read_belief(name, entries.nodes[name], domain, entries.problems),
                is_free=target.is_free,
            ),
        )


def _add(entries: Entries, varied: Varied) -> None:
    n_parameters = sum(entry.n_parameters for entry in entries.varied.values()) + varied.n_parameters
    if n_parameters > MAX_PARAMETERS:
        entries.refuse(varied.name, f"with its layers the space has {n_parameters} parameters; {_TOO_MANY}")
    else:
        entries.varied[varied.name] = varied


def _relations(entries: Entries, name: str) -> tuple[tuple[Condition, ...], Layers | None]:
    if any(parent in entries.wrong for parent in parents_of(entries.nodes[name])):
        entries.wrong.add(name)
        return (), None
    return read_when(entries, name), read_each(entries, name)


def _kinds(entries: Entries, name: str, required: tuple[Condition, ...]) -> tuple[str | None, ...]:
    """The kinds that the section can have while an entry is active; none when that cannot be known, or never is."""
    needs = ancestors(required, entries.varied)
    for parent, conditions in needs.items():
        if not candidates(parent, entries.varied[parent].domain, conditions):
            entries.refuse(name, f"when: never holds; no value of {parent} meets all conditions", at_key=True)
            return ()
    section = name.partition(".")[0]
    kind = f"{section}.kind"
    if section not in KINDS:
        return (None,)
    if kind in needs:
        labels = candidates(kind, entries.varied[kind].domain, needs[kind])
        return tuple(str(label) for label in labels)
    base = entries.base_kinds[section]
    if kind not in entries.nodes or kind in entries.dropped:
        return (base,) if base else ()
    listed = _listed_kinds(section, entries.nodes[kind])
    is_conditional = kind not in entries.varied or bool(entries.varied[kind].conditions)
    return tuple(dict.fromkeys([*listed, base] if is_conditional and base and kind != name else listed))


def _listed_kinds(section: str, node: Located) -> list[str]:
    choices = node.items.get("choices", node).value
    values = [item.value for item in choices] if isinstance(choices, tuple) else []
    return [value for value in values if isinstance(value, str) and value in KINDS[section]]


def _target(entries: Entries, name: str, kinds: tuple[str | None, ...], *, per_layer: bool) -> Target | None:
    """What a value has to be; None when the path does not exist under every kind."""
    if not kinds:  # the entry is still read for its own sake, so that all of its problems are reported
        entries.wrong.add(name)
        return Target(number_type="any", expected="any value")
    if _is_kind(name):
        return Target(number_type=None, expected=f"one of {', '.join(KINDS[name.partition('.')[0]])}")
    fields = fields_by_kind(name, kinds)
    known = [field for field in fields.values() if field]
    if len(known) < len(fields):
        section = name.partition(".")[0]
        chooser = entries.nodes.get(f"{section}.kind")
        searched = _listed_kinds(section, chooser) if chooser else []
        entries.refuse(name, missing_field(name, fields, searched), at_key=True)
        return None
    if per_layer and not all(field.accepts_list_of_any_length for field in known):
        each = entries.nodes[name].items["each"]
        entries.refuse(name, f"each: {name} takes {known[0].expected()}, not a value a layer", each)
        return None
    return Target.of(known, per_layer=per_layer)


def _known_kinds(entries: Entries, name: str, domain: Domain) -> Choices | None:
    """The kinds that exist; the others are problems, but no reason not to judge what depends on the kind."""
    section = name.partition(".")[0]
    for _, item in values_of(entries.nodes[name], domain):
        if item.value not in KINDS[section]:
            entries.problems.add(item, f"space.{name}", unknown_kind(section, item.plain()))
    listed = tuple(_listed_kinds(section, entries.nodes[name]))
    return Choices(values=listed) if listed else None
