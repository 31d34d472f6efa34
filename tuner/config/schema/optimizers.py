"""How weights change: options are named as torch.optim names the arguments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Betas, Fraction, NonNegative, Positive, Section, as_tuple

AtLeastOne = Annotated[float, Field(ge=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Shrink = Annotated[float, Field(gt=0.0, lt=1.0)]
Grow = Annotated[float, Field(gt=1.0)]


class OptimizerSection(Section):
    """What every optimizer with weight decay takes."""

    decay: Literal["all", "weights"] = "all"
    """What weight decay shrinks. weights: not biases, nor what normalisation layers and other vectors learn."""


class Sgd(OptimizerSection):
    kind: Literal["sgd"] = "sgd"
    lr: Positive = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False
    dampening: Fraction = 0.0
    weight_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and (self.momentum == 0.0 or self.dampening != 0.0):
            raise ValueError("nesterov: needs momentum above 0 and dampening 0")
        return self


class Adam(OptimizerSection):
    kind: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    amsgrad: bool = False


class AdamW(OptimizerSection):
    kind: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 1e-2
    amsgrad: bool = False


class NAdam(OptimizerSection):
    kind: Literal["nadam"] = "nadam"
    lr: Positive = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    momentum_decay: NonNegative = 4e-3
    decoupled_weight_decay: bool = False


class RAdam(OptimizerSection):
    kind: Literal["radam"] = "radam"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    decoupled_weight_decay: bool = False


class Adamax(OptimizerSection):
    kind: Literal["adamax"] = "adamax"
    lr: Positive = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0


class RmsProp(OptimizerSection):
    kind: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 1e-3
    alpha: Fraction = 0.99
    momentum: Fraction = 0.0
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    centered: bool = False


class Adagrad(OptimizerSection):
    kind: Literal["adagrad"] = "adagrad"
    lr: Positive = 1e-2
    lr_decay: NonNegative = 0.0
    initial_accumulator_value: NonNegative = 0.0
    eps: Positive = 1e-10
    weight_decay: NonNegative = 0.0


class Adadelta(OptimizerSection):
    kind: Literal["adadelta"] = "adadelta"
    lr: Positive = 1.0
    rho: Fraction = 0.9
    eps: Positive = 1e-6
    weight_decay: NonNegative = 0.0


class Asgd(OptimizerSection):
    """Averaged SGD; it trains and is evaluated with the weights themselves (see train.averaging for averages)."""

    kind: Literal["asgd"] = "asgd"
    lr: Positive = 1e-2
    lambd: NonNegative = 1e-4
    alpha: NonNegative = 0.75
    t0: NonNegative = 1e6
    weight_decay: NonNegative = 0.0


class Rprop(Section):
    """Resilient propagation, for batches as large as the data; lr is the size of the first step only."""

    kind: Literal["rprop"] = "rprop"
    lr: Positive = 1e-2
    etas: Annotated[tuple[Shrink, Grow], BeforeValidator(as_tuple)] = (0.5, 1.2)
    step_sizes: Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple)] = (1e-6, 50.0)


class Adafactor(OptimizerSection):
    kind: Literal["adafactor"] = "adafactor"
    lr: Positive = 1e-2
    beta2_decay: Annotated[float, Field(le=0.0)] = -0.8
    eps: Annotated[tuple[Positive | None, Positive], BeforeValidator(as_tuple)] = (None, 1e-3)
    """The first of them null: the arithmetic's own epsilon."""
    d: AtLeastOne = 1.0
    weight_decay: NonNegative = 0.0


class Muon(OptimizerSection):
    """Muon for the matrices of hidden layers, parameters called weight, AdamW for all else.

    That is embeddings, positions, the output layer, filters, biases and vectors.
    """

    kind: Literal["muon"] = "muon"
    lr: Positive = 1e-3
    momentum: Fraction = 0.95
    nesterov: bool = True
    weight_decay: NonNegative = 0.1
    ns_steps: Annotated[int, Field(ge=1, le=99)] = 5
    ns_coefficients: Annotated[tuple[float, float, float], BeforeValidator(as_tuple)] = (3.4445, -4.775, 2.0315)
    eps: Positive = 1e-7
    adjust_lr_fn: Literal["original", "match_rms_adamw"] = "original"
    adamw_lr: Positive | None = None
    """AdamW's learning rate; null takes lr."""
    adamw_betas: Betas = (0.9, 0.999)
    adamw_eps: Positive = 1e-8


class PythonOptimizer(OptimizerSection):
    """A user's own torch.optim.Optimizer class, or a function that returns one."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    lr: Positive = 1e-3
    """Passed as `lr`; what the schedule starts from."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `optimizer.options.NAME`."""


Optimizer = (
    Sgd
    | Adam
    | AdamW
    | NAdam
    | RAdam
    | Adamax
    | RmsProp
    | Adagrad
    | Adadelta
    | Asgd
    | Rprop
    | Adafactor
    | Muon
    | PythonOptimizer
)
OPTIMIZER_KINDS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "rmsprop": RmsProp,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "asgd": Asgd,
    "rprop": Rprop,
    "adafactor": Adafactor,
    "muon": Muon,
    "python": PythonOptimizer,
}
