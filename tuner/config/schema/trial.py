"""The whole config of one trial, and the tables of all kinds."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from tuner.config.schema.base import Section
from tuner.config.schema.data import DATA_KINDS, Data
from tuner.config.schema.losses import LOSS_KINDS, Loss
from tuner.config.schema.models import MODEL_KINDS, Model
from tuner.config.schema.optimizers import OPTIMIZER_KINDS, Optimizer
from tuner.config.schema.schedules import SCHEDULE_KINDS, Schedule
from tuner.config.schema.search import Objective
from tuner.config.schema.train import TRAIN_KINDS, PythonTrain, Train

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
