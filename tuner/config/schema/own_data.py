"""Users' own datasets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuner.config.schema.base import Names
from tuner.config.schema.sources import DataSection


class PythonData(DataSection):
    """A user's own Dataset, or a function that returns one, a tuple or a mapping of train, val and test."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `data.options.NAME`."""
    in_memory: Literal["auto"] | bool = "auto"
    """Stack all items into one tensor; `auto` does so when they fit and are the same each time they are asked for."""
    collate: str | None = None
    """`file.py:name` of a function that makes a batch of a list of items; null for the dataset's collate_fn, if any."""
    padding: Annotated[int, Field(ge=0)] | None = None
    """The token that fills short rows up, where inputs are tokens; models leave it out."""
    n_tokens: Annotated[int, Field(ge=2)] | None = None
    """Tokens of the vocabulary, 0 to one less, where the largest may not occur; null: as many as occur."""
    epoch_items: Annotated[int, Field(ge=1)] | None = None
    """Iterable datasets: items that make up an epoch; null for one whole pass. Not kept in memory then."""
    target_key: str | None = None
    """Items that are dicts: the key of the target; null for the one of y, target, label, labels."""
    input_keys: Names = ()
    """Items that are dicts: the keys of the inputs; empty for all but the target. Several reach forward by name."""

    @property
    def is_padded(self) -> bool:
        return self.collate is not None or self.padding is not None
