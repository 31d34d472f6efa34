"""Forecasting: windows of past rows of one or several series, and the rows after each as targets.

The data are cut in time: training first, then validation, the test last. A part has the windows that lie in it as a
whole, so no row that is seen or predicted in one part is seen in another; with `look_back` windows of validation and
test may see rows before their cut, never predict them.

R rows of the table, sorted by series and time; N windows, W rows of one, H rows after it, T columns to predict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tuner.config.schema.series import SeriesData
from tuner.data.decoded import Decoded, Request
from tuner.data.scaling import Array
from tuner.data.sources.naive import naive_forecasts
from tuner.data.sources.series_table import (
    SeriesTable,
    filled,
    first_missing,
    input_names,
    read_table,
    series_codes,
)
from tuner.data.sources.time_steps import NoTimeError, Times, irregular, read_times, repeated
from tuner.data.splits import PARTS, Indices
from tuner.data.targets import resolve_task
from tuner.data.window_rows import WindowRows
from tuner.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A table in the order of series and time."""

    table: SeriesTable
    order: Indices
    """Rows of the file."""
    series: Indices
    """Which series each row belongs to."""
    segment: Indices
    """The same, and another number after every gap that windows must not cross."""
    rank: Indices
    """Each row's place among the times."""
    fills: bool

    def column(self, name: str, *, numeric: bool = False) -> Array:
        """A column without missing values; DataError where there are some that must not, or cannot, be filled."""
        values = (self.table.numbers(name) if numeric else self.table.numbers_or_names(name))[self.order]
        if self.fills:
            values = filled(values, self.series)
        missing = first_missing(values)
        if missing is None:
            return values
        reason = (
            "nothing before it to fill it with; remove the row"
            if self.fills
            else "fill it in, or set data.missing: forward_fill for the last known value"
        )
        raise DataError(f"{self.place(missing, name)}: missing; {reason}")

    @property
    def first_rows(self) -> Indices:
        """The first row of each row's segment."""
        begins = np.concatenate([[0], np.flatnonzero(np.diff(self.segment)) + 1, [len(self.segment)]])
        return np.repeat(begins[:-1], np.diff(begins))

    def place(self, row: int, column: str = "") -> str:
        return self.table.place(int(self.order[row]), column)


def read(data: SeriesData, request: Request) -> Decoded:
    task = resolve_task("series", own="regression", wanted=request.task)
    table = _sorted(data, read_table(data, request.base_dir))
    names = input_names(data, table.table, without=())
    columns = {name: table.column(name) for name in names}
    target_RT = np.stack([table.column(name, numeric=True) for name in data.targets], axis=1)
    starts, part_of = _windows(data, table)
    target_NTH = np.lib.stride_tricks.sliding_window_view(target_RT, data.horizon, axis=0)[starts + data.window]
    targets = _float32(target_NTH.swapaxes(1, 2).reshape(len(starts), -1), table, data, starts)
    given = {part: np.flatnonzero(part_of == number) for number, part in enumerate(PARTS) if part != "train"}
    return Decoded(
        task=task,
        labels=(),
        rows=WindowRows(
            columns=columns,
            starts=starts,
            window=data.window,
            group=data.group or "",
            fills=data.missing == "forward_fill",
            time=data.time or "",
            delimiter=data.delimiter,
        ),
        targets=targets,
        given=given,
        baselines=naive_forecasts(
            target_RT,
            {part: starts[rows] for part, rows in given.items()},
            window=data.window,
            horizon=data.horizon,
            season=data.season,
            first=table.first_rows,
        ),
        layout="steps_first",
        row_name=lambda window: table.place(int(starts[window]) + data.window, data.targets[0]),
    )


# ------------------------------------------------------------------------------------------------------------ the order


def _sorted(data: SeriesData, table: SeriesTable) -> Sorted:
    series, _ = series_codes(table, data.group)
    fills = data.missing == "forward_fill"
    if data.time is None:
        order = np.argsort(series, kind="stable")
        ordered = series[order]
        return Sorted(
            table=table, order=order, series=ordered, segment=ordered, rank=_place_in_series(ordered), fills=fills
        )
    times = _times(table, data.time)
    order = np.lexsort((times.values, series))
    ordered, sorted_times = series[order], times.values[order]
    _refuse_repeated(data, table, order, sorted_times, ordered)
    breaks = _breaks(data, table, order, sorted_times, ordered, times)
    return Sorted(
        table=table,
        order=order,
        series=ordered,
        segment=np.cumsum(breaks),
        rank=np.unique(sorted_times, return_inverse=True)[1],
        fills=fills,
    )


