"""`objective:`: what is optimised, one mapping or a list of several."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from tuner.config.messages import Problems
from tuner.config.metrics import COSTS
from tuner.config.schema import (
    AshaPruner,
    AutoPruner,
    CmaEsSampler,
    MedianPruner,
    NoPruner,
    Objective,
    PercentilePruner,
    Search,
    Section,
)
from tuner.config.schema.losses import AUTO_LOSS
from tuner.config.schema.metrics import OwnMetric
from tuner.config.searching import read_objective
from tuner.space.document import Located
from tuner.space.parameters import Choices, Parameter, Space

MAX_OBJECTIVES = 6
"""With more, nearly every trial is on the front, which then tells nothing."""
PARETO_PRUNERS = (AutoPruner, NoPruner, MedianPruner, PercentilePruner, AshaPruner)
"""Pruners that rank by several objectives."""


_CROSS_ENTROPIES = ("cross_entropy", "nll", "bce", "bce_with_logits", "focal")
"""Losses whose evaluation is the same number, whatever steers their training."""
_MEASURES = ("delta", "p", "margin", "log_input", "full", "target", "outputs", "options")
"""Options of a loss that its evaluation depends on too."""


def read_objectives(
    root: Located, data: Section | None, functions: Mapping[str, OwnMetric], problems: Problems
) -> tuple[Objective, ...] | None:
    """All objectives in the order of the file, each with its direction; None after a problem.

    `functions` are the user's own metrics by name.
    """
    node = root.items.get("objective")
    before = len(problems)
    if node is None or not isinstance(node.value, tuple):
        nodes = [node]
    else:
        if not 0 < len(node.value) <= MAX_OBJECTIVES:
            message = f"expected 1 to {MAX_OBJECTIVES} objectives, such as [{{metric: accuracy}}, {{metric: params}}]"
            problems.add(node, "objective", f"{message}; got {len(node.value)}")
            return None
        nodes = [replace(item, key=node.key) for item in node.value]
    paths = [f"objective.{index}" for index in range(len(nodes))] if len(nodes) > 1 else ["objective"]
    found = [
        read_objective(item, path, root, data, functions, problems) for path, item in zip(paths, nodes, strict=True)
    ]
    if len(problems) > before:
        return None
    objectives = tuple(objective for objective in found if objective is not None)
    _check_together(objectives, node or root, problems)
    return objectives if len(problems) == before else None


def _check_together(objectives: tuple[Objective, ...], node: Located, problems: Problems) -> None:
    names = [objective.metric for objective in objectives]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problems.add(node, "objective", f"{twice} is there twice; name each objective once")
    if all(name in COSTS for name in names):
        message = (
            f"{' and '.join(dict.fromkeys(names))} alone cannot tell a trained model from an untrained one; put a "
            f"metric beside it, such as [{{metric: accuracy}}, {{metric: {names[0]}}}]"
        )
        problems.add(node, "objective", message)


def check_search(root: Located, objectives: tuple[Objective, ...], search: Search, problems: Problems) -> None:
    """Not every sampler and pruner can do with several objectives."""
    if len(objectives) <= 1:
        return
    node = root.items.get("search") or root
    if search.stop != "never":
        message = "looks at what one objective gains; with several leave it out, or say never"
        problems.add(node.items.get("stop") or node, "search.stop", message)
    if isinstance(search.sampler, CmaEsSampler):
        message = "cmaes optimises one objective; for several use auto, tpe, gp, nsga2, nsga3, qmc, random or grid"
        problems.add(node.items.get("sampler") or node, "search.sampler", message)
    if not isinstance(search.pruner, PARETO_PRUNERS):
        kinds = ", ".join(str(cls.model_fields["kind"].default) for cls in PARETO_PRUNERS)
        message = f"{search.pruner.kind} ranks trials by one objective; for several use one of {kinds}"
        problems.add(node.items.get("pruner") or node, "search.pruner", message)


def check_loss(
    root: Located, objectives: tuple[Objective, ...], space: Space, task: str | None, problems: Problems
) -> None:
    """Trials that are measured by different losses cannot be compared by their loss.

    `task` is None where only the data can tell it.
    """
    if all(objective.metric != "loss" for objective in objectives):
        return
    nodes = root.items["space"].items if "space" in root.items else {}
    for parameter in space.parameters:
        if parameter.name in nodes and (_changes_loss(parameter, task) or _changes_huber(parameter, root, space)):
            message = (
                f"val/loss is another measure with each {parameter.name}, so that trials could not be compared by it; "
                "give objective.metric a metric"
            )
            problems.add(nodes[parameter.name], f"space.{parameter.name}", message, at_key=True)


def _changes_huber(parameter: Parameter, root: Located, space: Space) -> bool:
    """Whether it changes the unit of huber's `delta`: deviations of the target, where targets are scaled."""
    if parameter.name != "data.scale_targets":
        return False
    kind = root.items["loss"].items.get("kind") if "loss" in root.items else None
    searched = (other.domain for other in space.parameters if other.name == "loss.kind")
    kinds = [value for domain in searched if isinstance(domain, Choices) for value in domain.values]
    return "huber" in (kinds or [kind.value if kind else None])


def _changes_loss(parameter: Parameter, task: str | None) -> bool:
    section, _, rest = parameter.name.partition(".")
    if section != "loss":
        return False
    if rest != "kind":
        return rest.partition(".")[0] in _MEASURES
    kinds = parameter.domain.values if isinstance(parameter.domain, Choices) else ()
    named = {"cross_entropy" if kind in _CROSS_ENTROPIES else str(kind) for kind in kinds if kind != "auto"}
    return len(named | ({_auto(named, task)} if "auto" in kinds else set())) > 1


def _auto(named: AbstractSet[str], task: str | None) -> str:
    """What `auto` measures beside these; where only the data knows the task, the losses that are named tell it."""
    kind = AUTO_LOSS[task] if task else "cross_entropy" if named <= {"cross_entropy", "hinge"} else "mse"
    return "cross_entropy" if kind in _CROSS_ENTROPIES else kind
