"""What the layered models share: activations by name, dropout, and one value a layer.

Nothing here works in place or branches on a tensor: the models run unchanged under `torch.func.vmap`.

Shapes: B batch, C channels, L length, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

N_LEVELS = 2**16
TARGET_GROUPS = 8
Value = TypeVar("Value", int, float)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
}


# -------------------------------------------------------------------------------------------------------------- dropout


class Dropout(nn.Dropout):
    """nn.Dropout whose masks on the CPU come from 16 random bits a value.

    A mask of 128 by 64 takes 23 us instead of 82 (torch 2.15, one core of an AMD EPYC, best of 7 x 300). The share that
    is kept is the nearest multiple of 2**-16, and the scale is that of this share.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        shape = self.mask_shape(tuple(x.shape))
        if _is_plain(x):
            return self.masked(x, mask(shape, self.p, x.dtype), share_kept(self.p))
        if type(self) is Dropout:
            return super().forward(x)  # one kernel
        return self.masked(x, functional.dropout(x.new_ones(shape), self.p), 1.0 - self.p)

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the mask for an input; values along an axis of 1 are left out together."""
        return shape

    def masked(self, x: Tensor, scale: Tensor, keep: Tensor | float) -> Tensor:  # noqa: ARG002 - other forms need it
        """The outputs: `scale` is 0 where a value is left out, else the inverse of the share that is kept."""
        return x * scale


class ChannelDropout(Dropout):
    """Whole channels of [B, C, ...], since neighbouring places say the same (Tompson et al., arXiv:1411.4280)."""

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:2], *(1,) * (len(shape) - 2))


class LockedDropout(Dropout):
    """The same features at all steps of [B, L, F] (Gal and Ghahramani, arXiv:1512.05287)."""

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1,) * (len(shape) - 2), shape[-1])


class AlphaDropout(Dropout):
    """Sets values to where SELU saturates, and keeps mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515)."""

    SATURATION = -1.7580993408473766

    def masked(self, x: Tensor, scale: Tensor, keep: Tensor | float) -> Tensor:
        kept = scale * keep
        spread = (keep * (1.0 + (1.0 - keep) * self.SATURATION**2)) ** -0.5
        return spread * (x * kept + self.SATURATION * (keep - kept))


def _is_plain(x: Tensor) -> bool:
    """On the CPU and outside of torch.func, whose vmap draws random numbers in its own way."""
    return x.device.type == "cpu" and not is_transformed()


def is_transformed() -> bool:
    """Whether torch.func runs this, for several lanes at once."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # noqa: SLF001 - no public way


def share_kept(rate: float) -> float:
    """The share that a mask keeps."""
    return _levels_kept(rate) / N_LEVELS


def _levels_kept(rate: float) -> int:
    return min(max(round((1.0 - rate) * N_LEVELS), 1), N_LEVELS - 1)  # all of them would not fit into int16 below


def mask(shape: tuple[int, ...], rate: float, dtype: torch.dtype) -> Tensor:
    """Zeros with the probability `rate`, else the inverse of what is kept; drawn from torch's generator of the CPU."""
    n_values = math.prod(shape)
    kept = _levels_kept(rate)
    words = torch.empty((n_values + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)
    levels = levels if len(levels) == n_values else levels[:n_values]
    return levels.view(shape).lt(kept - N_LEVELS // 2).to(dtype).div_(kept / N_LEVELS)


# --------------------------------------------------------------------------------------------------------------- layers


class Residual(nn.Module):
    """What a body makes of its input, added to the input; through `shortcut` where their shapes differ."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.body(x)
        return output + (x if self.shortcut is None else self.shortcut(x))


class GlobalPool(nn.Module):
    """The mean or maximum of every channel: [B, C, ...] -> [B, C]."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(dim=2) if self.kind == "mean" else x.flatten(2).amax(dim=2)


def n_groups(width: int) -> int:
    """The divisor of `width` nearest to 8 (the smaller of two) that leaves two channels or more in a group, else 1.

    A group of one channel would be all zeros where the map is a single pixel: a value minus its own mean.
    """
    divisors = [n for n in range(1, width // 2 + 1) if width % n == 0]
    return min(divisors, key=lambda n: abs(n - TARGET_GROUPS), default=1)


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
