"""The typed sections of a config: one frozen class for each kind, one explicit table for each section.

A class here is the whole truth about its options: their names, types, defaults and limits. The space file, `--set`, the
JSON Schema and the search space are all checked against it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu"]
Task = Literal["auto", "classification", "regression"]
Direction = Literal["maximize", "minimize"]


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _off_to_none(value: object) -> object:
    return None if value == "off" else value


Width = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Widths = Annotated[Width | tuple[Width, ...], BeforeValidator(_as_tuple)]
Rates = Annotated[Rate | tuple[Rate, ...], BeforeValidator(_as_tuple)]
Betas = Annotated[
    tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]], BeforeValidator(_as_tuple)
]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, nothing is converted, nothing changes after it was built."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


# ----------------------------------------------------------------------------------------------------------------- data


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


class SklearnData(DataSection):
    """One of the small data sets that scikit-learn carries."""

    kind: Literal["digits", "iris", "wine", "breast_cancer", "diabetes"]

    @model_validator(mode="after")
    def _images_alone_are_augmented(self) -> SklearnData:
        if self.kind != "digits":
            self.refuse_augment(f"the rows of {self.kind}")
        return self


class ImageData(DataSection):
    """A classic image data set, found on disk or downloaded."""

    kind: Literal["mnist", "fashion_mnist", "cifar10"]
    root: str | None = None
    """Folder with the files: torchvision's layout, or plain or gzipped IDX files. Default: the usual places."""
    download: bool = True
    """Download the data when it is not found."""


class CsvData(DataSection):
    """A table: numeric, categorical and missing columns."""

    kind: Literal["csv"] = "csv"
    path: str
    """The file, relative to the space file or to the working directory."""
    target: str
    """Name of the column to predict."""
    task: Task = "auto"
    """`auto` follows the objective's metric, then the target column's type."""
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


class PythonData(DataSection):
    """A user's own Dataset, or a function that returns one or a mapping of train, val and test."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `data.options.NAME`."""
    task: Task = "auto"
    in_memory: Literal["auto"] | bool = "auto"
    """Stack all items into one tensor; `auto` does so when they fit and are the same each time they are asked for."""


Data = SklearnData | ImageData | CsvData | PythonData

DATA_KINDS: dict[str, type[Data]] = {
    "digits": SklearnData,
    "iris": SklearnData,
    "wine": SklearnData,
    "breast_cancer": SklearnData,
    "diabetes": SklearnData,
    "mnist": ImageData,
    "fashion_mnist": ImageData,
    "cifar10": ImageData,
    "csv": CsvData,
    "python": PythonData,
}

# ---------------------------------------------------------------------------------------------------------------- model


class LayeredModel(Section):
    """What models of equal layers share: one value for all layers, or a list with one a layer."""

    depth: Annotated[int, Field(ge=0, le=64)] = 2
    width: Widths = 128
    dropout: Rates = 0.0

    @model_validator(mode="after")
    def _one_value_a_layer(self) -> LayeredModel:
        for name in ("width", "dropout"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.depth:
                raise ValueError(f"{name}: {len(value)} values for {self.depth} layers; give one value, or one a layer")
        return self


class Mlp(LayeredModel):
    """Linear layers, each with normalisation, activation and dropout, and a linear head."""

    kind: Literal["mlp"] = "mlp"
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer"] = "none"


class Convnet(LayeredModel):
    """Blocks of convolution, normalisation, activation, pooling by 2 and dropout; a hidden layer and a linear head."""

    kind: Literal["convnet"] = "convnet"
    width: Widths = 32
    kernel: Annotated[int, Field(ge=1, le=31)] = 3
    activation: Activation = "relu"
    norm: Literal["none", "batch", "group"] = "batch"
    pool: Literal["max", "avg"] = "max"
    head_width: Annotated[int, Field(ge=0, le=65536)] = 128
    """Width of the hidden layer before the head; 0 leaves it out."""

    @model_validator(mode="after")
    def _odd_kernel(self) -> Convnet:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, got {self.kernel}")
        return self


class PythonModel(Section):
    """A user's own Module class, or a function that returns a Module."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `model.options.NAME`."""


Model = Mlp | Convnet | PythonModel
MODEL_KINDS: dict[str, type[Model]] = {"mlp": Mlp, "convnet": Convnet, "python": PythonModel}

# ----------------------------------------------------------------------------------------------------------------- loss

Smoothing = Annotated[float, Field(ge=0.0, lt=1.0)]


class AutoLoss(Section):
    """cross_entropy for classification, mse for regression."""

    kind: Literal["auto"] = "auto"
    label_smoothing: Smoothing = 0.0


class CrossEntropy(Section):
    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Smoothing = 0.0


class Bce(Section):
    """Binary cross entropy on one logit, for two classes."""

    kind: Literal["bce"] = "bce"
    label_smoothing: Smoothing = 0.0


class Mse(Section):
    kind: Literal["mse"] = "mse"


Loss = AutoLoss | CrossEntropy | Bce | Mse
LOSS_KINDS: dict[str, type[Loss]] = {"auto": AutoLoss, "cross_entropy": CrossEntropy, "bce": Bce, "mse": Mse}

# ------------------------------------------------------------------------------------------------------------ optimizer

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Sgd(Section):
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


class Adam(Section):
    kind: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    amsgrad: bool = False


class AdamW(Section):
    kind: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 1e-2
    amsgrad: bool = False


class RmsProp(Section):
    kind: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 1e-3
    alpha: Fraction = 0.99
    momentum: Fraction = 0.0
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    centered: bool = False


class Adagrad(Section):
    kind: Literal["adagrad"] = "adagrad"
    lr: Positive = 1e-2
    lr_decay: NonNegative = 0.0
    eps: Positive = 1e-10
    weight_decay: NonNegative = 0.0


Optimizer = Sgd | Adam | AdamW | RmsProp | Adagrad
OPTIMIZER_KINDS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RmsProp,
    "adagrad": Adagrad,
}

