"""How the learning rate changes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import NonNegative, Section


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
