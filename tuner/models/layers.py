"""What the layered models share: activations by name, and one value a layer.

Nothing here works in place or branches on a tensor: the models run unchanged under `torch.func.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Value = TypeVar("Value", int, float)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}


def per_layer(value: Value | tuple[Value, ...], depth: int) -> tuple[Value, ...]:
    """Repeat one value for all layers; a tuple already has one a layer (the config section proves it)."""
    return value if isinstance(value, tuple) else (value,) * depth


def named(modules: dict[str, nn.Module | None]) -> nn.Sequential:
    """Chain the modules that are there; a name, and so a key of the state_dict, does not depend on which others are."""
    chain = nn.Sequential()
    for name, module in modules.items():
        if module is not None:
            chain.add_module(name, module)
    return chain
