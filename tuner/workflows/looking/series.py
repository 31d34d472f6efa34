"""What a table in time order asks for when its next rows are to be predicted."""

from __future__ import annotations

from tuner.errors import UsageError
from tuner.workflows.looking.columns import Column, Role
from tuner.workflows.looking.draft import Draft, line, names, option
from tuner.workflows.looking.reading import Table
from tuner.workflows.looking.tables import order_of

TEMPLATE = "forecasting"
WINDOW, HORIZON = 48, 12
SEASONS = {3600.0: (24, "a day"), 86400.0: (7, "a week"), 1800.0: (48, "a day"), 900.0: (96, "a day")}
"""By the step in seconds: steps of a season, and what that is."""
MONTH_S = 28 * 86400.0


def of_table(table: Table) -> Draft:
    """Windows of the rows before, and the next values of the target; UsageError where there is no number to predict."""
    asked = table.asked
    time, step = order_of(table)
    numbers = [column.name for column in table.of(Role.NUMBER) if time is None or column.name != time.name]
    targets = asked.targets or tuple(numbers[-1:])
    wrong = [name for name in targets if name not in numbers]
    if wrong or not targets:
        what = f"column {wrong[0]!r} is none" if wrong else "there is none"
        raise UsageError(f"{asked.path}: a column of numbers to predict: {what}; it has {', '.join(numbers) or 'none'}")
    group = _group(table, time) if time else ""
    window = max(2, min(WINDOW, table.n_rows // 20))
    horizon = max(1, min(HORIZON, window // 4))
    order = "the order of the rows" if time else "no column of times: the rows are taken in the order of the file"
    lines = [
        "data:",
        "  kind: series",
        option("path", asked.written),
        *([option("delimiter", table.dialect.delimiter)] if table.dialect and table.dialect.delimiter != "," else []),
        *([option("time", time.name, order)] if time else [f"  # time: COLUMN   {order}"]),
        *([option("group", group, "several series: each time is there once for each of these")] if group else []),
        names("target", targets) if len(targets) > 1 else option("target", targets[0]),
        line(f"  window: {window}", "rows that are seen"),
        line(f"  horizon: {horizon}", "rows that are predicted"),
        *_season(step, table.n_rows),
        line("  look_back: true", "windows of validation may see (not predict) rows of training"),
        *(["  missing: forward_fill"] if any(table[name].has_gaps for name in numbers) else []),
        *(
            [line("  gaps: split", "where a step is not like the others: no window crosses it")]
            if time and not step
            else []
        ),
        "  batch_size: 64",
        line("  split: {val: 0.15, test: 0.15}", "in time: the last rows are the test"),
    ]
    told = f"predicts the next {horizon} of {', '.join(targets)} from the last {window} rows"
    return Draft(
        template=TEMPLATE,
        sections={"data": tuple(lines)},
        found=(f"{asked.path}: {table.n_rows} rows, {order if not time else f'ordered by {time.name}'}", told),
    )


def _group(table: Table, time: Column) -> str:
    """The column that tells several series apart, where times come more than once; empty for one series."""
    if not table.frame[time.name].duplicated().any():
        return ""
    possible = [column.name for column in table.of(Role.CATEGORY, Role.NUMBER) if column.name != time.name]
    return next((name for name in possible if not table.frame.duplicated([time.name, name]).any()), "")


def _season(step: float | None, n_rows: int) -> list[str]:
    season = SEASONS.get(step or 0.0) or ((12, "a year") if step and step >= MONTH_S else None)
    if season is None or n_rows < 10 * season[0]:
        return []
    return [line(f"  season: {season[0]}", f"steps of {season[1]}: `tuner best` compares with the value so long ago")]
