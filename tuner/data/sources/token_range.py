"""The vocabulary of a user's own whole numbers: those that occur, or as many as the user says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tuner.config.schema import PythonData
from tuner.data.encoders import ItemEncoder, TensorEncoder
from tuner.data.scaling import Array
from tuner.errors import DataError


class Range:
    """The smallest and the largest whole number of rows that were looked at; 0 among them."""

    def __init__(self) -> None:
        self.lowest, self.highest = 0, 0

    def add(self, rows: Array) -> None:
        if rows.dtype.kind == "i" and rows.size:
            self.lowest = min(self.lowest, int(rows.min()))
            self.highest = max(self.highest, int(rows.max()))

    def through(self, chunks: Iterator[Array]) -> Iterator[Array]:
        """The chunks, looked at as they pass by."""
        for chunk in chunks:
            self.add(chunk)
            yield chunk


def with_tokens(encoder: ItemEncoder, data: PythonData, seen: Range) -> ItemEncoder:
    """The encoder with its vocabulary, 0 to the largest number; numbers below 0 are no tokens."""
    is_tokens = isinstance(encoder, TensorEncoder) and encoder.dtype == "int64" and seen.lowest >= 0
    if not is_tokens:
        given = next((name for name in ("padding", "n_tokens") if getattr(data, name) is not None), None)
        if given:
            raise DataError(f"{data.target}: data.{given} is for tokens, whole numbers from 0; leave it out")
    if not is_tokens or not isinstance(encoder, TensorEncoder):
        return encoder
    highest = max(seen.highest, data.padding or 0)
    if data.n_tokens is not None and highest >= data.n_tokens:
        raise DataError(f"{data.target}: data.n_tokens: {data.n_tokens}, but there is the token {highest}; raise it")
    return replace(encoder, n_tokens=data.n_tokens or highest + 1, padding=data.padding)
