"""Tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Names
from tuner.config.schema.sources import DataSection


class CsvData(DataSection):
    """A table: numeric, categorical and missing columns."""

    kind: Literal["csv"] = "csv"
    path: str
    """The file, relative to the space file or to the working directory."""
    target: str
    """Name of the column to predict."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    drop: Names = ()
    """Columns to leave out."""
    categorical: Names = ()
    """Numeric columns to treat as categories."""
    max_categories: Annotated[int, Field(ge=2)] = 50
    """Categories kept for one column; rarer ones share one."""

    @model_validator(mode="after")
    def _images_alone_are_augmented(self) -> CsvData:
        self.refuse_augment("the rows of a table")
        return self