# ------------------------------------------------------------------------------------------------------------- schedule


class ScheduleSection(Section):
    """What every learning rate schedule takes."""

    warmup_epochs: NonNegative = 0.0
    """Epochs (fractions too) in which the learning rate rises linearly to its value."""


class Constant(ScheduleSection):
    kind: Literal["constant"] = "constant"


class Cosine(ScheduleSection):
    """Half a cosine from lr to eta_min over the trial's own epochs, changing every step."""

    kind: Literal["cosine"] = "cosine"
    eta_min: NonNegative = 0.0


class Step(ScheduleSection):
    """lr times gamma every step_size epochs."""

    kind: Literal["step"] = "step"
    step_size: Annotated[int, Field(ge=1)] = 10
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1


class Exponential(ScheduleSection):
    """lr times gamma every epoch."""

    kind: Literal["exponential"] = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95


class OneCycle(ScheduleSection):
    """From lr / div_factor up to lr and down to lr / (div_factor * final_div_factor), changing every step."""

    kind: Literal["one_cycle"] = "one_cycle"
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    div_factor: Annotated[float, Field(ge=1.0)] = 25.0
    final_div_factor: Annotated[float, Field(ge=1.0)] = 1e4


class Plateau(ScheduleSection):
    """lr times factor when the objective has not improved for more than `patience` epochs."""

    kind: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 5
    min_lr: NonNegative = 0.0


Schedule = Constant | Cosine | Step | Exponential | OneCycle | Plateau
SCHEDULE_KINDS: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "step": Step,
    "exponential": Exponential,
    "one_cycle": OneCycle,
    "plateau": Plateau,
}

# ---------------------------------------------------------------------------------------------------------------- train


class EarlyStopping(Section):
    """Stop when the objective has not improved by more than `min_delta` for `patience` epochs."""

    patience: Annotated[int, Field(ge=1)] = 5
    min_delta: NonNegative = 0.0


class TrainSection(Section):
    """What every way to train takes."""

    epochs: Annotated[int, Field(ge=1)] = 20
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(_off_to_none)] = None
    """Mapping, or `off`."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:N or mps."""


class StandardTrain(TrainSection):
    """tuner's own loop."""

    kind: Literal["standard"] = "standard"
    batches_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Batches in one epoch; null takes all of the training part."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] = "auto"
    """Arithmetic of forward and backward: `auto` is bf16 on CUDA cards that have it, else fp32. bf16 and fp16 are for
    CUDA, the CPU takes fp32 for them; fp64 keeps weights and inputs in double precision."""
    grad_clip: Positive | None = None
    """Largest norm of the gradient (torch.nn.utils.clip_grad_norm_)."""


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


Train = StandardTrain | PythonTrain
TRAIN_KINDS: dict[str, type[Train]] = {"standard": StandardTrain, "python": PythonTrain}


# ------------------------------------------------------------------------------------------------- objective and search


class Objective(Section):
    """What the search optimises: a metric of the validation part."""

    metric: str = "loss"
    direction: Direction | None = None
    """Follows from the metric when left out."""


class RandomSampler(Section):
    kind: Literal["random"] = "random"


