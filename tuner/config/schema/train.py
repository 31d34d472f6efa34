"""How long, where and by whom it is trained."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import NonNegative, Positive, Section, off_to_none


class EarlyStopping(Section):
    """Stop when the objective has not improved by more than `min_delta` for `patience` epochs."""

    patience: Annotated[int, Field(ge=1)] = 5
    min_delta: NonNegative = 0.0


class Averaging(Section):
    """Averages of the weights, by which a trial is evaluated, kept and exported; options of other kinds are ignored."""

    kind: Literal["none", "ema", "swa"] = "none"
    """ema: an exponential moving average over the steps; swa: the mean over the epochs, stochastic weight averaging."""
    start_epoch: Annotated[int, Field(ge=1)] | None = None
    """The first epoch whose weights count; null: the first one for ema, the first after three quarters for swa."""
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    """Of ema, a step."""
    warmup: bool = True
    """Of ema: a smaller decay at first, (1 + n) / (10 + n) after n steps, so that the first weights are forgotten."""
    lr: Positive | None = None
    """Of swa: the learning rate that it is annealed to; null leaves it to the schedule."""
    anneal_epochs: Annotated[int, Field(ge=0)] = 10
    """Of swa: how long that takes."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """Of swa: how."""


class TrainSection(Section):
    """What every way to train takes."""

    epochs: Annotated[int, Field(ge=1)] = 20
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(off_to_none)] = None
    """Mapping, or `off`."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$")] = "auto"
    """auto (the accelerator that torch has, else the CPU), cpu, cuda, cuda:N, xpu, xpu:N or mps."""
    epoch_timeout: Literal["auto", "never"] | Positive = "auto"
    """Seconds that an epoch may take; then its worker is ended, and the trial tried again from its checkpoint. auto
    tells of a worker that is silent for long, and ends it when after its first epoch it does nothing at all for half an
    hour and 20 epochs: never one that computes, nor own training code, which may wait for others."""


class StandardTrain(TrainSection):
    """tuner's own loop."""

    kind: Literal["standard"] = "standard"
    batches_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Batches in one epoch; null takes all of the training part."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16", "fp64"] = "auto"
    """Arithmetic of forward and backward: `auto` is bf16 on CUDA cards that have it, else fp32. bf16 and fp16 keep the
    weights in fp32; tf32 is for NVIDIA cards; fp64 keeps weights and inputs in double precision."""
    grad_clip: Positive | None = None
    """Largest norm of the gradient (torch.nn.utils.clip_grad_norm_)."""
    grad_clip_value: Positive | None = None
    """Largest value in it (torch.nn.utils.clip_grad_value_); with both, the values are clipped first."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients make one step of the optimizer; schedules count steps."""
    averaging: Averaging = Averaging()

    @model_validator(mode="after")
    def _averaging_starts(self) -> StandardTrain:
        start = self.averaging.start_epoch
        if self.averaging.kind != "none" and start is not None and start > self.epochs:
            raise ValueError(f"averaging.start_epoch: {start} is after the last of {self.epochs} epochs")
        return self


class PythonTrain(TrainSection):
    """A user's own training code: a generator that yields (metrics, state) after every epoch."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """What the code finds in its config; searchable as `train.options.NAME`."""

    # What only tuner's own loop has, as it is without it: no options, so that giving them is an error.
    batches_per_epoch: ClassVar[None] = None
    precision: ClassVar[Literal["auto"]] = "auto"
    grad_clip: ClassVar[None] = None
    grad_clip_value: ClassVar[None] = None
    accumulate: ClassVar[int] = 1
    averaging: ClassVar[Averaging] = Averaging()


Train = StandardTrain | PythonTrain
TRAIN_KINDS: dict[str, type[Train]] = {"standard": StandardTrain, "python": PythonTrain}
