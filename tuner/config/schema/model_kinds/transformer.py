"""The transformer encoder, of tokens, of sequences of numbers, and of patches of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Activation, Rate, Width
from tuner.config.schema.model_kinds.base import OwnModel, Site

if TYPE_CHECKING:
    from torch import nn


class Transformer(OwnModel):
    """Blocks of self-attention and a hidden layer, each normalised before; a language model looks back only."""

    kind: Literal["transformer"] = "transformer"
    depth: Annotated[int, Field(ge=1, le=64)] = 2
    width: Width = 64
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    """Must divide the width."""
    ff_width: Width | Literal["auto"] = "auto"
    """Width of the hidden layer of a block; `auto` is 4 times the width."""
    dropout: Rate = 0.0
    """Of what each block adds, and of the embedded inputs."""
    attention_dropout: Rate = 0.0
    """Share of the places that are not looked at."""
    activation: Activation = "gelu"
    positions: Literal["learned", "sinusoidal", "none"] = "learned"
    pooling: Literal["mean", "max", "cls"] = "mean"
    """What of a sequence the head gets: the mean or maximum of its places, or a place of its own put before them."""
    patch: Annotated[int, Field(ge=1, le=256)] = 4
    """Side of the squares that images are cut into; must divide their sides."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide the width of {self.width}")
        return self

    def build(self, site: Site) -> nn.Module:
        from tuner.models.transformer import build_transformer

        return build_transformer(self, site)