class GridSampler(Section):
    """Every combination once, conditions included."""

    kind: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=2)] | None = None
    """Points taken from a range that has no step (evenly, in the logarithm for log ranges)."""


class TpeSampler(Section):
    kind: Literal["tpe"] = "tpe"
    n_startup_trials: Annotated[int, Field(ge=1)] = 10
    n_ei_candidates: Annotated[int, Field(ge=1)] = 24


class GpSampler(Section):
    kind: Literal["gp"] = "gp"
    n_startup_trials: Annotated[int, Field(ge=1)] = 10


class CmaEsSampler(Section):
    kind: Literal["cmaes"] = "cmaes"
    n_startup_trials: Annotated[int, Field(ge=1)] = 1
    sigma0: Positive | None = None


class QmcSampler(Section):
    kind: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True


class Nsga2Sampler(Section):
    kind: Literal["nsga2"] = "nsga2"
    population_size: Annotated[int, Field(ge=2)] = 20


class Nsga3Sampler(Section):
    kind: Literal["nsga3"] = "nsga3"
    population_size: Annotated[int, Field(ge=2)] = 20


class AutoSampler(Section):
    """The default: a model of what trainings come to, over all parameters at once (tuner.control.auto)."""

    kind: Literal["auto"] = "auto"


Sampler = (
    AutoSampler
    | RandomSampler
    | GridSampler
    | TpeSampler
    | GpSampler
    | CmaEsSampler
    | QmcSampler
    | Nsga2Sampler
    | Nsga3Sampler
)
SAMPLER_KINDS: dict[str, type[Sampler]] = {
    "auto": AutoSampler,
    "random": RandomSampler,
    "grid": GridSampler,
    "tpe": TpeSampler,
    "gp": GpSampler,
    "cmaes": CmaEsSampler,
    "qmc": QmcSampler,
    "nsga2": Nsga2Sampler,
    "nsga3": Nsga3Sampler,
}


class AutoPruner(Section):
    """The default: asha; behind tpe, gp, cmaes, nsga2 and nsga3 the median rule, since they learn from complete trials.

    The median rule begins after 5 complete trials and a tenth of the epochs (at least one).
    """

    kind: Literal["auto"] = "auto"


class NoPruner(Section):
    kind: Literal["none"] = "none"


class MedianPruner(Section):
    """Stop a trial whose best value so far is worse than the median of the complete trials at the same epoch."""

    kind: Literal["median"] = "median"
    n_startup_trials: Annotated[int, Field(ge=0)] = 5
    n_warmup_epochs: Annotated[int, Field(ge=0)] = 1
    interval_epochs: Annotated[int, Field(ge=1)] = 1
    n_min_trials: Annotated[int, Field(ge=1)] = 1


class PercentilePruner(Section):
    """Keep the best `percentile` per cent."""

    kind: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0.0, le=100.0)] = 25.0
    n_startup_trials: Annotated[int, Field(ge=0)] = 5
    n_warmup_epochs: Annotated[int, Field(ge=0)] = 1
    interval_epochs: Annotated[int, Field(ge=1)] = 1
    n_min_trials: Annotated[int, Field(ge=1)] = 1


class AshaPruner(Section):
    """Asynchronous successive halving: at epochs `min_epochs`, times `eta`, ... the best 1 / `eta` go on."""

    kind: Literal["asha"] = "asha"
    min_epochs: Annotated[int, Field(ge=1)] = 1
    eta: Annotated[int, Field(ge=2)] = 3
    mode: Literal["promote", "stop"] = "promote"
    """`promote`: trials pause there, and go on once they are among the best; `stop`: the others end there."""


class SuccessiveHalvingPruner(Section):
    kind: Literal["successive_halving"] = "successive_halving"
    min_epochs: Annotated[int, Field(ge=1)] = 1
    eta: Annotated[int, Field(ge=2)] = 4
    min_early_stopping_rate: Annotated[int, Field(ge=0)] = 0


class HyperbandPruner(Section):
    kind: Literal["hyperband"] = "hyperband"
    min_epochs: Annotated[int, Field(ge=1)] = 1
    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """Default: the largest number of epochs that a trial of this space can have."""
    eta: Annotated[int, Field(ge=2)] = 3


class PatientPruner(Section):
    """Prune only trials that have not improved for `patience` epochs (and that the wrapped pruner would prune)."""

    kind: Literal["patient"] = "patient"
    patience: Annotated[int, Field(ge=0)] = 3
    min_delta: NonNegative = 0.0
    wrapped: Annotated[MedianPruner | None, BeforeValidator(_off_to_none)] = None


