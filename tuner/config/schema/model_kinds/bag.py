"""A bag of embeddings, for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import Rate, Widths
from tuner.config.schema.model_kinds.base import LayeredModel, Site

if TYPE_CHECKING:
    from torch import nn


class Bag(LayeredModel):
    """The mean of the embeddings of all tokens, whatever their order, and an mlp (Joulin et al. 2016, fastText)."""

    kind: Literal["bag"] = "bag"
    embedding: Annotated[int, Field(ge=1, le=4096)] = 64
    """Numbers that stand for one token."""
    ngrams: Annotated[int, Field(ge=1, le=8)] = 1
    """Runs of up to so many tokens have embeddings too, so that some of the order counts."""
    buckets: Annotated[int, Field(ge=2, le=2**24)] = 16384
    """Embeddings that all runs of one length share, told apart by a hash."""
    pooling: Literal["mean", "sqrtn", "sum"] = "mean"
    """What of all embeddings goes on: their sum divided by their number, by its root, or by nothing."""
    token_dropout: Rate = 0.0
    """Share of the tokens that is left out."""
    embedding_dropout: Rate = 0.0
    """Share of what was pooled that is left out."""
    depth: Annotated[int, Field(ge=0, le=64)] = 0
    """Hidden layers before the head."""
    width: Widths = 64

    def build(self, site: Site) -> nn.Module:
        from tuner.models.bag import build_bag

        return build_bag(self, site)
