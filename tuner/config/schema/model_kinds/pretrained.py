"""What networks of other people have in common: weights to begin with, and how much of them is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tuner.config.schema.model_kinds.base import ModelSection

DEFAULT_WEIGHTS = "default"
HEADS = ("fc", "classifier", "heads", "head")
"""What the last part of a network is called, in torchvision and by most others."""


class Pretrained(ModelSection):
    """A network whose last layer is made for the data, and which may begin with trained weights."""

    options: dict[str, Any] = {}
    """Keyword arguments for what builds the network; searchable as `model.options.NAME`."""
    weights: str | None = None
    """A file with its state_dict, relative to the space file; layers that differ in the head begin anew."""
    freeze: Literal["none", "half", "backbone"] = "none"
    """What keeps its weights: nothing, the first half of the backbone's layers, or all but the head."""
    backbone_lr: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Learning rate of all but the head, as a factor of `optimizer.lr`."""

    @model_validator(mode="after")
    def _there_are_weights_to_keep(self) -> Pretrained:
        if self.freeze != "none" and self.weights is None and not self.has_own_weights:
            raise ValueError(f"freeze: {self.freeze} would keep random weights; give weights, or freeze: none")
        return self

    @property
    def has_own_weights(self) -> bool:
        """Whether the network may come with weights of its own."""
        return False

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names that the last part of the network can have."""
        return HEADS

    def files(self) -> tuple[str, ...]:
        return () if self.weights in (None, DEFAULT_WEIGHTS) else (str(self.weights),)

    def lr_scales(self) -> dict[str, float]:
        return {} if self.backbone_lr == 1.0 else {**dict.fromkeys(self.head_names, 1.0), "": self.backbone_lr}
