"""A bag of embeddings.

Shapes: B batch, L length, G runs of some tokens, E embedding, K outputs.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from tuner.config.schema.model_kinds.bag import Bag
from tuner.config.schema.model_kinds.base import Site
from tuner.models.inputs import is_language, unfit
from tuner.models.layers import ACTIVATIONS, Dropout, named, per_layer
from tuner.models.sequences import real_places

DEVIATION = 0.1
"""Of the first embeddings: torch's 1.0 takes many steps to be forgotten."""
PRIME = 1_000_003
POWERS = {"mean": 1.0, "sqrtn": 0.5, "sum": 0.0}


def build_bag(config: Bag, site: Site) -> nn.Module:
    """Build tokens [B, L] -> [B, K]; ConfigError when the inputs are no tokens, or every token wants an output."""
    info = site.info
    if info.n_tokens is None:
        raise unfit(f"bag needs tokens, got inputs of shape {info.input_shape} without a vocabulary; use kind: mlp")
    if is_language(info):
        raise unfit("bag has one output for a whole text, and a language model one a token; use kind: recurrent")
    widths, rates = per_layer(config.width, config.depth), per_layer(config.dropout, config.depth)
    layers = [
        named(
            {
                "linear": nn.Linear(n_in, n_out),
                "activation": ACTIVATIONS[config.activation](),
                "dropout": Dropout(rate) if rate else None,
            }
        )
        for (n_in, n_out), rate in zip(pairwise((config.embedding, *widths)), rates, strict=True)
    ]
    head = nn.Linear((config.embedding, *widths)[-1], site.n_outputs)
    return named(
        {
            "bag": Embedded(config, info.n_tokens, info.padding),
            "embedding_dropout": Dropout(config.embedding_dropout) if config.embedding_dropout else None,
            "layers": nn.Sequential(*layers),
            "head": head,
        }
    )


class Embedded(nn.Module):
    """The embeddings of tokens, and of runs of them, that are no padding, pooled: [B, L] -> [B, E]."""

    def __init__(self, config: Bag, n_tokens: int, padding: int | None) -> None:
        super().__init__()
        self.padding, self.buckets, self.power = padding, config.buckets, POWERS[config.pooling]
        self.tokens = nn.Embedding(n_tokens, config.embedding)
        self.runs = nn.ModuleList(nn.Embedding(config.buckets, config.embedding) for _ in range(2, config.ngrams + 1))
        self.dropout = Dropout(config.token_dropout)
        for embedding in (self.tokens, *self.runs):
            nn.init.normal_(embedding.weight, std=DEVIATION)

    def forward(self, x_BL: Tensor) -> Tensor:
        real_BL = real_places(x_BL, self.padding)
        real_BL = torch.ones_like(x_BL, dtype=torch.bool) if real_BL is None else real_BL
        total_BE, count_B1 = self._summed(self.tokens, x_BL, real_BL)
        for extra, embedding in enumerate(self.runs, start=1):
            if extra < x_BL.shape[1]:
                # Where its last token is no padding, neither is one before.
                summed_BE, more_B1 = self._summed(embedding, hashed(x_BL, extra, self.buckets), real_BL[:, extra:])
                total_BE, count_B1 = total_BE + summed_BE, count_B1 + more_B1
        return total_BE if not self.power else total_BE / count_B1.pow(self.power)

    def _summed(self, embedding: nn.Module, ids_BG: Tensor, real_BG: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over what is real, and how many of them there are."""
        embedded_BGE: Tensor = embedding(ids_BG)
        weights_BG1 = self.dropout(real_BG.unsqueeze(2).to(embedded_BGE.dtype))
        count_B1 = real_BG.sum(dim=1, keepdim=True).to(embedded_BGE.dtype)
        return (embedded_BGE * weights_BG1).sum(dim=1), count_B1


def hashed(x_BL: Tensor, extra: int, buckets: int) -> Tensor:
    """A bucket for every run of a token and `extra` more, [B, L - extra]."""
    length = x_BL.shape[1] - extra
    hash_BG = x_BL[:, :length]
    for step in range(1, extra + 1):
        hash_BG = hash_BG * PRIME + x_BL[:, step : step + length]
    return hash_BG.remainder(buckets)
