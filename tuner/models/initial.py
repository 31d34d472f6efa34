"""How the weights of tuner's own networks begin."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuner.models.experts import Experts

DEVIATION = 0.02
WITH_WEIGHTS = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, Experts)  # noqa: SLF001 - the base of all convolutions
"""Layers that a scheme is for; embeddings and norms begin as torch begins them."""

SCHEMES: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "normal": lambda weight: nn.init.normal_(weight, std=DEVIATION),
}


def initialise(model: nn.Module, scheme: str) -> None:
    """Draw all weights by a scheme, biases are 0; `default` leaves everything as torch's layers begin."""
    if scheme == "default":
        return
    draw = SCHEMES[scheme]
    for module in model.modules():
        if isinstance(module, WITH_WEIGHTS):
            for name, param in module.named_parameters(recurse=False):
                with torch.no_grad():
                    _begin(module, name, param, draw)


def _begin(module: nn.Module, name: str, param: Tensor, draw: Callable[[Tensor], Tensor]) -> None:
    if name.startswith("bias"):
        param.zero_()
    elif isinstance(module, Experts):
        for weight in param:  # each expert is a layer of its own
            draw(weight)
    else:
        draw(param)
