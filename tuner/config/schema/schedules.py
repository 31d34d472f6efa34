"""How the learning rate changes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tuner.config.schema.base import NonNegative, Positive, Section, as_tuple

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Gamma = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Per = Literal["step", "epoch"]
Anneal = Literal["cos", "linear"]


class ScheduleSection(Section):
    """What every learning rate schedule takes."""

    warmup_epochs: NonNegative = 0.0
    """Epochs (fractions too) in which the learning rate rises linearly to its value."""


class GradualSchedule(ScheduleSection):
    """One that changes all the time."""

    per: Per = "step"
    """Whether the learning rate changes at every step, or at the start of an epoch only."""


class Constant(ScheduleSection):
    kind: Literal["constant"] = "constant"


class Linear(GradualSchedule):
    """From lr times start_factor to lr times end_factor in a line."""

    kind: Literal["linear"] = "linear"
    start_factor: Share = 1.0
    end_factor: Share = 0.0
    epochs: Positive | None = None
    """How long that takes; null takes all of the trial's own epochs."""


class Step(ScheduleSection):
    """lr times gamma every step_size epochs."""

    kind: Literal["step"] = "step"
    step_size: Count = 10
    gamma: Gamma = 0.1


class Multistep(ScheduleSection):
    """lr times gamma after each of the epochs in `milestones`."""

    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[tuple[Count, ...], BeforeValidator(as_tuple)] = (10, 15)
    gamma: Gamma = 0.1


class Exponential(ScheduleSection):
    """lr times gamma every epoch."""

    kind: Literal["exponential"] = "exponential"
    gamma: Gamma = 0.95
    per: Per = "epoch"
    """epoch: at its end. step: a share of it at every step, which comes to gamma in an epoch."""


class Polynomial(GradualSchedule):
    """lr times (1 - progress) to the power of `power`, down to 0 at the end of the trial."""

    kind: Literal["polynomial"] = "polynomial"
    power: Positive = 1.0


class Cosine(GradualSchedule):
    """Half a cosine from lr to eta_min over the trial's own epochs."""

    kind: Literal["cosine"] = "cosine"
    eta_min: NonNegative = 0.0


class CosineRestarts(GradualSchedule):
    """Half a cosine from lr to eta_min, again and again: `t_0` epochs, then `t_mult` times as many, and so on."""

    kind: Literal["cosine_restarts"] = "cosine_restarts"
    t_0: Count = 10
    t_mult: Count = 1
    eta_min: NonNegative = 0.0


class OneCycle(ScheduleSection):
    """From lr / div_factor up to lr and down to lr / (div_factor * final_div_factor), changing every step."""

    kind: Literal["one_cycle"] = "one_cycle"
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    div_factor: Annotated[float, Field(ge=1.0)] = 25.0
    final_div_factor: Annotated[float, Field(ge=1.0)] = 1e4
    anneal_strategy: Anneal = "cos"
    three_phase: bool = False
    """Down to where it began in as many steps as it rose, and only then to the end."""

    @model_validator(mode="after")
    def _three_phases_fit(self) -> OneCycle:
        if self.three_phase and self.pct_start > 0.5:  # noqa: PLR2004 - rise and fall take as long
            raise ValueError("three_phase: needs pct_start of at most 0.5: the fall takes as long as the rise")
        return self


class Cyclic(ScheduleSection):
    """From lr / div_factor up to lr and back in lines, again and again, changing every step."""

    kind: Literal["cyclic"] = "cyclic"
    div_factor: Annotated[float, Field(ge=1.0)] = 10.0
    up_epochs: Positive = 2.0
    down_epochs: Positive | None = None
    """null: as many as up."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """triangular2 halves the height after every cycle, exp_range lets it fall by gamma in an epoch."""
    gamma: Gamma = 0.9


class InverseSqrt(GradualSchedule):
    """lr times sqrt(t / (t + epochs after the warm-up)), the schedule of transformers."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale_epochs: Positive | None = None
    """The t; null takes the length of the warm-up, and one epoch where there is none."""


class Plateau(ScheduleSection):
    """lr times factor when the objective has not improved for more than `patience` epochs."""

    kind: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 5
    threshold: NonNegative = 1e-4
    """What counts as an improvement, as a share of the best value (rel) or as a difference (abs)."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: Annotated[int, Field(ge=0)] = 0
    """Epochs after a reduction that do not count as waiting."""
    min_lr: NonNegative = 0.0


Schedule = (
    Constant
    | Linear
    | Step
    | Multistep
    | Exponential
    | Polynomial
    | Cosine
    | CosineRestarts
    | OneCycle
    | Cyclic
    | InverseSqrt
    | Plateau
)
SCHEDULE_KINDS: dict[str, type[Schedule]] = {
    "constant": Constant,
    "linear": Linear,
    "step": Step,
    "multistep": Multistep,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "cosine": Cosine,
    "cosine_restarts": CosineRestarts,
    "one_cycle": OneCycle,
    "cyclic": Cyclic,
    "inverse_sqrt": InverseSqrt,
    "plateau": Plateau,
}
