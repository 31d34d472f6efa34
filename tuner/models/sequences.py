"""Sequences of different lengths in one batch, filled up at their ends.

Shapes: B batch, L length, F features. `real_BL` is true where a place is no padding; None where all have one length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

EMBEDDING_DEVIATION = 0.02


def token_embedding(n_tokens: int, width: int) -> nn.Embedding:
    """An embedding that begins small, as in BERT: torch's deviation of 1 is not forgotten in a short training.

    After 6 epochs on 4000 sentences of SST-2 (one seed, the better of the rates 1e-3 and 3e-3) a transformer has .740
    instead of .695 validation accuracy, a gru in both directions .755 instead of .7075.
    """
    embedding = nn.Embedding(n_tokens, width)
    nn.init.normal_(embedding.weight, std=EMBEDDING_DEVIATION)
    return embedding


def real_places(x_BL: Tensor, padding: int | None) -> Tensor | None:
    """Which places of sequences of tokens count; all places of one that is padding alone."""
    if padding is None:
        return None
    real_BL = x_BL.ne(padding)
    return real_BL | ~real_BL.any(dim=1, keepdim=True)


def lengths_of(real_BL: Tensor) -> Tensor:
    """The number of places up to the last real one [B]."""
    counts_L = torch.arange(1, real_BL.shape[1] + 1, device=real_BL.device)
    return (real_BL * counts_L).amax(dim=1)


def reversed_steps(x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
    """Every sequence from its end to its start; padding stays behind it."""
    if real_BL is None:
        return x_BLF.flip(1)
    lengths_B1 = lengths_of(real_BL).unsqueeze(1)
    steps_L = torch.arange(x_BLF.shape[1], device=x_BLF.device)
    order_BL = torch.where(steps_L < lengths_B1, lengths_B1 - 1 - steps_L, steps_L)
    return x_BLF.gather(1, order_BL.unsqueeze(2).expand_as(x_BLF))


def last_step(x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
    """What is at the last real place of each sequence [B, F]."""
    if real_BL is None:
        return x_BLF[:, -1]
    index_B11 = (lengths_of(real_BL) - 1).reshape(-1, 1, 1)
    return x_BLF.gather(1, index_B11.expand(-1, 1, x_BLF.shape[2])).squeeze(1)


def mean_step(x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
    if real_BL is None:
        return x_BLF.mean(dim=1)
    real_BL1 = real_BL.unsqueeze(2).to(x_BLF.dtype)
    return (x_BLF * real_BL1).sum(dim=1) / real_BL1.sum(dim=1)


def max_step(x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
    if real_BL is None:
        return x_BLF.amax(dim=1)
    return x_BLF.masked_fill(~real_BL.unsqueeze(2), -math.inf).amax(dim=1)
