"""Series in tables: windows of one to forecast its next rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Names, Task, as_tuple
from tuner.config.schema.sources import DataSection

Count = Annotated[int, Field(ge=1)]
ColumnNames = Annotated[str | tuple[str, ...], BeforeValidator(as_tuple)]


class SeriesData(DataSection):
    """Series in a table in time order: windows of past rows, and the rows after each to predict."""

    kind: Literal["series"] = "series"
    path: str
    """The file (.csv or .parquet), relative to the space file or to the working directory."""
    target: ColumnNames
    """One or several columns, whose next values are predicted."""
    time: str | None = None
    """Column of numbers or dates that orders the rows; without it they are taken in the order of the file."""
    group: str | None = None
    """Column that tells which series a row belongs to; without it there is one."""
    inputs: Names = ()
    """Columns that the model sees; empty for all but `time` and `group`."""
    drop: Names = ()
    """Columns to leave out."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    window: Count = 24
    """Rows that the model sees."""
    horizon: Count = 1
    """Rows after them that it predicts."""
    stride: Count = 1
    """Rows from one training window to the next; validation and test take every window."""
    look_back: bool = False
    """Whether windows of validation and test may see (not predict) rows from before the cut; then as many are scored
    as there are rows, whatever `window` is."""
    gaps: Literal["refuse", "split", "ignore"] = "refuse"
    """Where a time step differs from the others. split: no window crosses it; ignore: rows as they come."""
    missing: Literal["refuse", "forward_fill"] = "refuse"
    """What a missing value is: an error, or the last known value of its series."""

    @model_validator(mode="after")
    def _is_no_image_and_cut_in_time(self) -> SeriesData:
        self.refuse_augment("the rows of a table")
        if self.split.folds is not None:
            raise ValueError("split: folds would validate on the past of what they train on; leave folds out")
        if not self.targets:
            raise ValueError("target: expected at least one column")
        return self

    @property
    def own_task(self) -> Task:
        return "regression"

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target
