"""What a search over averages of the weights, and over epochs, needs so that every trial has some."""

from __future__ import annotations

from tuner.config.messages import Problems
from tuner.config.schema import Section
from tuner.config.schema.train import StandardTrain
from tuner.space.document import Located
from tuner.space.parameters import AnyOf, Choices, Parameter, Space

START, EPOCHS, KIND = "train.averaging.start_epoch", "train.epochs", "train.averaging.kind"


def check_averages(root: Located, train: Section | None, space: Space, problems: Problems) -> None:
    """Refuse a `start_epoch` that is beyond the end of trials with few epochs.

    Single values are compared with the base config already (`check_bounds`); this is for those that vary together.
    """
    if not isinstance(train, StandardTrain):
        return
    varied = {parameter.name: parameter for parameter in space.parameters if parameter.name in (START, EPOCHS, KIND)}
    kinds = _values(varied.get(KIND), train.averaging.kind)
    starts = _numbers(varied.get(START), train.averaging.start_epoch)
    epochs = _numbers(varied.get(EPOCHS), train.epochs)
    name = START if START in varied else EPOCHS
    if len(varied) < 2 or set(kinds) == {"none"} or not starts or _are_tied(varied):  # noqa: PLR2004 - see above
        return
    if max(starts) > min(epochs):
        message = (
            f"averages may begin in epoch {max(starts)}, but trials have {min(epochs)} epochs or more; "
            f"let {START} be at most {min(epochs)}, or {EPOCHS} at least {max(starts)}"
        )
        problems.add(root.items["space"].items[name], f"space.{name}", message, at_key=True)


def _are_tied(varied: dict[str, Parameter]) -> bool:
    """Whether which values of the one go with the other is said by `when`."""
    conditions = [condition for parameter in varied.values() for condition in parameter.conditions]
    return any(isinstance(condition, AnyOf) and condition.parent in (START, EPOCHS) for condition in conditions)


def _values(parameter: Parameter | None, base: object) -> list[object]:
    """The values, or the ends of a range, that a trial can have."""
    if parameter is None:
        return [base]
    domain = parameter.domain
    found = list(domain.values) if isinstance(domain, Choices) else [domain.low, domain.high]
    return [*found, base] if parameter.conditions else found


def _numbers(parameter: Parameter | None, base: int | None) -> list[int]:
    return [int(value) for value in _values(parameter, base) if isinstance(value, (int, float))]
