"""Windows over a table: its rows are stored once, and each window is gathered from them when it is needed.

N windows, W rows of one, R rows of the table, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.splits import Indices
from tuner.data.tables import Columns, TableEncoder, TableFit
from tuner.data.windows import WindowEncoder

CHUNK_ROWS = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSteps:
    """The rows of a table [R, F], encoded, that some windows see, and where in them each window begins."""

    chunks: Iterator[Array]
    n_rows: int
    starts: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRows:
    """The windows of a table whose rows are sorted by series and time."""

    columns: Columns
    starts: Indices
    """The first row of each window [N]."""
    window: int
    group: str = ""
    fills: bool = False
    time: str = ""
    delimiter: str = ","

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        """Measure the rows that training windows see, each once."""
        seen = self._seen(train)
        columns = {name: values[seen] for name, values in self.columns.items()}
        table = TableEncoder.fit(columns, TableFit(scale="standard" if normalize else "none"))
        encoder = WindowEncoder(
            table=table,
            window=self.window,
            group=self.group,
            fills=self.fills,
            time=self.time,
            delimiter=self.delimiter,
        )
        return Preprocess(encoder=encoder)

    def steps(self, rows: Indices, preprocess: Preprocess) -> StoredSteps:
        """What is stored of some windows."""
        encoder = preprocess.encoder
        assert isinstance(encoder, WindowEncoder)
        seen = self._seen(rows)
        new_number = np.full(int(seen[-1]) + 1, -1)
        new_number[seen] = np.arange(len(seen))
        pieces = (seen[start : start + CHUNK_ROWS] for start in range(0, len(seen), CHUNK_ROWS))
        return StoredSteps(
            chunks=(
                encoder.table.encode_columns({name: values[piece] for name, values in self.columns.items()})
                for piece in pieces
            ),
            n_rows=len(seen),
            starts=new_number[self.starts[rows]],
        )

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:
        """The windows themselves, one by one."""
        stored = self.steps(rows, preprocess)
        table = np.concatenate(list(stored.chunks))
        return (table[start : start + self.window][None] for start in stored.starts)

    def _seen(self, rows: Indices) -> Indices:
        """The table's rows that some windows see."""
        n_rows = len(next(iter(self.columns.values())))
        changes = np.zeros(n_rows + 1, dtype=np.int64)
        np.add.at(changes, self.starts[rows], 1)
        np.add.at(changes, self.starts[rows] + self.window, -1)
        return np.flatnonzero(np.cumsum(changes)[:-1] > 0)
