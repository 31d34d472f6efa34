"""One trial of a front: by its knee, or by weights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.config.messages import suggestion
from tuner.errors import NoTrialError, UsageError
from tuner.study.rows import StudyRow, TrialRow, best_of

KNEE = "knee"
FRONT = "front"
"""Not one trial but all of the front; see `tuner.workflows.best.best_front`."""
_WEIGHT = re.compile(r"\s*([\w./]+)\s*=\s*(\S+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A trial, and why it is this one; nothing to say where there is one objective."""

    trial: TrialRow
    why: str = ""


def pick(study: StudyRow, trials: Sequence[TrialRow], rule: str | None = None) -> Pick:
    """The best trial; of several objectives the one of the front that `rule` says.

    `rule` is `knee`, the default (nearest to the best of every objective, each scaled to 0..1 over the front), or
    weights such as `accuracy=0.7,params=0.3` (least weighted sum of the scaled objectives). Raises UsageError,
    NoTrialError.
    """
    if not study.objectives:
        if rule is not None:
            raise UsageError(f"--pick: study {study.name!r} has one objective, {study.metric}; leave --pick out")
        found = best_of(list(trials), maximize=study.maximize)
        if found is None:
            raise _no_trial(study, trials)
        return Pick(trial=found)
    weights = None if rule in (None, KNEE) else _weights(study, str(rule))
    front = front_rows(trials)
    if not front:
        raise _no_trial(study, trials)
    return _of_front(study, front, weights)


def front_rows(trials: Sequence[TrialRow]) -> tuple[TrialRow, ...]:
    """The trials on the front, in the order of their numbers."""
    return tuple(trial for trial in trials if trial.is_on_front)


def _of_front(study: StudyRow, front: Sequence[TrialRow], weights: dict[str, float] | None) -> Pick:
    from tuner.control.pareto import knee, weighted  # NumPy, which one objective does without

    of = f"of {len(front)} trial{'s' * (len(front) > 1)} on the front"
    signed = [
        [sign * value for sign, value in zip(study.signs, (trial.values or {}).values(), strict=True)]
        for trial in front
    ]
    if weights is None:
        return Pick(trial=front[knee(signed)], why=f"the knee {of}: nearest to the best of every objective")
    wanted = [weights.get(objective.name, 0.0) for objective in study.objectives]
    shown = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    return Pick(trial=front[weighted(signed, wanted)], why=f"the best {of} by weights: {shown}")


def _weights(study: StudyRow, text: str) -> dict[str, float]:
    """Weights by the curve's name of each objective."""
    names = {objective.name.removeprefix("val/"): objective.name for objective in study.objectives}
    example = ",".join(f"{name}={1 / len(names):.2g}" for name in names)
    weights: dict[str, float] = {}
    for part in text.split(","):
        match = _WEIGHT.fullmatch(part)
        if match is None:
            raise UsageError(f"--pick: expected knee, front, or weights such as {example}; got {text!r}")
        name = match[1].removeprefix("val/")
        if name not in names:
            raise UsageError(f"--pick: {name!r} is not an objective of study {study.name!r}{suggestion(name, names)}")
        if names[name] in weights:
            raise UsageError(f"--pick: {name} is there twice")
        weights[names[name]] = _weight(name, match[2])
    if not any(weights.values()):
        raise UsageError("--pick: at least one weight must be above 0")
    return weights


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or weight < 0.0:
        raise UsageError(f"--pick: the weight of {name} must be a number of 0 or more, got {text!r}")
    return weight


def _no_trial(study: StudyRow, trials: Sequence[TrialRow]) -> NoTrialError:
    see = f"see `tuner trials --study {study.name}`"
    if any(trial.value is not None and trial.state.value == "complete" for trial in trials):
        return NoTrialError(f"no complete trial of study {study.name!r} meets its constraints; {see}")
    return NoTrialError(f"study {study.name!r} has no complete trial yet; {see}")
