"""Whole series with a class or a number each: in the rows of a table, or over several rows that a column tells apart.

N series, R rows (steps) of all series together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuner.config.schema.series import SeriesData
from tuner.data.decoded import Decoded, Request
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.sources.csv_table import parts_by_column
from tuner.data.sources.series_table import (
    SeriesTable,
    filled,
    first_missing,
    input_names,
    read_table,
    series_codes,
)
from tuner.data.sources.table_files import CsvFile
from tuner.data.sources.table_targets import targets_of
from tuner.data.sources.time_steps import NoTimeError, read_times, repeated
from tuner.data.splits import Indices
from tuner.data.tables import Columns, TableEncoder, TableFit, series_values
from tuner.data.windows import WindowEncoder, without_end
from tuner.errors import DataError

AT_ONCE = 256
STEP = "value"
"""What the one column of steps is called where each row is a series."""
FILL_IN = "fill it in, or set data.missing: forward_fill for the last known value"
NOTHING_BEFORE = "nothing before it in the series to fill it with; remove the step"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRows:
    """The steps of all series, one series after the other."""

    columns: Columns
    begins: Indices
    """The first step of each series [N + 1]; the last is the number of all steps."""
    length: int
    pad: Literal["end", "start"]
    group: str = ""
    fills: bool = False
    steps: tuple[str, ...] = ()
    time: str = ""
    delimiter: str = ","

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        seen = self._rows(train)
        columns = {name: values[seen] for name, values in self.columns.items()}
        table = TableEncoder.fit(columns, TableFit(scale="standard" if normalize else "none"))
        encoder = WindowEncoder(
            table=table,
            window=self.length,
            group=self.group,
            fills=self.fills,
            pad=self.pad,
            steps=self.steps,
            time=self.time,
            delimiter=self.delimiter,
        )
        return Preprocess(encoder=encoder)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:
        encoder = preprocess.encoder
        assert isinstance(encoder, WindowEncoder)
        for start in range(0, len(rows), AT_ONCE):
            piece = rows[start : start + AT_ONCE]
            seen = self._rows(piece)
            encoded = encoder.table.encode_columns({name: values[seen] for name, values in self.columns.items()})
            ends = np.cumsum([len(self._span(row)) for row in piece.tolist()])[:-1]
            yield np.stack([encoder.padded(steps) for steps in np.split(encoded, ends)])

    def _rows(self, series: Indices) -> Indices:
        return np.concatenate([self._span(row) for row in series.tolist()])

    def _span(self, series: int) -> Indices:
        """The steps of one series that fit."""
        begin, end = int(self.begins[series]), int(self.begins[series + 1])
        if self.pad == "end":
            return np.arange(begin, min(end, begin + self.length))
        return np.arange(max(begin, end - self.length), end)


def read(data: SeriesData, request: Request) -> Decoded:
    table = read_table(data, request.base_dir)
    return _wide(data, table, request) if data.form == "wide" else _long(data, table, request)


def _decoded(
    data: SeriesData,
    table: SeriesTable,
    request: Request,
    *,
    columns: Columns,
    begins: Indices,
    firsts: Indices,
    steps: tuple[str, ...] = (),
) -> Decoded:
    """`firsts` are the rows of the file in which each series begins, and its target is."""
    lines = firsts if table.lines is None else table.lines[firsts]
    header = tuple(str(name) for name in table.frame.columns)
    file = CsvFile(path=table.path, header=header, lines=lines)
    values = series_values(table.frame[data.targets[0]].iloc[firsts], exact=True)
    task, labels, targets = targets_of(file, values, data.targets[0], request.task)
    rows = WholeRows(
        columns=columns,
        begins=begins,
        length=data.length or int(np.diff(begins).max()),
        pad=data.pad,
        group="" if steps else data.group or "",
        fills=data.missing == "forward_fill",
        steps=steps,
        time="" if steps else data.time or "",
        delimiter=data.delimiter,
    )
    given, keys = _parts(data, table, firsts)
    return Decoded(
        task=task,
        labels=labels,
        rows=rows,
        targets=targets,
        given=given,
        keys=keys,
        layout="steps_first",
        row_name=lambda row: table.place(int(firsts[row]), data.targets[0]),
    )


def _parts(data: SeriesData, table: SeriesTable, firsts: Indices) -> tuple[dict[str, Indices], Indices | None]:
    """Series with a part of their own, and the groups of the others, as their first rows say."""
    if data.split.column is None:
        return {}, None
    values = table.keys(data.split.column)[firsts]
    return parts_by_column(data.split, values, {}, lambda row, name: table.place(int(firsts[row]), name))


# ---------------------------------------------------------------------------------------------------------------- wide


def _wide(data: SeriesData, table: SeriesTable, request: Request) -> Decoded:
    names = input_names(data, table, without=data.targets)
    values = np.stack([table.numbers(name) for name in names], axis=1)
    series = [without_end(row) for row in values]
    empty = next((row for row, steps in enumerate(series) if not len(steps)), None)
    if empty is not None:
        raise DataError(f"{table.place(empty)}: no steps in it; remove the row")
    begins = np.concatenate([[0], np.cumsum([len(steps) for steps in series])])
    owners = np.repeat(np.arange(len(series)), np.diff(begins))
    steps = np.concatenate(series)
    known = filled(steps, owners) if data.missing == "forward_fill" else steps
    missing = first_missing(known)
    if missing is not None:
        row = int(owners[missing])
        reason = NOTHING_BEFORE if data.missing == "forward_fill" else FILL_IN
        raise DataError(f"{table.place(row, names[missing - int(begins[row])])}: missing; {reason}")
    firsts = np.arange(len(series))
    return _decoded(data, table, request, columns={STEP: known}, begins=begins, firsts=firsts, steps=names)


# ---------------------------------------------------------------------------------------------------------------- long


def _long(data: SeriesData, table: SeriesTable, request: Request) -> Decoded:
    codes, _ = series_codes(table, data.group)
    order = _order(data, table, codes)
    owners = codes[order]
    names = input_names(data, table, without=data.targets)
    columns = {name: _steps(data, table, name, order, owners) for name in names}
    begins = np.concatenate([[0], np.flatnonzero(np.diff(owners)) + 1, [len(owners)]])
    _refuse_changing(data, table, codes)
    firsts = np.unique(codes, return_index=True)[1]
    return _decoded(data, table, request, columns=columns, begins=begins, firsts=firsts)


def _order(data: SeriesData, table: SeriesTable, codes: Indices) -> Indices:
    if data.time is None:
        return np.argsort(codes, kind="stable")
    try:
        times = read_times(table.frame[data.time]).values
    except NoTimeError as error:
        raise DataError(f"{table.place(error.row, data.time)}: {error}") from error
    order = np.lexsort((times, codes))
    row = repeated(times[order], codes[order])
    if row is not None:
        raise DataError(
            f"{table.place(int(order[row]), data.time)}: the time of {table.place(int(order[row - 1]))} again, in the"
            " same series; a series has one row a time"
        )
    return order


def _steps(data: SeriesData, table: SeriesTable, name: str, order: Indices, owners: Indices) -> Array:
    values = table.numbers_or_names(name)[order]
    fills = data.missing == "forward_fill"
    values = filled(values, owners) if fills else values
    missing = first_missing(values)
    if missing is not None:
        reason = NOTHING_BEFORE if fills else FILL_IN
        raise DataError(f"{table.place(int(order[missing]), name)}: missing; {reason}")
    return values


def _refuse_changing(data: SeriesData, table: SeriesTable, codes: Indices) -> None:
    """A series has one target, in each of its rows."""
    name = data.targets[0]
    values = table.frame[name].astype(str).to_numpy()
    firsts = np.unique(codes, return_index=True)[1]
    wrong = np.flatnonzero(values != values[firsts][codes])
    if len(wrong):
        row, first = int(wrong[0]), int(firsts[codes[wrong[0]]])
        raise DataError(
            f"{table.place(row, name)}: {values[row]!r}, but {table.place(first)} of the same series has"
            f" {values[first]!r}; a series has one target (a target for each step is a forecast, form: windows)"
        )
