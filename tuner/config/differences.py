"""What differs between two space files, as far as it changes trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.config.bind import section_data
from tuner.config.goals import Goals
from tuner.config.schema import Section, TrialConfig
from tuner.config.sections import KINDS, TRIAL_SECTIONS, class_of, kind_in, validate
from tuner.space.document import show

_WITHOUT_EFFECT = ("train.device", "train.epoch_timeout")
_FOR_THE_SAMPLER = ("type", "prior")


def between(
    old_document: Mapping[str, Any],
    old_base: TrialConfig,
    old_goals: Goals,
    new_document: Mapping[str, Any],
    new_base: TrialConfig,
    new_goals: Goals,
) -> list[str]:
    """One line for each value that changes trials: `path: old -> new`; nothing when there is none."""
    old = dict(_effective(old_document, old_base, old_goals))
    new = dict(_effective(new_document, new_base, new_goals))
    changed = [path for path in dict.fromkeys([*old, *new]) if old.get(path, _ABSENT) != new.get(path, _ABSENT)]
    return [_change(path, old.get(path, _ABSENT), new.get(path, _ABSENT)) for path in changed]


def _change(path: str, old: object, new: object) -> str:
    if path.startswith("constraint "):
        return f"{path}: {'added' if old is _ABSENT else 'removed'}"
    return f"{path}: {_shown(old)} -> {_shown(new)}"


_ABSENT = object()


def _shown(value: object) -> str:
    return "nothing" if value is _ABSENT else show(value, limit=200)


def _effective(document: Mapping[str, Any], base: TrialConfig, goals: Goals) -> Iterator[tuple[str, object]]:
    """Everything that trials are made from, by path: what varies, and the base config where it can be seen."""
    space = {name: _normal(entry) for name, entry in (document.get("space") or {}).items()}
    yield "seed", base.seed
    for index, objective in enumerate(goals.objectives):
        yield from _leaves(f"objective.{index}" if goals.are_several else "objective", objective.model_dump())
    for name in sorted(goals.metrics & set(goals.recorded.own)):
        yield from _leaves(f"metrics.{name}", goals.recorded.own[name].model_dump(exclude={"name", "direction"}))
    for constraint in goals.constraints:
        yield f"constraint {constraint.text}", True
    yield from space.items()
    always = {name for name, entry in space.items() if "when" not in entry}
    for section in TRIAL_SECTIONS:
        for path, value in _base_values(section, document, getattr(base, section), space):
            name = path.partition(" ")[0]
            if name not in (*always, *_WITHOUT_EFFECT):
                yield (f"{path} otherwise" if name in space else path), value


def _base_values(
    section: str, document: Mapping[str, Any], base: Section | None, space: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    if base is None:  # left out
        return
    kinds = space.get(f"{section}.kind", {}).get("choices")
    yield from _leaves(section, base.model_dump())
    for kind in kinds or ():
        if section in KINDS and kind != getattr(base, "kind", None):
            data = section_data(section, document.get(section) or {}, {f"{section}.kind": kind})
            built = validate(class_of(section, kind_in(section, data)), data)
            values = built.model_dump() if isinstance(built, Section) else data
            yield from ((f"{path} with {kind}", value) for path, value in _leaves(section, values))


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}", item)
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def _normal(entry: Any) -> dict[str, Any]:
    """An entry of `space:` in the one form that all equal ones share."""
    if isinstance(entry, list):
        return {"choices": entry}
    kept = {
        key: value
        for key, value in entry.items()
        if value is not None and value is not False and key not in _FOR_THE_SAMPLER
    }
    if "when" in kept:
        kept["when"] = {name: value if isinstance(value, list) else [value] for name, value in kept["when"].items()}
    return kept
