"""What is optimised, and how the space is searched."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import Direction, NonNegative, Positive, Section, off_to_none


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
    wrapped: Annotated[MedianPruner | None, BeforeValidator(off_to_none)] = None


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
    resplit: Literal["auto"] | bool = "auto"
    """Whether each fresh seed also has a validation part of its own, cut anew, the same for all candidates: `auto` does
    that where fewer than 10,000 rows validate. The test part stays as it is."""
