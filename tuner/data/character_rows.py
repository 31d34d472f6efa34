"""Pieces of one long text, which is stored once.

T characters, N pieces, L characters of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.splits import Indices
from tuner.data.tokens import CharacterEncoder, Vocabulary
from tuner.data.window_rows import StoredSteps


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterRows:
    """Implements `tuner.data.decoded.Rows`; the vocabulary is that of the training part, which is known before."""

    ids: Array
    """Of the whole text, int32 [T]."""
    starts: Indices
    """Where each piece begins [N], ascending."""
    length: int
    vocabulary: Vocabulary

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:  # noqa: ARG002 - nothing is left to be measured
        return Preprocess(encoder=CharacterEncoder(tokens=self.vocabulary, length=self.length))

    def steps(self, rows: Indices, preprocess: Preprocess) -> StoredSteps:  # noqa: ARG002 - as windows of a table
        """The stretch of the text that some pieces are of."""
        starts = self.starts[rows]
        first, end = int(starts.min()), int(starts.max()) + self.length
        return StoredSteps(chunks=iter([self.ids[first:end]]), n_rows=end - first, starts=starts - first)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:  # noqa: ARG002 - they are ids already
        return (self.ids[start : start + self.length][None] for start in self.starts[rows])
