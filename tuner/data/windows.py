"""The last rows of a table as one input; each row is encoded as a table's are.

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
from tuner.data.scaling import Array
from tuner.data.tables import TableEncoder
from tuner.errors import DataError

ROWS_NDIM, WINDOWS_NDIM = 2, 3
PARQUET = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEncoder:
    """Windows float32 [W, F]."""

    table: TableEncoder
    window: int
    group: str = ""
    """Column that tells series apart; empty for one series."""
    fills: bool = False
    """Whether a missing value is the last known one."""

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
        frames = [frame for rows in _batches(source, len(self.names)) for frame in self._by_group(rows)]
        return np.stack([self._encode_one(number, frame) for number, frame in enumerate(frames)])

    def _by_group(self, rows: Any) -> list[Any]:
        frame = _frame(rows, self.names)
        if not self.group or self.group not in frame.columns:
            return [frame]
        return [part for _, part in frame.groupby(self.group, sort=False)]

    def _encode_one(self, number: int, frame: Any) -> Array:
        columns = frame[list(self.names)]
        columns = (columns.ffill() if self.fills else columns).iloc[-self.window :]
        if len(columns) < self.window:
            raise DataError(f"input: window {number}: {len(columns)} rows; a forecast needs the last {self.window}")
        missing = np.argwhere(columns.isna().to_numpy())
        if len(missing):
            row, column = (int(place) for place in missing[0])
            raise DataError(f"input: window {number}: row {row}: {self.names[column]!r} is missing; fill it in")
        return self.table.encode(columns)

    def to_json(self) -> dict[str, Any]:
        table = self.table.to_json()
        return {"kind": "window", "table": table, "window": self.window, "group": self.group, "fills": self.fills}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        table = TableEncoder.from_json(data["table"])
        return cls(table=table, window=data["window"], group=data["group"], fills=data["fills"])


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


def _frame(rows: Any, names: Sequence[str]) -> Any:
    """A DataFrame that has the columns `names`."""
    import pandas as pd

    if isinstance(rows, (str, Path)):
        rows = _read(Path(rows))
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


def _read(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path) if path.suffix == PARQUET else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"input: {path}: {error}") from error
