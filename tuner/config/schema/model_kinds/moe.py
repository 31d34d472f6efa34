"""A mixture of experts: layers of several linear layers, of which each row takes some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import NonNegative, Widths
from tuner.config.schema.model_kinds.base import EmbeddingSize, LayeredModel, Site

if TYPE_CHECKING:
    from torch import nn


class Moe(LayeredModel):
    """An mlp whose layers are mixtures of experts (Shazeer et al. 2017, arXiv:1701.06538)."""

    kind: Literal["moe"] = "moe"
    width: Widths = 64
    n_experts: Annotated[int, Field(ge=1, le=256)] = 4
    """Linear layers of a mixture."""
    top_k: Annotated[int, Field(ge=1, le=256)] = 2
    """Experts that a row takes, weighted by what the router thinks of them."""
    balance: NonNegative = 0.01
    """Weight of the penalty on experts that are taken unevenly (Fedus et al. 2021, arXiv:2101.03961, equation 4)."""
    embedding: EmbeddingSize = "auto"
    """Numbers that stand for one category of a table; `auto` follows how many categories there are."""

    @model_validator(mode="after")
    def _enough_experts(self) -> Moe:
        if self.top_k > self.n_experts:
            raise ValueError(f"top_k: {self.top_k} of {self.n_experts} experts cannot be taken")
        return self

    def build(self, site: Site) -> nn.Module:
        from itertools import pairwise

        from torch import nn

        from tuner.models.experts import Mixture
        from tuner.models.inputs import flat_input
        from tuner.models.layers import ACTIVATIONS, Dropout, named, per_layer

        columns, n_features = flat_input("moe", site.info, self.embedding)
        widths, rates = per_layer(self.width, self.depth), per_layer(self.dropout, self.depth)
        layers = [
            named(
                {
                    "mixture": Mixture(n_in, n_out, n_experts=self.n_experts, top_k=self.top_k, balance=self.balance),
                    "activation": ACTIVATIONS[self.activation](),
                    "dropout": Dropout(rate) if rate else None,
                }
            )
            for (n_in, n_out), rate in zip(pairwise((n_features, *widths)), rates, strict=True)
        ]
        head = nn.Linear((n_features, *widths)[-1], site.n_outputs)
        return named({"columns": columns, "layers": nn.Sequential(*layers), "head": head})
