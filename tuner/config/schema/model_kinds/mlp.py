"""The multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tuner.config.schema.model_kinds.base import EmbeddingSize, LayeredModel, Site

if TYPE_CHECKING:
    from torch import nn


class Mlp(LayeredModel):
    """Linear layers, each with normalisation, activation and dropout, and a linear head."""

    kind: Literal["mlp"] = "mlp"
    norm: Literal["none", "batch", "layer", "group"] = "none"
    dropout_form: Literal["standard", "alpha"] = "standard"
    """alpha keeps mean and variance of what it is given (Klambauer et al. 2017)."""
    residual: bool = False
    """Add its input to what a layer gives, through a linear layer where their widths differ."""
    embedding: EmbeddingSize = "auto"
    """Numbers that stand for one category of a table; `auto` follows how many categories there are."""

    def build(self, site: Site) -> nn.Module:
        from tuner.models.mlp import build_mlp

        return build_mlp(self, site)
