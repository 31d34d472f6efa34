"""Which column of a table is predicted, and what kind of task that is."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.config.messages import nearest
from tuner.data.sources.table_targets import MAX_CLASSES_OF_AN_INTEGER
from tuner.errors import UsageError
from tuner.workflows.looking import draft as drafts
from tuner.workflows.looking.columns import HALF, Column, Role
from tuner.workflows.looking.draft import line, names, option
from tuner.workflows.looking.reading import Table

NAMES = frozenset({"target", "label", "class", "y", "outcome", "response"})
"""Of columns that are predicted."""
CLASSIFICATION, REGRESSION = "tabular-classification", "tabular-regression"
UNPREDICTABLE = {
    Role.DATE: "dates, which cannot be predicted",
    Role.CONSTANT: "the same value in every row",
    Role.NESTED: "several values in a field, which cannot be predicted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is predicted."""

    names: tuple[str, ...]
    why: str
    task: str
    counts: dict[str, int]
    """Rows of each class; empty but for classification."""

    @property
    def is_ordered(self) -> bool:
        """Whether classes are several numbers, which may be quantities too."""
        return len(self.counts) > 2 and all(name.lstrip("-").isdecimal() for name in self.counts)  # noqa: PLR2004 - two

    @property
    def template(self) -> str:
        return REGRESSION if self.task == "regression" else CLASSIFICATION


def targets_of(table: Table) -> Targets:
    """The named columns or a guess; UsageError where a column cannot be predicted."""
    asked = table.asked.targets
    for name in asked:
        if name not in table.frame.columns:
            present = [column.name for column in table.columns]
            near = nearest(name, present)
            hint = f"; did you mean {near!r}? It" if near else "; it"
            raise UsageError(f"{table.asked.path}: no column {name!r}{hint} has {', '.join(present)}")
    names, why = (asked, "") if asked else _guess(table)
    if len(names) > 1:
        is_labels = all(set(table.frame[name].dropna().unique()) <= {0, 1} for name in names)
        return Targets(names=names, why=why, task="multilabel" if is_labels else "regression", counts={})
    return _one_target(table, names[0], why)


def _guess(table: Table) -> tuple[tuple[str, ...], str]:
    possible = [
        column.name
        for column in table.of(Role.NUMBER, Role.CATEGORY)
        if column.role is Role.NUMBER or not _names_rows(column, table)
    ]
    by_name = [name for name in possible if name.lower() in NAMES]
    if len(by_name) == 1:
        return (by_name[0],), "by its name"
    if not possible:
        raise UsageError(f"{table.asked.path}: no column of numbers or classes to predict; name one with --target")
    is_last = possible[-1] == table.columns[-1].name
    return (possible[-1],), "the last column" if is_last else "the last column of numbers or classes"


def _names_rows(column: Column, table: Table) -> bool:
    """Whether a column has too many values for classes."""
    return column.n_distinct > HALF * table.n_rows and table.n_rows > MAX_CLASSES_OF_AN_INTEGER


def _one_target(table: Table, name: str, why: str) -> Targets:
    from pandas.api import types

    column, values = table[name], table.frame[name].dropna()
    where = f"{table.asked.path}: column {name!r}"
    if column.role in UNPREDICTABLE:
        raise UsageError(f"{where}: {UNPREDICTABLE[column.role]}; name another column with --target")
    is_number = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
    is_whole = is_number and bool((values % 1 == 0).all())
    wanted = table.asked.template
    if wanted == REGRESSION or (
        wanted != CLASSIFICATION and is_number and not (is_whole and column.n_distinct <= MAX_CLASSES_OF_AN_INTEGER)
    ):
        return Targets(names=(name,), why=why, task="regression", counts={})
    if _names_rows(column, table):
        raise UsageError(
            f"{where}: {column.n_distinct} distinct values in {table.n_rows} rows are no classes; name another column"
            " with --target"
        )
    texts = values.astype(int) if is_whole else values
    counts = {str(value): int(count) for value, count in texts.value_counts().items()}
    return Targets(names=(name,), why=why, task="classification", counts=counts)


def target_line(targets: Targets) -> str:
    why = f"{targets.why}; `tuner init TABLE --target COLUMN` takes another" if targets.why else ""
    if len(targets.names) > 1:
        return names("target", targets.names, why)
    return option("target", targets.names[0], why)


def objective_of(targets: Targets) -> str:
    if targets.task == "multilabel":
        return line("objective: {metric: f1_macro}", "the mean over the labels")
    return "objective: {metric: rmse}" if targets.task == "regression" else drafts.objective(targets.counts)


def predicts(targets: Targets) -> str:
    """What is told of the target."""
    what = drafts.shares(targets.counts) if targets.counts else "labels" if targets.task == "multilabel" else "a number"
    why = f" ({targets.why}; another: --target COLUMN)" if targets.why else ""
    return f"predicts {', '.join(targets.names)}{why}: {what}"
