"""The vocabulary of a user's own whole numbers: those that occur."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tuner.config.schema import PythonData
from tuner.data.encoders import ItemEncoder, TensorEncoder
from tuner.data.scaling import Array
from tuner.errors import DataError


class Seen:
    """The smallest and the largest value of rows that passed by."""

    def __init__(self) -> None:
        self.lowest, self.highest = 0, 0

    def through(self, chunks: Iterator[Array]) -> Iterator[Array]:
        for chunk in chunks:
            if chunk.dtype.kind == "i" and chunk.size:
                self.lowest = min(self.lowest, int(chunk.min()))
                self.highest = max(self.highest, int(chunk.max()))
            yield chunk


def with_tokens(encoder: ItemEncoder, data: PythonData, lowest: int, highest: int) -> ItemEncoder:
    """The encoder with its vocabulary, 0 to the largest number; numbers below 0 are no tokens."""
    is_tokens = isinstance(encoder, TensorEncoder) and encoder.dtype == "int64" and lowest >= 0
    if not is_tokens and data.padding is not None:
        raise DataError(f"{data.target}: data.padding is for tokens, whole numbers from 0; leave it out")
    if not is_tokens or not isinstance(encoder, TensorEncoder):
        return encoder
    return replace(encoder, n_tokens=max(highest, data.padding or 0) + 1, padding=data.padding)
