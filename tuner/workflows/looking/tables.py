"""What a table of numbers and categories asks for: what to leave out, how to split, what else it may be for."""

from __future__ import annotations

from collections import Counter

from tuner.errors import UsageError
from tuner.workflows.looking import draft as drafts
from tuner.workflows.looking.columns import Column, Role, moments, step_of
from tuner.workflows.looking.draft import Draft, line, names, option, some
from tuner.workflows.looking.reading import Table
from tuner.workflows.looking.targets import REGRESSION, Targets, objective_of, predicts, target_line

SIZES = "val: 0.2, test: 0.2"
LEFT_OUT = {
    Role.IDENTIFIER: "names the row, which nothing can be learned from",
    Role.TEXT: "is text, which a table of numbers and categories does not take",
    Role.CONSTANT: "is the same in every row",
    Role.NESTED: "has several values in a field",
}
"""Columns that say nothing of a row that holds for others, and why."""
ORDERED = "or regression, with {metric: rmse}: numbers in an order, whose near misses count less"
PLURALS = {"category": "categories", "nested": "nested"}


def draft_of(table: Table, targets: Targets) -> Draft:
    """A table of numbers and categories."""
    inputs = [column for column in table.columns if column.name not in targets.names]
    if all(column.role in LEFT_OUT for column in inputs):
        why = "; ".join(f"{column.name} {LEFT_OUT[column.role]}" for column in inputs[:3])
        raise UsageError(f"{table.asked.path}: no column is left to learn {', '.join(targets.names)} from: {why}")
    lines = [
        "data:",
        f"  kind: {'csv' if table.dialect else 'parquet'}",
        option("path", table.asked.written),
        *table.written(),
        target_line(targets),
        line(f"  task: {targets.task}", ORDERED if targets.is_ordered else ""),
        *(names("missing_values", table.dialect.missing) for _ in (1,) if table.dialect and table.dialect.missing),
        *_left_out(table, targets),
        *_dates(inputs),
        "  batch_size: 64",
        *_split(table, targets),
    ]
    what = {"multilabel": "A table whose target columns have 0 or 1 for each of several labels.", "regression": ""}
    return Draft(
        template=targets.template,
        about=what.get(targets.task, ""),
        sections={"data": tuple(lines), "objective": (objective_of(targets),)},
        found=(_shape(table), predicts(targets), *_ideas(table, targets)),
    )


def _shape(table: Table) -> str:
    counts = Counter(column.role.value for column in table.columns)
    roles = ", ".join(
        f"{count} {role if count == 1 else PLURALS.get(role, role + 's')}" for role, count in counts.items()
    )
    return f"{table.asked.path}: {table.n_rows} rows, {len(table.columns)} columns ({roles})"


def _left_out(table: Table, targets: Targets) -> list[str]:
    left = table.of(*LEFT_OUT, besides=targets.names)
    if not left:
        return []
    why = "; ".join(
        f"{some([column.name for column in left if column.role is role], 3)} {reason}"
        for role, reason in LEFT_OUT.items()
        if any(column.role is role for column in left)
    )
    return [names("drop", [column.name for column in left], why)]


def _dates(inputs: list[Column]) -> list[str]:
    """Dates that are not found by themselves; those of one form."""
    formats = Counter(column.date_format for column in inputs if column.date_format)
    if not formats:
        return []
    usual = formats.most_common(1)[0][0]
    why = "or the day first" if usual.startswith("%m/%d") else "or the month first" if usual.startswith("%d/%m") else ""
    found = [column.name for column in inputs if column.date_format == usual]
    return [names("dates", found), option("date_format", usual, why)]


def _split(table: Table, targets: Targets) -> list[str]:
    """In the order of time where the rows have it, else by chance; what else may be right stands beside it."""
    inputs = [column for column in table.columns if column.name not in targets.names]
    usual = {column.date_format for column in inputs if column.date_format}
    times = [column for column in inputs if column.is_time and len(usual) < 2 and not column.has_gaps]  # noqa: PLR2004
    groups = [column for column in inputs if column.is_group(table.n_rows)]
    chance = _by_chance(targets)
    others = [
        line(
            f"  # split: {{by: group, column: {drafts.scalar(column.name)}, {SIZES}}}",
            f"where rows of one {column.name} must not be in two parts",
        )
        for column in groups[:1]
    ]
    if not times:
        return [chance, *others]
    time = next((column for column in times if column.is_sorted), times[0])
    by_time = f"split: {{by: time, column: {drafts.scalar(time.name)}, {SIZES}}}"
    if time.is_sorted and _has_all_classes_early(table, targets):
        why = f"rows are in the order of {time.name}: learn from the past, be tested on what came later"
        return [line(f"  {by_time}", why), f"  # {chance.strip()}", *others]
    why = f"where what is predicted comes later than what was learned from (by {time.name})"
    return [chance, line(f"  # {by_time}", why), *others]


def _has_all_classes_early(table: Table, targets: Targets) -> bool:
    """Whether the rows that train, when they are split by time, have every class."""
    if not targets.counts:
        return True
    column = table.frame[targets.names[0]]
    return bool(column.iloc[: int(0.6 * len(column))].nunique() == column.nunique())


def _by_chance(targets: Targets) -> str:
    if targets.task == "multilabel":
        return line(f"  split: {{{SIZES}}}", "by chance: rows with several labels cannot be stratified by them")
    if targets.task == "regression":
        return f"  split: {{{SIZES}}}"
    return drafts.split(0.2, 0.2, targets.counts, "the same shares of the classes in every part")


def _ideas(table: Table, targets: Targets) -> list[str]:
    """What else the table may be for."""
    path = table.asked.written
    if targets.is_ordered:
        return [f"they are numbers: `tuner init {REGRESSION} --data {path}` learns them as quantities instead"]
    time = next((c for c in table.of(Role.DATE, besides=targets.names) if c.is_sorted and not c.has_gaps), None)
    if time is None or targets.task != "regression" or not step_of(table.frame[time.name], time.date_format):
        return []
    return [f"regular steps of {time.name}: `tuner init forecasting --data {path}` predicts the next rows instead"]


def order_of(table: Table) -> tuple[Column | None, float | None]:
    """The column of times, sorted or not, and the usual step in seconds."""
    found = table.of(Role.DATE) or [column for column in table.columns if column.is_time]
    if not found:
        return None, None
    column = found[0]
    values = table.frame[column.name]
    if column.role is not Role.DATE:
        return column, None
    return column, step_of(moments(values, column.date_format).sort_values(), "")
