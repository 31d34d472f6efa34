"""Tables."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Names, as_tuple, check_delimiter, check_encoding
from tuner.config.schema.sources import DataSection

Scale = Literal["standard", "minmax", "robust", "quantile", "piecewise", "none"]
ColumnNames = Annotated[str | tuple[str, ...], BeforeValidator(as_tuple)]


class TableData(DataSection):
    """A table: numeric, categorical, boolean and date columns, with missing values."""

    has_columns: ClassVar[bool] = True
    path: str
    """The file, relative to the space file or to the working directory."""
    target: ColumnNames
    """Name of the column to predict, or a list of several; [] for task: autoencoding."""
    val_path: str | None = None
    """A file of the same columns to validate on, instead of a part of `path`."""
    test_path: str | None = None
    """A file of the same columns for the final test, instead of a part of `path`."""
    drop: Names = ()
    """Columns to leave out."""
    categorical: Names = ()
    """Numeric columns to treat as categories."""
    dates: Names = ()
    """Columns of dates that are not written as 2026-01-31 or 2026-01-31T12:00; those are found without it."""
    date_format: str = ""
    """How `dates` are written, such as "%d.%m.%Y"."""
    missing_values: Names = ()
    """Texts that stand for a missing value, such as "?"; an empty field always does."""
    scale: Scale = "standard"
    """How numbers are scaled: to mean 0 and deviation 1, to 0..1, by median and quartiles, by rank to a normal
    distribution; piecewise: as their place in each of `n_bins` bins."""
    n_bins: Annotated[int, Field(ge=2, le=256)] = 16
    """Features that `piecewise` makes of a number; other scales ignore it."""
    categories: Literal["onehot", "embedding"] = "onehot"
    """Categories as a feature each, or as codes that the model embeds."""
    max_categories: Annotated[int, Field(ge=2)] = 50
    """Categories kept for one column; rarer ones share one."""
    min_count: Annotated[int, Field(ge=1)] = 1
    """Categories with fewer training rows count as rare."""

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    @model_validator(mode="after")
    def _is_a_table(self) -> TableData:
        self.refuse_augment("the rows of a table")
        if not self.targets and self.task != "autoencoding":
            raise ValueError("target: expected at least one column")
        if self.task == "autoencoding" and self.categories == "embedding":
            raise ValueError("categories: codes of an embedding cannot be rebuilt as numbers; take onehot")
        repeated = [name for name in self.targets if self.targets.count(name) > 1]
        if repeated:
            raise ValueError(f"target: {repeated[0]!r} is there twice")
        if self.split.folds is not None and self.val_path is not None:
            raise ValueError("split: val_path says which rows validate; leave folds out")
        if self.date_format and not self.dates:
            raise ValueError("date_format: is for the columns in dates; name them there")
        return self


class CsvData(TableData):
    """A table as text, one line a row, plain or compressed (.gz, .bz2, .xz, .zip, .zst)."""

    kind: Literal["csv"] = "csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    """What separates the digits before and after the point."""
    encoding: str = "utf-8"
    """Encoding of the text, such as latin-1 or utf-16."""

    @model_validator(mode="after")
    def _can_be_read(self) -> CsvData:
        check_encoding(self.encoding)
        check_delimiter(self.delimiter)
        if self.decimal == self.delimiter:
            raise ValueError(f"decimal: {self.decimal!r} is the delimiter too; set data.delimiter, such as ';'")
        return self


class ParquetData(TableData):
    """A table in a parquet file; reading it takes pyarrow."""

    kind: Literal["parquet"] = "parquet"
