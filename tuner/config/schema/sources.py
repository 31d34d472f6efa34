"""What every data source takes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tuner.config.schema.base import Section, Task


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
    cut: Annotated[int, Field(ge=0)] = 0
    """Which of many random cuts into training and validation; the test part is the same in all. Confirming takes others
    than the search (`confirm.resplit`)."""
    by: Literal["random", "group", "time", "column"] = "random"
    """Tables: no group in two parts; validation after training and the test last; or the parts that a column names.

    Folds by time go forward: each is validated by rows that come after those it trains on.
    """
    column: str | None = None
    """Tables: the column to split by; it is no feature, unless `keep` says so."""
    keep: bool = False
    """Tables: keep `column` among the features."""

    @property
    def is_settled(self) -> bool:
        """Whether no other `cut` can be had: folds are cut already, and time or a column says which rows validate."""
        return self.folds is not None or self.by in ("time", "column")

    @model_validator(mode="after")
    def _by_a_column(self) -> Split:
        if (self.by == "random") != (self.column is None):
            if self.column is None:
                raise ValueError(f"column: missing; by: {self.by} needs the name of a column")
            raise ValueError("by: missing; say how to split by the column: group, time or column (it names the parts)")
        if self.by == "column" and self.folds is not None:
            raise ValueError("folds: the column says which rows validate; leave folds out")
        if self.keep and self.column is None:
            raise ValueError("keep: is for a split by a column; leave it out")
        return self


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Alpha = Annotated[float, Field(ge=0.0, le=10.0)]


class Augment(Section):
    """Random changes of the training images, made anew for every epoch; the validation and test parts stay as they are.

    `light` shifts; `standard` shifts, flips from left to right, and blanks a rectangle; `full` also rotates, zooms and
    changes the colours; `randaugment` and `trivialaugment` do what `standard` does and operations drawn from a list.
    """

    kind: Literal["none", "light", "standard", "full", "randaugment", "trivialaugment"] = "none"
    """none, light (shift), standard (shift, flip and erase), full, randaugment or trivialaugment."""
    shift: Annotated[int, Field(ge=0, le=64)] = 2
    """Largest shift in pixels, down and across; what comes in from outside repeats the edge."""
    flip: bool = True
    """All but light: flip half of the images from left to right."""
    vertical_flip: bool = False
    """All but light: flip half of the images upside down."""
    erase: Share = 0.25
    """All but light: share of the images in which a rectangle of 2 to 33 % of the area is set to the mean."""
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 15.0
    """full: largest rotation in degrees, either way."""
    zoom: Annotated[float, Field(ge=0.0, le=0.9)] = 0.1
    """full: largest change of size; 0.1 for sizes from 0.9 to 1.1."""
    brightness: Share = 0.2
    """full: largest change; 0.2 for factors from 0.8 to 1.2."""
    contrast: Share = 0.2
    """full: likewise."""
    saturation: Share = 0.2
    """full: likewise, of colour images."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """full: largest turn of the colours, as a share of the circle, either way."""
    operations: Annotated[int, Field(ge=1, le=8)] = 2
    """randaugment: operations for each image, one after another."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """randaugment: their strength."""
    mixup: Alpha = 0.0
    """Mix every row and its target with another one, by a share from Beta(mixup, mixup); 0 leaves them; any kind."""
    cutmix: Alpha = 0.0
    """Put a rectangle of another image into every image, of a share from Beta(cutmix, cutmix); 0 leaves them."""


OwnCode = Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]
"""`file.py:Name` or `package.module:Name`."""


class DataSection(Section):
    """What every data source takes."""

    has_columns: ClassVar[bool] = False
    """Whether rows have named columns, by which they can be split."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Rows in one optimizer step."""
    split: Split = Split()
    num_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes of a trial, for streamed data only; `auto` follows the time an item takes and the free cores."""
    pin_memory: Literal["auto"] | bool = "auto"
    """Page-locked memory for streamed batches, from which a GPU copies while it computes; auto: where there is one."""
    prefetch_factor: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Batches that each loader process reads ahead; null for torch's 2."""
    persistent_workers: bool = True
    """Keep the loader processes for all epochs of a trial, and for its validation."""
    timeout: Annotated[float, Field(ge=0.0)] = 0.0
    """Seconds to wait for a batch of the loader processes; the trial is then tried again. 0 waits for ever."""
    drop_last: bool = False
    """Leave out the last batch of an epoch when it is not full."""
    normalize: bool = True
    """Scale the inputs to mean 0 and deviation 1, measured on the training part."""
    scale_targets: bool = True
    """Regression: train on targets of mean 0 and deviation 1; predictions, metrics and losses stay in the data's
    units."""
    sampler: Literal["shuffle", "weighted"] | OwnCode = "shuffle"
    """How the rows of an epoch are drawn: each once, or with replacement so that all classes come equally often, or as
    a sampler of your own says (`file.py:Name`)."""
    augment: Augment = Augment()
    task: Task = "auto"
    """What the targets are: classification (a class), multilabel (a 0 or 1 for each of several labels), regression (one
    or several quantities), language (the next tokens), autoencoding (the inputs themselves). `auto` follows the data
    and the objective's metric.
    """

    @property
    def own_task(self) -> Task:
        """The task that the kind alone settles; auto where only the data can tell."""
        return "auto"

    @model_validator(mode="after")
    def _loader_options_have_loaders(self) -> Self:
        given = [
            name
            for name, is_given in (
                ("prefetch_factor", self.prefetch_factor is not None),
                ("persistent_workers", not self.persistent_workers),
                ("timeout", self.timeout > 0),
            )
            if is_given
        ]
        if self.num_workers == 0 and given:
            raise ValueError(
                f"{given[0]}: is for loader processes, and num_workers: 0 has none; leave it out, or raise that"
            )
        return self

    @model_validator(mode="after")
    def _task_fits_the_kind(self) -> Self:
        if self.own_task != "auto" and self.task not in ("auto", self.own_task, "autoencoding"):
            kind = getattr(self, "kind", "this kind")
            raise ValueError(
                f"task: {kind} is for {self.own_task}, not for {self.task}; leave it out, or say autoencoding"
            )
        return self

    @property
    def is_padded(self) -> bool:
        """Whether rows differ in length: batches are then cut to their longest row, and have several shapes."""
        return False

    @property
    def is_settled(self) -> bool:
        """Whether no other rows can validate than those that do."""
        return self.split.is_settled

    @property
    def is_bucketed(self) -> bool:
        """Whether rows of about one length make up a batch."""
        return False

    @model_validator(mode="after")
    def _splits_by_what_there_is(self) -> DataSection:
        if self.split.by != "random" and not self.has_columns:
            raise ValueError(f"split.by: {self.split.by} is for tables (csv, parquet); leave it out")
        return self

    def refuse_augment(self, rows: str) -> None:
        """For sources that are known to have no images."""
        if self.augment.kind != "none" or self.augment.cutmix:
            name = "cutmix" if self.augment.kind == "none" else self.augment.kind
            raise ValueError(f"augment: {name} is for images, and {rows} are none; leave it out")
