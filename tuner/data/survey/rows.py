"""Rows of a part, however it is kept.

N rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tuner import seeding
from tuner.data.flows import FlowPart, Part
from tuner.data.global_rng import seeded
from tuner.data.parts import ArrayPart

CHUNK_ROWS = 1024
MAX_STREAMED = 2000
"""Rows of a streamed part that are looked at: reading all of them could take an hour."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """The rows of a part that are looked at: all stored ones, of streamed ones at most MAX_STREAMED, evenly spread."""

    name: str
    part: Part
    rows: Tensor
    """The number of each row of the part among all rows of the source."""
    places: Tensor
    """Places in the part of those that are looked at."""
    _first: list[Tensor] = field(default_factory=list, repr=False)
    """The first rows of a flow, once they were read."""

    @classmethod
    def at(cls, name: str, part: Part, rows: Tensor) -> Looked:
        n_rows = len(part)
        most = n_rows if isinstance(part, ArrayPart) else min(n_rows, MAX_STREAMED)
        last = most if isinstance(part, FlowPart) else n_rows
        places = torch.from_numpy(np.linspace(0, max(0, last - 1), most).astype(np.int64))
        return cls(name=name, part=part, rows=rows, places=places)

    @property
    def is_whole(self) -> bool:
        return len(self.places) == len(self.part)

    def row(self, place: int) -> int:
        """What the source calls the row at a place."""
        return int(self.rows[place])

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Places, and the rows there in stored form."""
        for places in torch.split(self.places, CHUNK_ROWS):
            yield places, self.take(places)

    def take(self, places: Tensor) -> Tensor:
        if isinstance(self.part, ArrayPart):
            return self.part.take(places)
        if isinstance(self.part, FlowPart):
            if not self._first:
                self._first.append(self.part.first(MAX_STREAMED))
            return self._first[0][places]
        with seeded(seeding.derive(0, self.name, int(places[0]))):
            return self.part.read(places.tolist())[0]
