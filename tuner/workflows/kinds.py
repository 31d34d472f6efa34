"""Kinds of the space that this data cannot be trained with: found before the first trial, not one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuner.config.schema import TrialConfig
from tuner.config.spec import Spec
from tuner.errors import ConfigError
from tuner.execution.protocol import Executor, TryRequest
from tuner.space.parameters import Params
from tuner.workflows.points import Kind, at_ends, kinds_of, near_base

TRIED = ("model.kind", "loss.kind")
"""Whose kinds depend on what the data is; a search tries nothing else, as it would cost more than it saves."""


def refuse_kinds(spec: Spec, executor: Executor) -> list[str]:
    """What to say of kinds that cannot be trained; ConfigError when that is all that a parameter chooses among."""
    wrong = _unusable(spec, executor)
    for name in TRIED:
        kinds = kinds_of(spec, (name,))
        if kinds and not spec.space[name].conditions and all(kind in wrong for kind in kinds):
            lines = [f"{spec.file}: space.{kind}: {wrong[kind]}" for kind in kinds]
            raise ConfigError("\n".join(lines))
    return [
        f"{kind} cannot be trained here, and its trials end as they begin; take it out of the space: {problem}"
        for kind, problem in wrong.items()
    ]


def _unusable(spec: Spec, executor: Executor) -> dict[Kind, str]:
    """Kinds that fail near the base config and at both ends of the space, with what is wrong near the base config."""
    if spec.base.is_own_training:
        return {}
    kinds = kinds_of(spec, TRIED)
    near = {kind: [point] for kind in kinds if (point := near_base(spec, kind)) is not None}
    problems = _problems(spec, executor, near)
    further = _problems(spec, executor, {kind: at_ends(spec, kind) for kind in problems})
    return {kind: problem for kind, problem in problems.items() if kind in further}


def _problems(spec: Spec, executor: Executor, points: Mapping[Kind, Sequence[Params]]) -> dict[Kind, str]:
    """The kinds all of whose points fail, with what the first says."""
    said: dict[Kind, list[str]] = {kind: [] for kind in points}
    configs: list[tuple[Kind, TrialConfig]] = []
    for kind, of_kind in points.items():
        for params in of_kind:
            try:
                configs.append((kind, spec.bind(params)))
            except ConfigError as error:
                said[kind].append(str(error))
    if configs:
        tried = executor.try_out(TryRequest(configs=tuple(config for _, config in configs)))
        for (kind, _), problem in zip(configs, tried.problems, strict=True):
            said[kind].append(problem)
    return {kind: texts[0] for kind, texts in said.items() if texts and all(texts)}
