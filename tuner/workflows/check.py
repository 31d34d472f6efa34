"""Validate a space file without touching data or code: what is in the file alone."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.config.code import fingerprints, reachable_targets
from tuner.config.spec import Spec, find_file, load
from tuner.space.parameters import AnyOf, Choices, Condition, Domain


def check(space: str, sets: Sequence[str] = ()) -> Spec:
    """The checked space file; ConfigError with all of its problems, or when a file of the user's code is not there."""
    spec = load(find_file(space), sets=sets)
    fingerprints(reachable_targets(spec), spec.base_dir)
    return spec


def describe(spec: Spec) -> list[dict[str, str]]:
    """Name, domain and condition of every parameter, as text."""
    return [
        {
            "parameter": parameter.name,
            "values": _domain(parameter.domain),
            "when": " and ".join(_condition(condition) for condition in parameter.conditions),
        }
        for parameter in spec.space.parameters
    ]


def _domain(domain: Domain) -> str:
    if isinstance(domain, Choices):
        return "{" + ", ".join(str(label) for label in domain.labels) + "}"
    step = f", step {domain.step}" if domain.step not in (None, 1) else ""
    return f"{domain.low:g} to {domain.high:g}{', log' if domain.log else ''}{step}"


def _condition(condition: Condition) -> str:
    if isinstance(condition, AnyOf):
        return f"{condition.parent} is {' or '.join(str(label) for label in condition.labels)}"
    return f"{condition.parent} is above {condition.bound}"
