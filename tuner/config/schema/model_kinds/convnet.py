"""The plain convolutional network, of images and of sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Widths
from tuner.config.schema.model_kinds.base import LayeredModel, Site

if TYPE_CHECKING:
    from torch import nn


class Convnet(LayeredModel):
    """Blocks of convolution, normalisation, activation, pooling by 2 and dropout; a hidden layer and a linear head."""

    kind: Literal["convnet"] = "convnet"
    width: Widths = 32
    kernel: Annotated[int, Field(ge=1, le=31)] = 3
    norm: Literal["none", "batch", "group", "layer"] = "batch"
    pool: Literal["max", "avg", "none"] = "max"
    """How a block halves its map; none keeps its size."""
    global_pool: Literal["none", "mean", "max"] = "none"
    """One number a channel before the head, so that the place of a pattern does not count; none keeps the map."""
    dropout_form: Literal["channel", "standard", "alpha"] = "channel"
    """channel leaves out whole channels (Tompson et al. 2015), standard values; alpha keeps mean and variance."""
    head_width: Annotated[int, Field(ge=0, le=65536)] = 128
    """Width of the hidden layer before the head; 0 leaves it out."""

    @model_validator(mode="after")
    def _odd_kernel(self) -> Convnet:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, got {self.kernel}")
        return self

    def build(self, site: Site) -> nn.Module:
        from tuner.models.convnet import build_convnet

        return build_convnet(self, site)
