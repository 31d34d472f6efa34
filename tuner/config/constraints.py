"""`constraints:` at the root of the file: which trials may win, as comparisons of metrics, costs and params."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuner.config import own
from tuner.config.compile import Compiled
from tuner.config.expressions import Constraint, ExpressionError, Name, parse
from tuner.config.messages import Problems, nearest
from tuner.config.metrics import COSTS, METRICS, find
from tuner.config.schema import Objective, Section, TrialConfig
from tuner.config.searching import task_of
from tuner.config.sections import KINDS, class_of
from tuner.space.document import Located, show
from tuner.space.parameters import Choices

MAX_CONSTRAINTS = 50
SPLITS = ("train/", "test/")


def read_constraints(
    root: Located,
    sections: Mapping[str, Section | None],
    compiled: Compiled,
    objectives: Sequence[Objective],
    functions: Collection[str],
    problems: Problems,
) -> tuple[Constraint, ...]:
    """The checked constraints; a name in one is a metric, a cost, or the dotted path of a number of the config."""
    node = root.items.get("constraints")
    if node is None or node.value is None:
        return ()
    if not isinstance(node.value, tuple):
        message = f'expected a list such as ["params <= 2e6"], got {show(node.plain())}'
        problems.add(node, "constraints", message)
        return ()
    if len(node.value) > MAX_CONSTRAINTS:
        problems.add(node, "constraints", f"at most {MAX_CONSTRAINTS}, got {len(node.value)}")
        return ()
    measured = [objective.metric for objective in objectives] if own.trains(root) else None
    known = _Names(sections, compiled, measured, functions)
    found = [_read(item, index, known, problems) for index, item in enumerate(node.value)]
    return tuple({constraint.text: constraint for constraint in found if constraint}.values())


def _read(item: Located, index: int, known: _Names, problems: Problems) -> Constraint | None:
    path = f"constraints.{index}"
    if not isinstance(item.value, str):
        problems.add(item, path, f'expected text such as "params <= 2e6", got {show(item.plain())}')
        return None
    try:
        constraint = parse(item.value)
    except ExpressionError as error:
        problems.add(_at(item, error.offset), path, error.message)
        return None
    faults = [(name, reason) for name in constraint.names if (reason := known.problem(name)) is not None]
    for name, reason in faults:
        problems.add(_at(item, name.offset), path, reason)
    return None if faults else constraint


def _at(item: Located, offset: int) -> Located:
    """The place of a character of a text."""
    if not item.mark.line:
        return item
    return replace(item, mark=replace(item.mark, column=item.mark.column + item.is_quoted + offset))


class _Names:
    """What a constraint can name in one space file."""

    def __init__(
        self,
        sections: Mapping[str, Section | None],
        compiled: Compiled,
        measured: Sequence[str] | None,
        functions: Collection[str],
    ) -> None:
        """`measured` are the metrics that own training code has to yield; None where tuner trains.

        `functions` are the user's own metrics.
        """
        self._functions = functions
        self._task = task_of(sections.get("data"))
        self._measured = measured
        self._layers = {layers.name for layers in compiled.per_layer}
        self._domains = {parameter.name: parameter.domain for parameter in compiled.space.parameters}
        self._leaves = dict(_all_leaves(sections, compiled))

    def problem(self, name: Name) -> str | None:
        """Why it cannot be named; None when it can."""
        text = name.name
        metric = text.removeprefix("val/")
        if self._measured is not None and not {".", "/"} & set(metric):
            return None  # own training code yields what it names, which only its first epoch can show
        if metric in self._functions or (metric in COSTS and metric == text):
            return None
        info = find(metric)
        if info is not None:
            if self._task is None or self._task in info.tasks:
                return None
            return f"{metric} is for {info.text}, but the data is for {self._task}"
        if text.startswith(SPLITS):
            return "constraints are on metrics of the validation part, such as val/accuracy"
        return self._problem_of_param(text)

    def _problem_of_param(self, name: str) -> str | None:
        if name in self._layers:
            return f"{name} has a value for each layer; name one of them, such as {name}.0"
        if name in self._domains:
            domain = self._domains[name]
            values = domain.values if isinstance(domain, Choices) else ()
            return _wrong_value(name, next((value for value in values if not _is_number_or_none(value)), None))
        if name in self._leaves:
            return _wrong_value(name, self._leaves[name])
        names = [*COSTS, *METRICS, *self._domains, *self._leaves]
        near = nearest(name, names)
        if near is not None:
            return f"unknown name {name!r}; did you mean {near!r}?"
        costs = ", ".join(COSTS)
        return f"unknown name {name!r}; known are {costs}, the metrics, and dotted paths such as optimizer.lr"


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _wrong_value(name: str, value: object) -> str | None:
    return None if _is_number_or_none(value) else f"{name} can be {show(value)}; constraints compare numbers"


def _all_leaves(sections: Mapping[str, Section | None], compiled: Compiled) -> Iterator[tuple[str, object]]:
    """Every value of the base config by path, and the defaults of the kinds that vary."""
    domains = {parameter.name: parameter.domain for parameter in compiled.space.parameters}
    for name in KINDS:
        domain = domains.get(f"{name}.kind")
        for kind in domain.values if isinstance(domain, Choices) else ():
            for field, info in class_of(name, str(kind)).model_fields.items():
                yield from _leaves(f"{name}.{field}", None if info.is_required() else info.get_default())
    for name, section in sections.items():
        if section is not None:
            yield from _leaves(name, section.model_dump())


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    items = value.model_dump() if isinstance(value, Section) else value
    yield path, items
    if isinstance(items, dict):
        for key, item in items.items():
            yield from _leaves(f"{path}.{key}", item)
    elif isinstance(items, (list, tuple)):
        for index, item in enumerate(items):
            yield from _leaves(f"{path}.{index}", item)


def value_at(config: TrialConfig, path: str) -> float | None:
    """The number at a dotted path of a config; None when there is none: an option of another kind, a layer too many."""
    at: Any = config
    for part in path.split("."):
        if isinstance(at, Section):
            at = getattr(at, part) if part in type(at).model_fields else None
        elif isinstance(at, dict):
            at = at.get(part)
        elif isinstance(at, (list, tuple)) and part.isdecimal():
            at = at[int(part)] if int(part) < len(at) else None
        else:
            return None
    return float(at) if isinstance(at, (int, float)) and not isinstance(at, bool) else None
