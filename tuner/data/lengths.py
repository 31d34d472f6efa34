"""Rows of different lengths: stored filled up to one length, and cut for each batch.

A batch is as long as its longest row, rounded up so that there are few shapes: a step is recorded once for each.

N rows, B rows of a batch, L stored length.
"""

from __future__ import annotations

import torch
from torch import Tensor

MULTIPLE = 8
MAX_SHAPES = 64
"""Lengths that batches have at most; of long rows they are multiples of more than 8."""
POOLED_BATCHES = 50
"""Bucketed batches are made of so many batches' rows, sorted: enough that little is padded, few enough to be random."""


def row_lengths(x_NL: Tensor, padding: int) -> Tensor:
    """How long each row is without the padding at its end, [N]; at least 1."""
    n_rows, length = x_NL.shape
    lengths = torch.ones(n_rows, dtype=torch.int64)
    step = max(1, 2**20 // max(1, length))
    places = torch.arange(1, length + 1)
    for start in range(0, n_rows, step):
        piece = x_NL[start : start + step]
        lengths[start : start + step] = ((piece != padding) * places).amax(1).clamp_(min=1)
    return lengths


def rounded_up(length: int, stored: int) -> int:
    """The length of a batch whose longest row has `length`, where rows are stored with `stored`."""
    multiple = MULTIPLE * -(-stored // (MULTIPLE * MAX_SHAPES))
    return min(stored, -(-length // multiple) * multiple)


def batch_lengths(lengths_N: Tensor, order: Tensor, n_rows: int, stored: int) -> list[int]:
    """The length of every batch of `n_rows` rows, in their order."""
    return [rounded_up(int(batch.max()), stored) for batch in torch.split(lengths_N[order], n_rows)]


def without_padding(x_BL: Tensor, padding: int) -> Tensor:
    """A batch, cut as the batches of training are."""
    length = int(row_lengths(x_BL, padding).max())
    return x_BL[:, : rounded_up(length, x_BL.shape[1])].contiguous()


def bucketed(order: Tensor, lengths_N: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Put rows of about one length beside each other, and their batches into a random order.

    What makes no full batch stays at the end.
    """
    n_full = len(order) // batch_size * batch_size
    pools = torch.split(order[:n_full], batch_size * POOLED_BATCHES)
    by_length = [pool[lengths_N[pool].argsort(stable=True)] for pool in pools]
    batches = torch.cat([order[:0], *by_length]).reshape(-1, batch_size)
    shuffled = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([shuffled.flatten(), order[n_full:]])
