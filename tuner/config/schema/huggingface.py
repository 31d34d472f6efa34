"""Data sets of the package datasets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Names, Section, off_to_none
from tuner.config.schema.images import ImageSection
from tuner.config.schema.text import TextSection

PartName = Annotated[str | None, BeforeValidator(off_to_none)]

_INPUTS = {"text": "texts", "image": "images", "features": "columns of numbers and categories"}
_FOR = {
    "text": ("tokenizer", "max_length", "bucket"),
    "image": ("resize", "fit", "channels"),
    "features": ("max_categories",),
}
"""Options that have a meaning for one kind of inputs alone."""


class Splits(Section):
    """What the parts are called in the data set; `auto` looks for the usual names, `off` takes none."""

    train: str = "auto"
    val: PartName = "auto"
    """Without one it is cut from the training part, as data.split says."""
    test: PartName = "auto"
    """Without one it is cut from the training part, as data.split says."""


class HuggingfaceData(TextSection, ImageSection):
    """Texts, images or a table from the package datasets: local files, a folder of save_to_disk, or the hub."""

    kind: Literal["huggingface"] = "huggingface"
    path: str
    """A csv, json, parquet, arrow or text file, a folder of such files or of save_to_disk, or a name on the hub."""
    name: str | None = None
    """Configuration of a data set on the hub that has several."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    download: bool = True
    """Ask the hub; false takes what was downloaded before."""
    splits: Splits = Splits()
    text: str | None = None
    """Name of the column that has the texts."""
    image: str | None = None
    """Name of the column that has the images."""
    features: Names = ()
    """Names of the columns of numbers and categories; without a text or an image all that are left by default."""
    target: str
    """Name of the column to predict."""
    max_categories: Annotated[int, Field(ge=2)] = 50
    """Categories kept for one column; rarer ones share one."""
    in_memory: ClassVar[bool] = True

    @property
    def is_padded(self) -> bool:
        return self.text is not None

    @property
    def is_bucketed(self) -> bool:
        return self.bucket and self.text is not None

    @model_validator(mode="after")
    def _one_kind_of_inputs(self) -> HuggingfaceData:
        given = [name for name in ("text", "image", "features") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: inputs are texts, images or other columns, and {given[0]} is given too")
        if self.image is None:
            self.refuse_augment("these rows")
        what = next((name for name in ("text", "image") if getattr(self, name)), "features")
        unused = [name for other, names in _FOR.items() if other != what for name in names if self._is_set(name)]
        if unused:
            wanted = next(other for other, names in _FOR.items() if unused[0] in names)
            raise ValueError(f"{unused[0]}: is for {_INPUTS[wanted]}, and these are {_INPUTS[what]}; leave it out")
        return self

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)
