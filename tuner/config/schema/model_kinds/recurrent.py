"""Recurrent networks, of tokens and of sequences of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tuner.config.schema.base import Widths
from tuner.config.schema.model_kinds.base import EmbeddingSize, LayeredModel, Site

if TYPE_CHECKING:
    from torch import nn


class Recurrent(LayeredModel):
    """Layers of cells that walk along a sequence, pooled over its length; of a language model an output a token."""

    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    depth: Annotated[int, Field(ge=1, le=64)] = 1
    width: Widths = 64
    activation: Literal["tanh", "relu"] = "tanh"
    """Of rnn cells; lstm and gru have theirs."""
    bidirectional: bool = False
    """A second cell a layer walks from the end to the start; its width comes on top."""
    pooling: Literal["last", "mean", "max"] = "last"
    """What of a sequence the head gets: where each direction ended, or the mean or maximum of all steps."""
    norm: Literal["none", "layer"] = "none"
    dropout_form: Literal["standard", "locked"] = "standard"
    """locked leaves out the same features at all steps (Gal and Ghahramani 2016)."""
    embedding: EmbeddingSize = "auto"
    """Numbers that stand for one token; `auto` is the width of the first layer."""

    @property
    def is_recordable(self) -> bool:
        """No: torch's LSTM of the CPU cannot be replayed, and the others are a dozen operations a step of the sequence.

        A step of a gru of 24 steps is 995 operations, recorded in 70 ms and replayed in 5.5 ms instead of 5.9 (torch
        2.15, one core), for each length of a batch anew.
        """
        return False

    def build(self, site: Site) -> nn.Module:
        from tuner.models.recurrent import build_recurrent

        return build_recurrent(self, site)
