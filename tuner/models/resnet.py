"""The small residual network of He et al. 2015, arXiv:1512.03385, section 4.2.

Shapes: B batch, C channels, H W, K outputs.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.resnet import Resnet
from tuner.models.convnet import OF_DIMENSIONS
from tuner.models.inputs import image_shape
from tuner.models.layers import ACTIVATIONS, ChannelDropout, GlobalPool, named

FACTORS = (1, 2, 4)
"""Channels of the stages; the map is halved where they are doubled."""
LAYERS = OF_DIMENSIONS[2]


def build_resnet(config: Resnet, site: Site) -> nn.Module:
    """Build [B, C, H, W] -> a convolution -> three stages -> mean over the map -> [B, K].

    Raises ConfigError when the inputs are not images.
    """
    channels, _, _ = image_shape("resnet", site.info)
    widths = [config.width * factor for factor in FACTORS]
    stages = [_stage(config, n_in, n_out, index) for index, (n_in, n_out) in enumerate(pairwise((widths[0], *widths)))]
    return named(
        {
            "stem": _convolution(config, channels, widths[0], stride=1),
            "activation": ACTIVATIONS[config.activation](),
            "stages": nn.Sequential(*stages),
            "pool": GlobalPool("mean"),
            "head": nn.Linear(widths[-1], site.n_outputs),
        }
    )


def _stage(config: Resnet, n_in: int, n_out: int, index: int) -> nn.Module:
    first = ResidualBlock(config, n_in, n_out, stride=1 if index == 0 else 2)
    return nn.Sequential(first, *(ResidualBlock(config, n_out, n_out, stride=1) for _ in range(config.depth - 1)))


def _convolution(config: Resnet, n_in: int, n_out: int, *, stride: int) -> nn.Module:
    """3 by 3, and its normalisation."""
    conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=config.norm != "batch")
    return named({"conv": conv, "norm": LAYERS.norm(config.norm, n_out)})


class ResidualBlock(nn.Module):
    """Two convolutions, added to the input before the last activation."""

    def __init__(self, config: Resnet, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = named(
            {
                "first": _convolution(config, n_in, n_out, stride=stride),
                "activation": ACTIVATIONS[config.activation](),
                "dropout": ChannelDropout(config.dropout) if config.dropout else None,
                "second": _convolution(config, n_out, n_out, stride=1),
            }
        )
        self.shortcut = _shortcut(config, n_in, n_out, stride)
        self.activation = ACTIVATIONS[config.activation]()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return output


def _shortcut(config: Resnet, n_in: int, n_out: int, stride: int) -> nn.Module:
    if n_in == n_out and stride == 1:
        return nn.Identity()
    if config.shortcut == "pad":
        return PaddedShortcut(n_out - n_in, stride)
    conv = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=config.norm != "batch")
    return named({"conv": conv, "norm": LAYERS.norm(config.norm, n_out)})


class PaddedShortcut(nn.Module):
    """Every other pixel, and zeros for the channels that are new: no parameters."""

    def __init__(self, n_new: int, stride: int) -> None:
        super().__init__()
        self.n_new, self.stride = n_new, stride

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, self.n_new)) if self.n_new else kept
