"""Series in tables: windows of one to forecast its next rows, and whole series with a class or a number each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Names, Task, as_tuple, check_delimiter
from tuner.config.schema.sources import DataSection

Count = Annotated[int, Field(ge=1)]
ColumnNames = Annotated[str | tuple[str, ...], BeforeValidator(as_tuple)]

_OF_WINDOWS = ("window", "horizon", "stride", "look_back", "gaps", "season")
_OF_WHOLE = ("length", "pad")


class SeriesData(DataSection):
    """Series in a table. Forecasting: windows of past rows, and the rows after each; or a target for a whole series."""

    kind: Literal["series"] = "series"
    has_columns: ClassVar[bool] = True
    form: Literal["windows", "long", "wide"] = "windows"
    """windows: the next rows are predicted from the last; long: a row a step, `group` tells the series, each has one
    target; wide: a row a series, its steps in columns."""
    path: str
    """The file (.csv or .parquet), relative to the space file or to the working directory."""
    target: ColumnNames
    """Column to predict; windows: one or several, their next values are predicted."""
    time: str | None = None
    """Column of numbers or dates that orders the rows; without it they are taken in the order of the file."""
    group: str | None = None
    """Column that tells which series a row belongs to; without it windows are of one series."""
    inputs: Names = ()
    """Columns that the model sees, wide: in the order of the steps; empty for all but `time`, `group` and the target of
    whole series."""
    drop: Names = ()
    """Columns to leave out."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    window: Count = 24
    """windows: rows that the model sees."""
    horizon: Count = 1
    """windows: rows after them that it predicts."""
    stride: Count = 1
    """windows: rows from one training window to the next; validation and test take every window."""
    look_back: bool = False
    """windows: whether those of validation and test may see (not predict) rows from before the cut; it makes them as
    many as there are rows, whatever `window` is."""
    gaps: Literal["refuse", "split", "ignore"] = "refuse"
    """windows: where a time step differs from the others. split: no window crosses it; ignore: rows as they come."""
    season: Count | None = None
    """windows: rows of a season, such as 24 for hours: its value a season ago is a baseline beside the last value."""
    missing: Literal["refuse", "forward_fill"] = "refuse"
    """What a missing value is: an error, or the last known value of its series."""
    length: Count | None = None
    """long and wide: steps that all series are cut or filled up to; null for the longest."""
    pad: Literal["end", "start"] = "end"
    """long and wide: where a shorter series is filled up, with the mean, and a longer one cut."""

    @model_validator(mode="after")
    def _options_of_the_form(self) -> SeriesData:
        self.refuse_augment("the rows of a table")
        check_delimiter(self.delimiter)
        others = _OF_WHOLE if self.form == "windows" else _OF_WINDOWS
        for name in others:
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                fitting = "form long or wide" if self.form == "windows" else "form windows"
                raise ValueError(f"{name}: is for {fitting}, and this is {self.form}; leave it out")
        if self.form == "windows":
            self._check_windows()
        else:
            self._check_whole()
        return self

    def _check_windows(self) -> None:
        if self.split.by != "random":
            raise ValueError("split: a forecast is cut in time by itself; leave by and column out")
        if self.split.folds is not None:
            raise ValueError("split: folds would validate on the past of what they train on; leave folds out")
        if not self.targets:
            raise ValueError("target: expected at least one column")

    def _check_whole(self) -> None:
        if len(self.targets) != 1:
            raise ValueError(f"target: expected one column for form {self.form}")
        if self.split.by == "time":
            raise ValueError("split: by: time is for tables; whole series can be split by: group or column")
        if self.form == "long" and self.group is None:
            raise ValueError("group: missing; form long needs the column that tells which series a row belongs to")
        if self.form == "wide" and (self.time or self.group):
            raise ValueError(f"{'time' if self.time else 'group'}: form wide has a row a series; leave it out")

    @property
    def own_task(self) -> Task:
        return "regression" if self.form == "windows" else "auto"

    @property
    def is_settled(self) -> bool:
        return self.form == "windows" or self.split.is_settled

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target
