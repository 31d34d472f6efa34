"""`space:` and `search:` by themselves, of a search whose trials are trained by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.config.beliefs import read_belief
from tuner.config.conditions import in_parents_first, parents_of
from tuner.config.domains import Target, read_domain
from tuner.config.entries import Entries, NeverActiveError, Varied
from tuner.config.messages import Problems
from tuner.config.relations import read_each, read_when
from tuner.config.schema import Search, Section
from tuner.config.searching import check_grid, read_search
from tuner.config.sections import TRIAL_SECTIONS
from tuner.space.document import Located, Mark, located, show
from tuner.space.parameters import Space

_ANYTHING = Target(number_type="any", expected="a number", is_free=True)


def read_free(space: Mapping[str, Any], search: Mapping[str, Any]) -> tuple[Space, Search]:
    """The mappings of a space file, checked; names are free, and there is no base config.

    int or float follows from the bounds, or from `type`. Raises ConfigError with every problem at once.
    """
    root = located({"space": dict(space), "search": dict(search)}, Mark(file="Controller"))
    problems = Problems()
    found = _read_space(root, problems)
    built = read_search(root, problems)
    if built is not None:
        check_grid(root, built, found, problems)
    problems.raise_if_any()
    assert built is not None
    return found, built


def _read_space(root: Located, problems: Problems) -> Space:
    nodes = root.items["space"].items
    base = dict.fromkeys(TRIAL_SECTIONS, Section())
    entries = Entries(nodes=nodes, base=base, base_kinds={}, released=frozenset(), problems=problems)
    order, cycles = in_parents_first(nodes)
    for cycle in cycles:
        entries.refuse(cycle[0], f"when and each go in a circle: {' -> '.join(cycle)}", at_key=True)
        entries.wrong.update(cycle)
    for name in order:
        if name not in entries.wrong:
            _read_entry(entries, name)
    known = (entries.varied[name] for name in order if name in entries.varied)
    return Space(parameters=tuple(parameter for entry in known for parameter in entry.parameters))


def _read_entry(entries: Entries, name: str) -> None:
    node = entries.nodes[name]
    if not isinstance(node.value, (dict, tuple)):
        entries.refuse(name, f"expected a list of choices, or {{low, high}}, got {show(node.plain())}")
        return
    domain = read_domain(name, node, _ANYTHING, entries.problems)
    if domain is None or _has_wrong_parent(entries, name):
        entries.wrong.add(name)
        return
    belief = read_belief(name, node, domain, entries.problems)
    try:
        conditions, layers = read_when(entries, name), read_each(entries, name)
    except NeverActiveError:
        return
    if name not in entries.wrong:
        entries.varied[name] = Varied(
            name=name,
            node=node,
            domain=domain,
            kinds=(None,),
            conditions=conditions,
            layers=layers,
            is_free=True,
            belief=belief,
        )


def _has_wrong_parent(entries: Entries, name: str) -> bool:
    return any(parent in entries.wrong for parent in parents_of(entries.nodes[name]))
