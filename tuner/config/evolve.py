"""Whether a trial of an earlier space is one of another space too: the same training, by the same names.

A trial fits when params of the new space can be found that are bound to the very config that it was trained with. What
is new in the space has the value that the trial's config had all along; what is no longer varied must have the value
that the new base config has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.config.schema import LayeredModel, TrialConfig
from tuner.config.spec import Spec
from tuner.errors import ConfigError
from tuner.space.document import show
from tuner.space.parameters import Choices, Domain, IntRange, Params, Scalar, label_of

_TOLERANCE = 1e-9
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The params of a trial in the new space, or why it has none there."""

    params: Params | None = None
    path: str = ""
    reason: str = ""


def fit(spec: Spec, params: Params, config: TrialConfig) -> Fit:
    """Place a trial with these params and this config in the space of `spec`."""
    plain = _plain(config)
    found: dict[str, Scalar] = {}
    for parameter in spec.space.parameters:
        if not parameter.is_active(found):
            continue
        name = parameter.name
        values = [params[name]] if name in params else []
        at_path = _at(plain, name)
        values += [label_of(at_path)] if at_path is not _ABSENT else []
        if not values:
            return Fit(path=name, reason="is not in its config")
        labels = [label for value in values if (label := _member(parameter.domain, value)) is not _ABSENT]
        if not labels:
            return Fit(path=name, reason=f"is outside {_shown(parameter.domain)}")
        found[name] = labels[0]
    return _same(spec, found, plain)


def _same(spec: Spec, params: Params, plain: Mapping[str, Any]) -> Fit:
    try:
        bound = _plain(spec.bind(params))
    except ConfigError as error:
        place = error.where[0] if error.where else None
        return Fit(path=place.path if place else "", reason=place.message if place else error.message)
    old, new = dict(_leaves("", plain)), dict(_leaves("", bound))
    for path in dict.fromkeys([*new, *old]):
        was, now = old.get(path, _ABSENT), new.get(path, _ABSENT)
        if was != now:
            return Fit(path=path, reason=f"was {_text(was)} and is {_text(now)} now")
    return Fit(params=params)


def _plain(config: TrialConfig) -> dict[str, Any]:
    """What a trial is trained by, with one value a layer where a model has one for all."""
    plain = config.model_dump(mode="json", exclude={"seed", "objective"})
    plain["train"].pop("device", None)
    if plain.get("data"):
        plain["data"].get("split", {}).pop("fold", None)  # whose turn it was, which the trial's number decides
    if isinstance(config.model, LayeredModel):
        for name in ("width", "dropout"):
            value = plain["model"].get(name)
            if not isinstance(value, list) and value is not None:
                plain["model"][name] = [value] * config.model.depth
    return plain


def _at(plain: Mapping[str, Any], path: str) -> Any:
    found: Any = plain
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return _ABSENT
    return _one(found, path)


def _one(value: Any, path: str) -> Any:
    """Equal values of all layers count as one, where the whole list is meant."""
    is_layers = path in ("model.width", "model.dropout") and isinstance(value, list) and value
    return value[0] if is_layers and all(item == value[0] for item in value) else value


def _member(domain: Domain, value: Scalar) -> Any:
    """A value as the domain samples it; _ABSENT when it never does."""
    if isinstance(domain, Choices):
        own = (
            label for label in domain.labels if label == value and isinstance(label, bool) == isinstance(value, bool)
        )
        return next(own, _ABSENT)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not domain.low <= value <= domain.high:
        return _ABSENT
    if isinstance(domain, IntRange):
        return int(value) if value == int(value) and (int(value) - domain.low) % domain.step == 0 else _ABSENT
    if domain.step is not None:
        steps = (value - domain.low) / domain.step
        if abs(steps - round(steps)) > _TOLERANCE * max(1.0, abs(steps)):
            return _ABSENT
    return float(value)


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(f"{path}.{key}".lstrip("."), item)]
    return [(path, value)]


def _shown(domain: Domain) -> str:
    if isinstance(domain, Choices):
        return "{" + ", ".join(str(label) for label in domain.labels) + "}"
    return f"{domain.low:g} to {domain.high:g}" + (
        f" in steps of {domain.step:g}" if domain.step not in (None, 1) else ""
    )


def _text(value: Any) -> str:
    return "nothing" if value is _ABSENT else show(value, limit=80)