class ThresholdPruner(Section):
    """Prune trials whose value leaves [lower, upper]."""

    kind: Literal["threshold"] = "threshold"
    lower: float | None = None
    upper: float | None = None
    n_warmup_epochs: Annotated[int, Field(ge=0)] = 0
    interval_epochs: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _bounded(self) -> ThresholdPruner:
        if self.lower is None and self.upper is None:
            raise ValueError("lower, upper: give at least one")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower ({self.lower}) must not be above upper ({self.upper})")
        return self


class WilcoxonPruner(Section):
    kind: Literal["wilcoxon"] = "wilcoxon"
    p_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    n_startup_epochs: Annotated[int, Field(ge=0)] = 2


Pruner = (
    AutoPruner
    | NoPruner
    | MedianPruner
    | PercentilePruner
    | AshaPruner
    | SuccessiveHalvingPruner
    | HyperbandPruner
    | PatientPruner
    | ThresholdPruner
    | WilcoxonPruner
)
PRUNER_KINDS: dict[str, type[Pruner]] = {
    "auto": AutoPruner,
    "none": NoPruner,
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "asha": AshaPruner,
    "successive_halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "patient": PatientPruner,
    "threshold": ThresholdPruner,
    "wilcoxon": WilcoxonPruner,
}


class Search(Section):
    """How the space is searched."""

    SECTION_KINDS: ClassVar[dict[str, Any]] = {"sampler": SAMPLER_KINDS, "pruner": PRUNER_KINDS}

    sampler: Sampler = AutoSampler()
    pruner: Pruner = AutoPruner()
    trials: Annotated[int, Field(ge=1)] | None = None
    """Trials of the study in total. Default: 50, or no limit when a timeout is given, or the whole grid."""
    timeout: Annotated[float, Field(gt=0.0)] | None = None
    """Wall time of the study in total: seconds, or text such as 90s, 30m, 1h30m."""
    stop: Literal["never", "auto"] = "never"
    """auto ends the search before its budget when more trials are expected to gain less than the noise of a value."""
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """Processes that train; `auto` is one a core, or on GPUs one each, more where they are idle, as memory allows."""
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """Threads of each worker; `auto` measures when there are more cores than workers. They stay with the study."""
    lanes: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Trials of one shape that one worker trains together; `auto` measures whether that is faster."""
    breadth: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Least share of the trials whose shape the sampler chooses freely, where lanes train several of one shape."""


class Confirm(Section):
    """Re-training of the search's best on fresh seeds, whose mean chooses the winner; on unless it is `off`."""

    top: Annotated[int, Field(ge=1, le=1000)] = 3
    """Complete trials that are trained again."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 2
    """Fresh seeds that each of them is trained on."""


SECTION_KINDS: dict[str, dict[str, Any]] = {
    "data": DATA_KINDS,
    "model": MODEL_KINDS,
    "loss": LOSS_KINDS,
    "optimizer": OPTIMIZER_KINDS,
    "schedule": SCHEDULE_KINDS,
    "train": TRAIN_KINDS,
}
"""Sections whose class depends on `kind`; all others have one class."""

DEFAULT_KINDS: dict[str, str] = {
    "model": "mlp",
    "loss": "auto",
    "optimizer": "adamw",
    "schedule": "constant",
    "train": "standard",
    "search.sampler": "auto",
    "search.pruner": "auto",
}
"""The kind of a section that does not name one; `data` must."""


_LEFT_OUT: Any = None
"""A section that `train: {kind: python}` does without. The types below do not say so: they are what tuner's own loop
relies on, which never sees such a config, as `_is_whole` makes sure."""


class TrialConfig(Section):
    """The whole config of one trial: what is trained, on what and how; a function of the base config and the params."""

    seed: int = 0
    """The study's seed; a trial's own seeds are derived from it and the trial's number."""
    objective: Objective
    data: Data = _LEFT_OUT
    model: Model = _LEFT_OUT
    loss: Loss = _LEFT_OUT
    optimizer: Optimizer = _LEFT_OUT
    schedule: Schedule = _LEFT_OUT
    train: Train

    @property
    def is_own_training(self) -> bool:
        """Whether the user's own code trains; the sections that it does without are None then."""
        return isinstance(self.train, PythonTrain)

    @model_validator(mode="after")
    def _is_whole(self) -> TrialConfig:
        missing = [name for name in OPTIONAL_SECTIONS if getattr(self, name) is None]
        if missing and not self.is_own_training:
            raise ValueError(f"{', '.join(missing)}: missing")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


OPTIONAL_SECTIONS = ("data", "model", "loss", "optimizer", "schedule")
"""What `train: {kind: python}` can do without."""
