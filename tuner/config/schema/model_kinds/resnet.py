"""The small residual network for small images (He et al. 2015, arXiv:1512.03385, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import Activation, Rate
from tuner.config.schema.model_kinds.base import OwnModel, Site

if TYPE_CHECKING:
    from torch import nn


class Resnet(OwnModel):
    """Three stages of residual blocks with width, 2 width and 4 width channels; 6 depth + 2 layers. From 8 by 8 up."""

    kind: Literal["resnet"] = "resnet"
    depth: Annotated[int, Field(ge=1, le=64)] = 3
    """Blocks of a stage: 3 is ResNet-20, 5 ResNet-32, 9 ResNet-56."""
    width: Annotated[int, Field(ge=1, le=4096)] = 16
    """Channels of the first stage."""
    dropout: Rate = 0.0
    """Of whole channels, between the two convolutions of a block (Zagoruyko and Komodakis 2016)."""
    activation: Activation = "relu"
    norm: Literal["batch", "group", "layer", "none"] = "batch"
    shortcut: Literal["pad", "conv"] = "pad"
    """Where channels get more: zeros for the new ones (option A of the paper), or a convolution (option B)."""

    def build(self, site: Site) -> nn.Module:
        from tuner.models.resnet import build_resnet

        return build_resnet(self, site)