def _times(table: SeriesTable, name: str) -> Times:
    try:
        return read_times(table.frame[name])
    except NoTimeError as error:
        raise DataError(f"{table.place(error.row, name)}: {error}") from error


def _place_in_series(series: Indices) -> Indices:
    """Counted from the last row of each, as series end together rather than begin together."""
    _, counts = np.unique(series, return_counts=True)
    ends = np.cumsum(counts)
    return np.arange(len(series)) - np.repeat(ends, counts) + int(counts.max())


def _refuse_repeated(data: SeriesData, table: SeriesTable, order: Indices, times: Array, series: Indices) -> None:
    row = repeated(times, series)
    if row is None:
        return
    several = "" if data.group else "; name the column that tells series apart in data.group"
    raise DataError(
        f"{table.place(int(order[row]), str(data.time))}: the time of {table.place(int(order[row - 1]))} again;"
        f" a series has one row a time{several}"
    )


def _breaks(
    data: SeriesData, table: SeriesTable, order: Indices, sorted_times: Array, series: Indices, times: Times
) -> Indices:
    """1 in each row that does not go on from the row before."""
    breaks = np.zeros(len(order), dtype=np.int64)
    breaks[1:] = series[1:] != series[:-1]
    if data.gaps == "ignore":
        return breaks
    wrong = irregular(sorted_times, series)
    if len(wrong.rows) and data.gaps == "refuse":
        row = int(order[wrong.rows[0]])
        places = f"{len(wrong.rows)} such places" if len(wrong.rows) > 1 else "the only such place"
        raise DataError(
            f"{table.place(row, str(data.time))}: {times.step_text(float(wrong.steps[0]))} after the row before, the"
            f" usual step is {times.step_text(wrong.step)} ({places}); add the rows that are missing, or set data.gaps:"
            " split (no window crosses a gap) or ignore (rows as they come)"
        )
    breaks[wrong.rows] = 1
    return breaks


# ---------------------------------------------------------------------------------------------------------- the windows


def _windows(data: SeriesData, table: Sorted) -> tuple[Indices, Indices]:
    """The first row of each window, and its part (0, 1, 2 in the order of PARTS)."""
    part_of_row = _part_of_row(data, table.rank)
    n_rows = data.window + data.horizon
    starts = np.arange(max(0, len(table.order) - n_rows + 1))
    last = starts + n_rows - 1
    is_whole = table.segment[starts] == table.segment[last] if len(starts) else np.zeros(0, dtype=bool)
    first_in_part = starts + data.window if data.look_back else starts
    inside = is_whole & (part_of_row[first_in_part] == part_of_row[last]) if len(starts) else is_whole
    starts = starts[inside]
    part = part_of_row[starts + n_rows - 1]
    kept = (part > 0) | ((starts - table.first_rows[starts]) % data.stride == 0)
    _refuse_empty(data, part, part_of_row, table)
    return starts[kept], part[kept]


def _part_of_row(data: SeriesData, rank: Indices) -> Indices:
    n_times = int(rank.max()) + 1
    n_val, n_test = (_count(size, n_times) for size in (data.split.val, data.split.test))
    if n_val + n_test >= n_times:
        raise DataError(
            f"data.split: val takes {n_val} and test {n_test} of {n_times} time steps, which leaves none for training;"
            " lower data.split"
        )
    return (rank >= n_times - n_val - n_test).astype(np.int64) + (rank >= n_times - n_test)


def _count(size: float, n_times: int) -> int:
    if isinstance(size, int):
        return size
    return max(1, math.floor(size * n_times + 0.5)) if size > 0 else 0


def _refuse_empty(data: SeriesData, part: Indices, part_of_row: Indices, table: Sorted) -> None:
    wanted = PARTS if data.split.test else PARTS[:2]
    for number, name in enumerate(wanted):
        if not (part == number).any():
            n_times = len(np.unique(table.rank[part_of_row == number]))
            remedy = "lower data.window or data.horizon"
            if name != "train":
                remedy += f", raise data.split.{name}"
                remedy += "" if data.look_back else ", or set data.look_back: true to see rows from before the cut"
            raise DataError(
                f"{table.table.path}: the {name} part has {n_times} time steps and no whole window; one takes"
                f" {data.window + data.horizon} (window {data.window}, horizon {data.horizon}): {remedy}"
            )


def _float32(targets: Array, table: Sorted, data: SeriesData, starts: Indices) -> Array:
    with np.errstate(over="ignore"):
        small = targets.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(small))
    if len(wrong):
        window, output = (int(place) for place in wrong[0])
        row, column = int(starts[window]) + data.window + output // len(data.targets), output % len(data.targets)
        name = data.targets[column]
        raise DataError(f"{table.place(row, name)}: {targets[window, output]} is outside float32's range; scale it")
    return small
