"""The columns of a table that are predicted: classes or quantities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tuner.config.schema.tables import TableData
from tuner.data.categories import category_names
from tuner.data.decoded import Request, Task, WantedTask
from tuner.data.missing import is_missing
from tuner.data.scaling import Array
from tuner.data.tables import series_values
from tuner.errors import DataError

MAX_CLASSES_OF_AN_INTEGER = 20
"""More distinct integers than that are taken for quantities, unless the metric or `task` says otherwise."""
N_SHOWN = 5


class Places(Protocol):
    """Where rows are."""

    @property
    def path(self) -> Path: ...

    def place(self, row: int, column: str) -> str: ...


class Table(Places, Protocol):
    @property
    def data(self) -> TableData: ...

    @property
    def frame(self) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    task: Task
    labels: tuple[str, ...]
    values: Array
    """int64 [N] classes, or float32 [N, targets]."""
    column: str
    """The column that errors of rows name."""


def read_targets(table: Table, request: Request) -> Targets:
    """The target columns as a task's targets; DataError names the row that cannot be one."""
    names = table.data.targets
    if request.task == "autoencoding":
        nothing = np.zeros((len(table.frame), 0), dtype=np.float32)
        return Targets(task="autoencoding", labels=(), values=nothing, column=_first_column(table))
    return targets_of_columns(table, {name: series_values(table.frame[name], exact=True) for name in names}, request)


def targets_of_columns(table: Places, columns: Mapping[str, Array], request: Request) -> Targets:
    """Classes of one column, indicators or quantities of one or several; DataError names the row that cannot be one."""
    names = tuple(columns)
    if request.task == "language":
        raise DataError(f"{table.path}: a table has no tokens; take data.task: classification or regression")
    if request.task == "multilabel" or (
        len(names) > 1 and request.task == "auto" and "regression" not in request.tasks
    ):
        indicators = np.concatenate([_indicators(table, *column) for column in columns.items()], axis=1)
        return Targets(task="multilabel", labels=names, values=indicators, column=names[0])
    if len(names) == 1:
        task, labels, values = targets_of(table, columns[names[0]], names[0], request.task)
        return Targets(task=task, labels=labels, values=values, column=names[0])
    if request.task == "classification":
        raise DataError(
            f"data.target: {len(names)} columns cannot be one class; take data.task: multilabel where each is 0 or 1,"
            " or data.task: regression and a metric such as rmse for quantities"
        )
    for name, column in columns.items():
        _refuse_unknown(table, name, column)
    quantities = [_quantities(table, *column) for column in columns.items()]
    return Targets(task="regression", labels=(), values=np.concatenate(quantities, axis=1), column=names[0])


def _first_column(table: Table) -> str:
    return str(table.frame.columns[0])


def targets_of(table: Places, values: Array, name: str, wanted: WantedTask) -> tuple[Task, tuple[str, ...], Array]:
    """Task, labels and checked targets from a column: numbers with nan, or objects with None for missing."""
    _refuse_unknown(table, name, values)
    numeric = values.dtype.kind in "iuf"
    whole = numeric and bool((values == np.floor(values)).all())
    distinct = np.unique(values) if numeric else values[:0]
    if wanted == "auto":
        few = whole and len(distinct) <= MAX_CLASSES_OF_AN_INTEGER
        wanted = "classification" if few or not numeric else "regression"
    if wanted == "regression":
        return "regression", (), _quantities(table, name, values)
    if numeric and not whole and len(distinct) > MAX_CLASSES_OF_AN_INTEGER:
        raise DataError(
            f"{table.path}: column {name!r}: {len(distinct)} distinct numbers with fractions cannot be classes; for a"
            " quantity take data.task: regression and a metric such as rmse"
        )
    names = category_names(values)
    labels = tuple(category_names(distinct)) if numeric else tuple(sorted(set(names)))
    code_of = {label: code for code, label in enumerate(labels)}
    return "classification", labels, np.array([code_of[text] for text in names], dtype=np.int64)


def _refuse_unknown(table: Places, name: str, values: Array) -> None:
    if values.dtype.kind == "M":
        raise DataError(f"{table.place(0, name)}: a date cannot be predicted; make a number of it, such as days")
    nested = next((row for row, value in enumerate(values) if isinstance(value, (list, dict, np.ndarray))), None)
    if nested is not None:
        raise DataError(f"{table.place(nested, name)}: a {type(values[nested]).__name__}; a target is one value a row")
    missing = np.flatnonzero([is_missing(value) for value in values])
    if len(missing):
        shown = [table.place(int(row), name).partition(": column")[0] for row in missing[:N_SHOWN]]
        places = ", ".join(place.removeprefix(f"{table.path}:").strip() for place in shown)
        lines = "lines " if places[0].isdigit() else ""
        more = ", ..." if len(missing) > N_SHOWN else ""
        raise DataError(
            f"{table.place(int(missing[0]), name)}: the target is missing in {len(missing)} of {len(values)} rows"
            f" ({lines}{places}{more}); remove these rows, or fill the value in"
        )
    infinite = np.flatnonzero(np.isinf(values)) if values.dtype == np.float64 else missing
    if len(infinite):
        raise DataError(
            f"{table.place(int(infinite[0]), name)}: infinite ({len(infinite)} of {len(values)} values); give a finite"
            " number, or remove the row"
        )


def _indicators(table: Places, name: str, values: Array) -> Array:
    """A column of 0 and 1, or of False and True, as float32 [N, 1]."""
    _refuse_unknown(table, name, values)
    wrong = np.flatnonzero([value not in (0, 1) for value in values])
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{table.place(row, name)}: {_shown(values[row])}; a label of several is 0 or 1, or False or True"
            f" ({len(wrong)} such rows)"
        )
    return values.astype(np.float32).reshape(-1, 1)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _quantities(table: Places, name: str, values: Array) -> Array:
    if values.dtype.kind not in "iuf":
        row = next((row for row, value in enumerate(values) if not _is_number(value)), 0)
        raise DataError(
            f"{table.place(row, name)}: {values[row]!r} is not a number; for classes take data.task: classification"
            " and a metric such as accuracy"
        )
    with np.errstate(over="ignore"):
        targets = values.astype(np.float32).reshape(-1, 1)
    if not np.isfinite(targets).all():
        row = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise DataError(f"{table.place(row, name)}: {values[row]} is outside float32's range; scale the column")
    return targets


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
