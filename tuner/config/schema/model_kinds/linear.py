"""A linear model: logistic regression for classes, linear regression for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tuner.config.schema.base import Rate
from tuner.config.schema.model_kinds.base import EmbeddingSize, OwnModel, Site

if TYPE_CHECKING:
    from torch import nn


class Linear(OwnModel):
    """One linear layer over all numbers of an input."""

    kind: Literal["linear"] = "linear"
    dropout: Rate = 0.0
    """Share of the inputs that is left out in training."""
    embedding: EmbeddingSize = "auto"
    """Numbers that stand for one category of a table; `auto` follows how many categories there are."""

    def build(self, site: Site) -> nn.Module:
        from torch import nn

        from tuner.models.inputs import flat_input
        from tuner.models.layers import Dropout, named

        columns, n_features = flat_input("linear", site.info, self.embedding)
        dropout = Dropout(self.dropout) if self.dropout else None
        return named({"columns": columns, "dropout": dropout, "head": nn.Linear(n_features, site.n_outputs)})
