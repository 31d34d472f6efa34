"""Where lanes lie in memory, and whether a product of all of them has the bits of one a lane.

The libraries behind products add up in another order where a matrix does not begin at a multiple of 64 bytes (MKL's
conditions for the same result from run to run), and the functions of vectors have another form for what is left at an
end. Torch puts every tensor of a run alone at such an address. A lane inside a stacked tensor lies so only when the
lanes before it fill whole vectors, as they do for the usual batch sizes and widths and not for 33 rows of 5.

T lanes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuner.data.batches import ALIGNED_BYTES
from tuner.training.tape import Meta

VECTORS_BYTES = 2 * ALIGNED_BYTES
"""What torch's elementwise loops take at a time, with the widest vectors; the rest is computed value by value."""
LEAST_COMPARED = 2**12
MOST_TRIES = 16


def stacked_apart(lanes: Sequence[Tensor]) -> Tensor:
    """The lanes in one tensor [T, ...], each at an address that memory of its own would have."""
    first = lanes[0]
    apart = _rounded_up(first.numel(), first.dtype)
    if apart == first.numel():
        return torch.stack(list(lanes))
    whole = first.new_empty((len(lanes), apart))[:, : first.numel()].view(len(lanes), *first.shape)
    for place, lane in zip(whole.unbind(0), lanes, strict=True):
        place.copy_(lane)
    return whole


def _rounded_up(n_values: int, dtype: torch.dtype) -> int:
    """The least number of values, at least so many, that fill whole vectors."""
    n_each = ALIGNED_BYTES // dtype.itemsize
    return -(-n_values // n_each) * n_each


def fills(meta: Meta, n_bytes: int) -> bool:
    """Whether the values of a tensor fill whole parts of so many bytes."""
    return torch.Size(meta.shape).numel() * meta.dtype.itemsize % n_bytes == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """What a product is given for each lane, and how the lanes lie."""

    meta: Meta
    is_stacked: bool = True
    """Whether they are in one tensor already; else they are put into one."""
    is_aligned: bool = True
    """Whether each begins in it where it would in memory of its own."""

    def drawn(self, n_lanes: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """Random values: each lane in memory of its own, and all of them as they lie."""
        shape, strides, dtype = self.meta.shape, self.meta.strides, self.meta.dtype
        span = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        values = torch.randn((n_lanes, span), generator=generator, dtype=dtype)
        lanes = [lane.clone().as_strided(shape, strides) for lane in values]
        if not self.is_stacked:
            return lanes, torch.stack(lanes)
        apart = _rounded_up(span, dtype) if self.is_aligned else span
        memory = values.new_zeros((n_lanes, apart))
        memory[:, :span] = values
        return lanes, memory.as_strided((n_lanes, *shape), (apart, *strides))


@functools.lru_cache(maxsize=1024)
def stacks_exactly(
    alone: Callable[..., Tensor], together: Callable[..., Tensor], operands: tuple[Operand, ...], n_lanes: int
) -> bool:
    """Whether a stacked product has the bits of a call a lane, for these shapes, with the libraries of this machine.

    Mostly so; not where a side is 1, since a product with a vector is another routine, nor for many shapes whose lanes
    are not aligned. It is tried on random numbers: another order of summation shows in some of thousands of sums.
    """
    generator = torch.Generator().manual_seed(0)
    n_compared = 0
    for _ in range(MOST_TRIES):
        drawn = [operand.drawn(n_lanes, generator) for operand in operands]
        expected = torch.stack([alone(*lane) for lane in zip(*(lanes for lanes, _ in drawn), strict=True)])
        if not torch.equal(together(*(whole for _, whole in drawn)), expected):
            return False
        n_compared += expected.numel()
        if n_compared >= LEAST_COMPARED:
            break
    return True
