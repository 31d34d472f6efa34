"""What every data source takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import Section


class Split(Section):
    """Sizes of the validation and test parts; what is left is for training."""

    val: Annotated[float, Field(gt=0.0, lt=1.0)] | Annotated[int, Field(ge=1)] = 0.1
    """Fraction (below 1) or count (1 and above) of the rows that are used for validation."""
    test: Annotated[float, Field(ge=0.0, lt=1.0)] | Annotated[int, Field(ge=0)] = 0.1
    """Fraction or count of the rows kept for the final test; not used when the source has an official test set."""
    stratify: bool = True
    """Keep the class proportions in every part (classification only)."""
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Cut what is not for the test into so many parts, of which trials take turns to validate; `val` is not used then.

    For small data: the validation part is another one from trial to trial, and confirmed trials share theirs.
    """
    fold: Annotated[int, Field(ge=0)] = 0
    """Which of the `folds` validates the base config; a search gives trial N the fold N modulo `folds`."""


class Augment(Section):
    """Random changes of the training images, made anew for every epoch; the validation and test parts stay as they are.

    `light` shifts; `standard` shifts, flips from left to right, and blanks a rectangle.
    """

    kind: Literal["none", "light", "standard"] = "none"
    """none, light (shift) or standard (shift, flip and erase)."""
    shift: Annotated[int, Field(ge=0, le=64)] = 2
    """Largest shift in pixels, down and across; what comes in from outside repeats the edge."""
    flip: bool = True
    """standard: flip half of the images from left to right."""
    erase: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    """standard: share of the images in which a rectangle of 2 to 33 % of the area is set to the mean."""


class DataSection(Section):
    """What every data source takes."""

    batch_size: Annotated[int, Field(ge=1)] = 64
    """Rows in one optimizer step."""
    split: Split = Split()
    num_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes of a trial, for streamed data only; `auto` follows the time an item takes and the free cores."""
    drop_last: bool = False
    """Leave out the last batch of an epoch when it is not full."""
    normalize: bool = True
    """Scale the inputs to mean 0 and deviation 1, measured on the training part."""
    augment: Augment = Augment()

    def refuse_augment(self, rows: str) -> None:
        """For sources that are known to have no images."""
        if self.augment.kind != "none":
            raise ValueError(f"augment: {self.augment.kind} is for images, and {rows} are none; leave it out")
