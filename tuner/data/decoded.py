"""What a source hands over: all rows in one numbering, before they are split and fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from tuner.config.schema import base
from tuner.data.encoders import ImageEncoder, ItemEncoder
from tuner.data.info import Layout
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array, float_scaling, pixel_scaling
from tuner.data.splits import Indices
from tuner.data.tables import Columns, TableEncoder, TableFit

Task = Literal["classification", "regression", "multilabel", "autoencoding", "language"]
WantedTask = base.Task

CHUNK_BYTES = 2**24
"""Float rows are summed in chunks of this size: another one changes the last bits of their scaling."""
CACHED_BYTES = 2**20
"""What stays in a core's cache while it is measured, or hashed and written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a source needs to know besides its own section."""

    base_dir: Path
    task: WantedTask
    """What `data.task` or the objective's metric asks for; `auto` where neither does."""
    tasks: frozenset[str]
    """Those that the metric leaves: with f1_macro and several target columns it is multilabel."""
    seed: int
    scratch: Path
    """A folder for large temporary files; it is removed when the data has been prepared."""


class Rows(Protocol):
    """All inputs of a source."""

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        """Measure the training rows and nothing else."""

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array] | None:
        """The given rows in stored form, piece by piece; None when they are not stored but streamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A whole data set: inputs, checked targets, and which rows have a part of their own already.

    `targets` are int64 [N] in 0..K-1 (classification), float32 [N, n_targets] (regression), float32 [N, K] of 0 and 1
    (multilabel, `labels` names the K), or int64 [N, L] (language: what is to be said at each position). They are
    [N, 0] for autoencoding, whose targets are the inputs; a source may hand over any others, they are not looked at.
    """

    task: Task
    labels: tuple[str, ...]
    rows: Rows
    targets: Array
    given: dict[str, Indices] = field(default_factory=dict)
    keys: Indices | None = None
    """What `data.split.by` splits by: the group of each row, or its place in time."""
    n_sealed: int = 0
    """Items of a test part of its own that were not read: that waits until the search is over."""
    content: str = ""
    """A hash of the inputs where they are streamed: stored ones are hashed as they are written."""
    row_name: Callable[[int], str] = "row {}".format
    layout: Layout = ""
    """Axes of inputs with two; see `DataInfo.layout`."""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """See `DataInfo.baselines`."""

    @property
    def pool(self) -> Indices:
        """The rows that are split: those without a part of their own."""
        free = np.ones(len(self.targets), dtype=bool)
        for rows in self.given.values():
            free[rows] = False
        return np.flatnonzero(free)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRows:
    """Images and tensors: one array in stored form, in memory or memory-mapped."""

    array: Array
    encoder: ItemEncoder
    peak: float = 255.0
    """The largest possible pixel value; what pixels are divided by when they are not normalised."""

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        if isinstance(self.encoder, ImageEncoder):
            pixels = pixel_scaling(self._pieces(train, CACHED_BYTES), peak=self.peak, normalize=normalize)
            return Preprocess(encoder=self.encoder, scaling=pixels)
        if isinstance(self.encoder, NamedEncoder):
            named = self.encoder.fit(lambda: self._pieces(train), normalize=normalize)
            return Preprocess(encoder=self.encoder, scaling=named)
        if self.encoder.dtype == "int64" or not normalize:
            return Preprocess(encoder=self.encoder)
        scaling = float_scaling(lambda: self._pieces(train), self.encoder.shape)
        return Preprocess(encoder=self.encoder, scaling=scaling)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:  # noqa: ARG002 - stored as they are
        return self._pieces(rows, CACHED_BYTES)

    def _pieces(self, rows: Indices, size_bytes: int = CHUNK_BYTES) -> Iterator[Array]:
        row_bytes = max(1, self.array.nbytes // len(self.array))
        step = max(1, size_bytes // row_bytes)
        return (self.array[rows[start : start + step]] for start in range(0, len(rows), step))


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """A table: its columns as `tuner.data.tables` reads them."""

    columns: Columns
    how: TableFit = field(default_factory=TableFit)

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        columns = {name: values[train] for name, values in self.columns.items()}
        how = self.how if normalize else replace(self.how, scale="none")
        return Preprocess(encoder=TableEncoder.fit(columns, how))

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:
        encoder: Any = preprocess.encoder
        step = max(1, CHUNK_BYTES // (4 * encoder.shape[0]))
        for start in range(0, len(rows), step):
            piece = rows[start : start + step]
            yield encoder.encode_columns({name: values[piece] for name, values in self.columns.items()})
