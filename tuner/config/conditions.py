"""Conditions among entries: parents first, what has to hold for an entry to be active, which values can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuner.config.entries import Varied
from tuner.space.document import Located
from tuner.space.parameters import AnyOf, Choices, Condition, Domain, FloatRange, IntRange, Scalar, label_of


def parents_of(node: Located) -> list[str]:
    """The names that an entry's `when` and `each` mention."""
    when, each = node.items.get("when"), node.items.get("each")
    names = list(when.items) if when else []
    return [*names, each.value] if each and isinstance(each.value, str) else names


def in_parents_first(entries: Mapping[str, Located]) -> tuple[list[str], list[list[str]]]:
    """The names of the entries, parents before children and else in the file's order; and the cycles among them."""
    order: dict[str, None] = {}
    cycles: list[list[str]] = []
    for name in entries:
        _visit(name, entries, order, cycles)
    return list(order), cycles


def _visit(start: str, entries: Mapping[str, Located], order: dict[str, None], cycles: list[list[str]]) -> None:
    # With a stack of its own: a chain of parents can be longer than Python's recursion allows.
    path: list[str] = []
    stack: list[tuple[str, bool]] = [(start, False)]
    while stack:
        name, is_left = stack.pop()
        if is_left:
            order[path.pop()] = None
            continue
        if name in order:
            continue
        if name in path:
            cycles.append([*path[path.index(name) :], name])
            continue
        path.append(name)
        stack.append((name, True))
        stack.extend((parent, False) for parent in reversed(parents_of(entries[name])) if parent in entries)


def ancestors(conditions: Iterable[Condition], varied: Mapping[str, Varied]) -> dict[str, tuple[Condition, ...]]:
    """Every parent up to the roots, with all the conditions that it has to meet at once."""
    found: dict[str, tuple[Condition, ...]] = {}
    waiting = list(conditions)
    while waiting:
        condition = waiting.pop()
        parent = condition.parent
        if parent not in found:
            waiting.extend(varied[parent].requirements)
        if condition not in found.get(parent, ()):
            found[parent] = (*found.get(parent, ()), condition)
    return found


def candidates(parent: str, domain: Domain, conditions: tuple[Condition, ...]) -> tuple[Scalar, ...]:
    """Values of a parent that meet all conditions; of the many that a range may have, the highest."""
    listed: tuple[Scalar, ...]
    if isinstance(domain, Choices):
        listed = domain.labels
    else:
        listed = next((condition.labels for condition in conditions if isinstance(condition, AnyOf)), (domain.high,))
    return tuple(label for label in listed if all(condition.holds({parent: label}) for condition in conditions))


def reachable(domain: Domain, value: object) -> tuple[Scalar, ...]:
    """The label under which a domain samples a value; empty when it never does."""
    if isinstance(domain, Choices):
        label = label_of(value)
        return tuple(own for own in domain.labels if own == label and isinstance(own, bool) == isinstance(label, bool))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not domain.low <= value <= domain.high:
        return ()
    if isinstance(domain, IntRange):
        return (int(value),) if (value - domain.low) % domain.step == 0 else ()
    return _on_grid(domain, float(value))


def _on_grid(domain: FloatRange, value: float) -> tuple[Scalar, ...]:
    if domain.step is None:
        return ()
    steps = round((value - domain.low) / domain.step)
    # Optuna's own formula, so that the sampled number is equal to the last bit.
    on_grid = min(max(steps * domain.step + domain.low, domain.low), domain.high)
    return (on_grid,) if abs(on_grid - value) <= 1e-9 * max(1.0, abs(value)) else ()
