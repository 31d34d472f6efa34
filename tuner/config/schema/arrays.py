"""Arrays in files: NumPy's and torch's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import Names
from tuner.config.schema.sources import DataSection


class ArrayData(DataSection):
    """Inputs and targets as arrays, by name; parts of their own where there are arrays for them."""

    kind: Literal["npz", "tensors"]
    path: str
    """npz: a .npz file, a .npy file of the inputs, or a folder of .npy files; tensors: a .pt file of tensors."""
    x: str | None = None
    """Name of the inputs; null looks for x, x_train, inputs and the like."""
    y: str | None = None
    """Name of the targets; null looks for y, y_train, targets, labels and the like."""
    x_val: str | None = None
    """Name of the inputs for validation; null looks for x_val, and cuts a part where there is none."""
    y_val: str | None = None
    """Name of the targets for validation."""
    x_test: str | None = None
    """Name of the inputs for the test; null looks for x_test, and cuts a part where there is none."""
    y_test: str | None = None
    """Name of the targets for the test."""
    labels: Names = ()
    """Names of the classes 0, 1, ... or multilabel columns; empty for the numbers or texts that targets are."""
    inputs: Literal["auto", "numbers", "tokens", "images"] = "auto"
    """What they are; `auto`: 8-bit arrays of two or three axes a row are images, other integers tokens."""
    layout: Literal["auto", "steps_first", "channels_first"] = "auto"
    """Axes of rows with two: steps_first for (steps, features), channels_first for (channels, steps)."""
    padding: Annotated[int, Field(ge=0)] | None = None
    """The token that fills short rows of tokens up; null where all have one length."""

    @property
    def is_padded(self) -> bool:
        return self.padding is not None
