"""Rows of a table as one input: its last ones, or a whole series; each row is encoded as a table's are.

N windows, R rows of the table, W rows of a window, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from tuner.config.messages import suggestion
from tuner.data.numeric import read_numbers
from tuner.data.scaling import Array
from tuner.data.tables import TableEncoder, series_values
from tuner.errors import DataError

ROWS_NDIM, WINDOWS_NDIM = 2, 3
PARQUET = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEncoder:
    """Windows, or whole series, as float32 [W, F]."""

    table: TableEncoder
    window: int
    group: str = ""
    """Column that tells series apart; empty for one series."""
    fills: bool = False
    """Whether a missing value is the last known one."""
    pad: Literal["none", "end", "start"] = "none"
    """Where a shorter series is filled up with zeros, and a longer one cut; none for windows of last rows."""
    steps: tuple[str, ...] = ()
    """Columns of a table that has a series in each row; empty where rows are steps."""
    time: str = ""
    """Column that rows are sorted by where they have it; empty where their order is that of time."""
    delimiter: str = ","
    """Of files of text."""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.window, self.table.shape[0])

    @property
    def dtype(self) -> Literal["float32"]:
        return "float32"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    def encode(self, source: Any) -> Array:
        """Take the rows before those that are predicted, oldest first, of which the last W count; or a list of such.

        Rows are a DataFrame, the path of a file of them, a list of mappings, or numbers [R, columns] (of one column
        also [R]); numbers [N, R, columns] are N windows. A table of several groups gives a window each, in their order.
        """
        windows = _rows_as_series(source, self.steps, self.delimiter) if self.steps else source
        frames = [frame for rows in _batches(windows, len(self.names)) for frame in self._by_group(rows)]
        return np.stack([self._encode_one(number, frame) for number, frame in enumerate(frames)])

    def _by_group(self, rows: Any) -> list[Any]:
        frame = _frame(rows, self.names, self.delimiter)
        parts = [frame]
        if self.group and self.group in frame.columns:
            parts = [part for _, part in frame.groupby(self.group, sort=False)]
        return [_in_order(part, self.time) for part in parts] if self.time in frame.columns else parts

    def _encode_one(self, number: int, frame: Any) -> Array:
        columns = frame[list(self.names)]
        columns = columns.ffill() if self.fills else columns
        columns = columns.iloc[: self.window] if self.pad == "end" else columns.iloc[-self.window :]
        if not len(columns) or (self.pad == "none" and len(columns) < self.window):
            raise DataError(f"input: window {number}: {len(columns)} rows; a forecast needs the last {self.window}")
        missing = np.argwhere(columns.isna().to_numpy())
        if len(missing):
            row, column = (int(place) for place in missing[0])
            raise DataError(f"input: window {number}: row {row}: {self.names[column]!r} is missing; fill it in")
        return self.padded(self.table.encode(columns))

    def padded(self, steps_RF: Array) -> Array:
        """A series of at most W steps with zeros, the mean of scaled numbers, where it has none."""
        missing = self.window - len(steps_RF)
        return np.pad(steps_RF, ((missing, 0) if self.pad == "start" else (0, missing), (0, 0)))

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in ("window", "group", "fills", "pad", "time", "delimiter")}
        return {"kind": "window", "table": self.table.to_json(), "steps": list(self.steps), **fields}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        table = TableEncoder.from_json(data["table"])
        fields = {name: data[name] for name in ("window", "group", "fills", "pad")}
        fields |= {name: data[name] for name in ("time", "delimiter") if name in data}
        return cls(table=table, steps=tuple(data["steps"]), **fields)


def _batches(source: Any, n_columns: int) -> Sequence[Any]:
    """The windows that a source holds, each as rows."""
    if isinstance(source, (list, tuple)):
        is_rows = bool(source) and isinstance(source[0], (Mapping, int, float))
        return [source] if is_rows else source
    if not isinstance(source, (np.ndarray, torch.Tensor)):
        return [source]
    array = np.asarray(source.detach().cpu()) if isinstance(source, torch.Tensor) else source
    is_window_a_row = array.ndim == ROWS_NDIM and n_columns == 1 and array.shape[1] != 1
    return list(array) if array.ndim == WINDOWS_NDIM or is_window_a_row else [array]


def _rows_as_series(source: Any, steps: Sequence[str], delimiter: str) -> Any:
    """The series of a table that has one in each row, without the empty fields at their ends; numbers as they are."""
    import pandas as pd

    is_rows = isinstance(source, (list, tuple)) and bool(source) and isinstance(source[0], Mapping)
    if not is_rows and not isinstance(source, (str, Path, Mapping, pd.DataFrame)):
        return source
    frame = _frame(source, steps, delimiter)
    values = np.stack([read_numbers(name, series_values(frame[name])) for name in steps], axis=1)
    return [without_end(row) for row in values]


def without_end(values: Array) -> Array:
    """A series without the missing values at its end."""
    known = np.flatnonzero(~np.isnan(values))
    return values[: known[-1] + 1] if len(known) else values[:0]


def _frame(rows: Any, names: Sequence[str], delimiter: str) -> Any:
    """A DataFrame that has the columns `names`."""
    import pandas as pd

    if isinstance(rows, (str, Path)):
        rows = _read(Path(rows), delimiter)
    if isinstance(rows, Mapping) or (isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping)):
        rows = pd.DataFrame(rows)
    if isinstance(rows, pd.DataFrame):
        for name in names:
            if name not in rows.columns:
                raise DataError(f"input: no column {name!r}{suggestion(name, map(str, rows.columns))}")
        return rows
    array = np.asarray(rows.detach().cpu() if isinstance(rows, torch.Tensor) else rows)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != ROWS_NDIM or array.shape[1] != len(names):
        shown = ", ".join(names)
        raise DataError(f"input: shape {array.shape}; expected (rows, {len(names)}): {shown}; the oldest row first")
    return pd.DataFrame(array, columns=list(names))


def _in_order(frame: Any, time: str) -> Any:
    """Rows by time, as training has them."""
    import pandas as pd

    times = frame[time]
    try:
        times = times if pd.api.types.is_numeric_dtype(times) else pd.to_datetime(times, utc=True)
    except (ValueError, TypeError) as error:
        raise DataError(f"input: column {time!r}: no time ({error}); write dates as 2026-01-31") from error
    if times.isna().any():
        raise DataError(f"input: column {time!r}: the time is missing; fill it in, or remove the row")
    return frame.iloc[np.argsort(times.to_numpy(), kind="stable")]


def _read(path: Path, delimiter: str) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path) if path.suffix == PARQUET else pd.read_csv(path, sep=delimiter)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"input: {path}: {error}") from error
