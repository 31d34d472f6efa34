"""`metrics:`, which metrics every epoch records: names, and the user's own functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner.config import own
from tuner.config.messages import Problems, suggestion
from tuner.config.metrics import COSTS, METRICS, find
from tuner.config.schema.base import Section
from tuner.config.schema.metrics import OwnMetric
from tuner.config.sections import build
from tuner.space.document import Located, show

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is recorded besides what the objectives and constraints need."""

    chosen: tuple[str, ...] | None = None
    """Metrics by name; None for those of the task that cost next to nothing."""
    own: Mapping[str, OwnMetric] = field(default_factory=dict)
    """The user's own, by what they are called."""


def read_metrics(root: Located, task: str | None, problems: Problems) -> Recorded:
    """The metrics that the file names; `task` is that of the data, where its section tells."""
    node = root.items.get("metrics")
    if node is None or node.value is None:
        return Recorded()
    if own.trains(root):
        problems.add(node, "metrics", "own training code yields what it measures; leave metrics out", at_key=True)
        return Recorded()
    if not isinstance(node.value, tuple):
        problems.add(node, "metrics", f"expected a list such as [accuracy, f1_macro], got {show(node.plain())}")
        return Recorded()
    chosen: list[str] = []
    functions: dict[str, OwnMetric] = {}
    for index, item in enumerate(node.value):
        path = f"metrics.{index}"
        if isinstance(item.value, dict):
            _add_own(item, path, functions, problems)
        elif (reason := _problem(item.plain(), task)) is not None:
            problems.add(item, path, reason)
        else:
            chosen.append(str(item.plain()).removeprefix("val/"))
    return Recorded(chosen=tuple(dict.fromkeys(chosen)), own=functions)


def _problem(name: object, task: str | None) -> str | None:
    if not isinstance(name, str):
        return f"expected the name of a metric, or {{target: file.py:function}}; got {show(name)}"
    name = name.removeprefix("val/")
    info = find(name)
    if info is None:
        return f"unknown metric {name!r}{suggestion(name, METRICS)}"
    return None if task is None or task in info.tasks else f"{name} is for {info.text}, but the data is for {task}"


def _add_own(item: Located, path: str, functions: dict[str, OwnMetric], problems: Problems) -> None:
    built: Section | None = build(path, OwnMetric, item, problems)
    if not isinstance(built, OwnMetric):
        return
    name = built.label
    if ":" not in built.target:
        problems.add(item.items["target"], f"{path}.target", f"expected file.py:function, got {show(built.target)}")
    elif not re.fullmatch(_NAME, name) or find(name) or name in COSTS or name in functions:
        taken = "is taken" if re.fullmatch(_NAME, name) else "cannot name a metric"
        problems.add(item.items.get("name") or item, f"{path}.name", f"{name!r} {taken}; give it a name: of its own")
    else:
        functions[name] = built
