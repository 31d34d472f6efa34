"""The multilayer perceptron.

Shapes: B batch, F features (all dimensions of one input together), K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import nn

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.mlp import Mlp
from tuner.models.inputs import flat_input
from tuner.models.layers import ACTIVATIONS, AlphaDropout, Dropout, Residual, n_groups, named, per_layer

NORMS: dict[str, Callable[[int], nn.Module | None]] = {
    "none": lambda _: None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(n_groups(width), width),
}
DROPOUTS: dict[str, type[Dropout]] = {"standard": Dropout, "alpha": AlphaDropout}


def build_mlp(config: Mlp, site: Site) -> nn.Module:
    """Build [B, ...] -> [B, F] -> layers -> [B, K]; depth 0 is a linear model."""
    flatten, n_features = flat_input("mlp", site.info, config.embedding)
    widths = per_layer(config.width, config.depth)
    rates = per_layer(config.dropout, config.depth)
    sizes = pairwise((n_features, *widths))
    layers = [_layer(config, n_in, n_out, rate) for (n_in, n_out), rate in zip(sizes, rates, strict=True)]
    head = nn.Linear((n_features, *widths)[-1], site.n_outputs)
    return named({"flatten": flatten, "layers": nn.Sequential(*layers), "head": head})


def _layer(config: Mlp, n_in: int, n_out: int, rate: float) -> nn.Module:
    body = named(
        {
            "linear": nn.Linear(n_in, n_out, bias=config.norm != "batch"),  # batch normalisation subtracts any bias
            "norm": NORMS[config.norm](n_out),
            "activation": ACTIVATIONS[config.activation](),
            "dropout": DROPOUTS[config.dropout_form](rate) if rate else None,
        }
    )
    if not config.residual:
        return body
    return Residual(body, nn.Linear(n_in, n_out, bias=False) if n_in != n_out else None)
