"""The sections that are about the search and not about a trial: objective, search, confirm, and the root's own keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from tuner.config import own
from tuner.config.messages import Problems, suggestion, unknown_key
from tuner.config.metrics import COSTS, METRICS, find, metrics_of
from tuner.config.schema import Confirm, GridSampler, Objective, Search, Section
from tuner.config.schema.metrics import OwnMetric
from tuner.config.schema.sources import DataSection
from tuner.config.sections import TRIAL_SECTIONS, build, read_section, validate
from tuner.space.document import Located, show
from tuner.space.durations import parse_duration
from tuner.space.parameters import FloatRange, Space

VERSION = 1
ROOT_KEYS = (
    *("version", "study", "seed", "objective", "constraints", "metrics"),
    *TRIAL_SECTIONS,
    *("space", "search", "confirm", "trackers"),
)
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


def check_root(root: Located, problems: Problems) -> None:
    """Unknown keys, and the version of the format."""
    for key, node in root.items.items():
        if key not in ROOT_KEYS:
            problems.add(node, key, unknown_key(key, ROOT_KEYS), at_key=True)
    version = root.items.get("version")
    if version and (type(version.value) is not int or version.value != VERSION):
        problems.add(version, "version", f"expected {VERSION}, the only version there is; got {show(version.plain())}")


def read_study(root: Located, file: str, problems: Problems) -> str:
    """The study's name: the file's stem by default. It becomes the name of a folder."""
    node = root.items.get("study")
    name = node.plain() if node and node.value is not None else PurePath(file).stem
    if isinstance(name, str) and re.fullmatch(STUDY_NAME, name):
        return name
    rule = "1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first"
    origin = "" if node and node.value is not None else " (from the file's name; add study: NAME)"
    problems.add(node or root, "study", f"expected {rule}; got {show(name)}{origin}")
    return ""


def read_seed(root: Located, problems: Problems) -> int:
    node = root.items.get("seed")
    value = node.value if node else 0
    if node and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        problems.add(node, "seed", f"expected an integer of 0 or more, got {show(node.plain())}")
    return value if isinstance(value, int) else 0


def read_objective(
    node: Located | None,
    path: str,
    root: Located,
    data: Section | None,
    functions: Mapping[str, OwnMetric],
    problems: Problems,
) -> Objective | None:
    """One objective, with its direction; the loss when the file does not say. `path` names it in messages."""
    before = len(problems)
    objective = read_section("objective", node, root, problems)
    if len(problems) > before or not isinstance(objective, Objective):
        return None
    if own.trains(root):
        return own.read_objective(root, node or root, path, objective, problems)
    metric = node.items.get("metric") if node else None
    name = objective.metric.removeprefix("val/")
    if name in functions:
        return _directed(functions[name], node or root, path, objective, problems)
    reason = _metric_problem(name, data, functions)
    if reason is not None:
        problems.add(metric or root, f"{path}.metric", reason)
        return None
    info = COSTS.get(name) or find(name)
    assert info is not None
    return objective.model_copy(update={"metric": name, "direction": objective.direction or info.direction})


def _directed(
    function: OwnMetric, node: Located, path: str, objective: Objective, problems: Problems
) -> Objective | None:
    """An objective that the user's own function measures."""
    name, direction = function.label, objective.direction or function.direction
    if direction is None:
        message = f"missing; which way {name} is better only you know: add direction: maximize, or minimize"
        problems.add(node, f"{path}.direction", message, at_key=True)
        return None
    return objective.model_copy(update={"metric": name, "direction": direction})


def _metric_problem(name: str, data: Section | None, functions: Iterable[str]) -> str | None:
    split, slash, _ = name.partition("/")
    if slash and split == "test":
        return "the test part is sealed until the search is over; optimise a metric of the validation part"
    if slash and split == "train":
        return "a metric of the training part rewards overfitting; optimise one of the validation part"
    if name in COSTS:
        return None
    found = find(name)
    if found is None:
        return f"unknown metric {name!r}{suggestion(name, [*METRICS, *COSTS, *functions])}"
    task = task_of(data)
    if task is None or task in found.tasks:
        return None
    source = getattr(data, "kind", "data")
    return f"{name} is for {found.text}, but {source} is {task}; one of {', '.join(metrics_of(task))}"


def task_of(data: Section | None) -> str | None:
    """The task of a data source, where its section tells; None where only the data can."""
    if not isinstance(data, DataSection):
        return None
    task = data.own_task if data.task == "auto" else data.task
    return None if task == "auto" else task


def read_confirm(root: Located, space: Space, problems: Problems, *, n_objectives: int = 1) -> Confirm | None:
    """Re-training of the best: as a rule where there is something to choose from; None when it is off.

    A front has no best trial: with several objectives nothing is confirmed.
    """
    node = root.items.get("confirm")
    if node is None or node.value is None:
        return Confirm() if space.parameters and n_objectives == 1 else None
    if node.value == "off":
        return None
    if n_objectives > 1:
        problems.add(node, "confirm", "chooses by the mean of one objective; with several leave it out, or say off")
        return None
    confirm = read_section("confirm", node, root, problems)
    return confirm if isinstance(confirm, Confirm) else None


def read_search(root: Located, problems: Problems) -> Search | None:
    """How to search: `sampler: tpe` is short for `sampler: {kind: tpe}`, and the timeout may be text."""
    node = root.items.get("search")
    if node is None or node.value is None:
        return Search()
    if not isinstance(node.value, dict):
        problems.add(node, "search", f"expected a mapping such as {{trials: 50}}, got {show(node.plain())}")
        return None
    before = len(problems)
    parts: dict[str, Any] = {}
    for key in ("sampler", "pruner"):
        if key in node.items:
            parts[key] = _read_kinded(key, node.items[key], problems)
    timeout = _read_timeout(node.items.get("timeout"), problems)
    rest = {key: item for key, item in node.items.items() if key not in ("sampler", "pruner")}
    if timeout is not None:
        rest["timeout"] = timeout
    found = build("search", Search, replace(node, value=rest), problems)
    if len(problems) > before or found is None:
        return None
    data: dict[str, Any] = {key: item.plain() for key, item in rest.items()}
    built = validate(Search, {**data, **parts})
    assert isinstance(built, Search)
    return built


def _read_kinded(key: str, node: Located, problems: Problems) -> Section | None:
    if isinstance(node.value, str):
        node = replace(node, value={"kind": replace(node, key=None)})
    return read_section(f"search.{key}", node, node, problems)


def _read_timeout(node: Located | None, problems: Problems) -> Located | None:
    if node is None or not isinstance(node.value, str):
        return node
    try:
        return replace(node, value=parse_duration(node.value))
    except ValueError as error:
        problems.add(node, "search.timeout", str(error))
        return replace(node, value=None)


def check_grid(root: Located, search: Search, space: Space, problems: Problems) -> None:
    """A grid needs to know how many points a continuous range has."""
    if not isinstance(search.sampler, GridSampler) or search.sampler.points is not None:
        return
    nodes = root.items["space"].items if "space" in root.items else {}
    for parameter in space.parameters:
        if isinstance(parameter.domain, FloatRange) and parameter.domain.step is None:
            name = parameter.name if parameter.name in nodes else parameter.name.rpartition(".")[0]
            message = "a grid needs points on a continuous range; give step, or search.sampler: {kind: grid, points: 5}"
            problems.add(nodes[name], f"space.{name}", message)
