"""The multilayer perceptron.

Shapes: B batch, F features (all dimensions of one input together), K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from torch import nn

from tuner.config.schema import Mlp
from tuner.data.info import DataInfo
from tuner.models.layers import ACTIVATIONS, Dropout, named, per_layer

NORMS: dict[str, Callable[[int], nn.Module | None]] = {
    "none": lambda _: None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


def build_mlp(config: Mlp, info: DataInfo, n_outputs: int, _base_dir: Path) -> nn.Module:
    """Build [B, ...] -> [B, F] -> layers -> [B, K]; depth 0 is a linear model."""
    widths = per_layer(config.width, config.depth)
    rates = per_layer(config.dropout, config.depth)
    sizes = pairwise((math.prod(info.input_shape), *widths))
    layers = [_layer(config, n_in, n_out, rate) for (n_in, n_out), rate in zip(sizes, rates, strict=True)]
    n_features = widths[-1] if widths else math.prod(info.input_shape)
    return named({"flatten": nn.Flatten(), "layers": nn.Sequential(*layers), "head": nn.Linear(n_features, n_outputs)})


def _layer(config: Mlp, n_in: int, n_out: int, rate: float) -> nn.Module:
    return named(
        {
            "linear": nn.Linear(n_in, n_out, bias=config.norm != "batch"),  # batch normalisation subtracts any bias
            "norm": NORMS[config.norm](n_out),
            "activation": ACTIVATIONS[config.activation](),
            "dropout": Dropout(rate) if rate else None,
        }
    )
