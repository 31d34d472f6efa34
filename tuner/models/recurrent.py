"""Recurrent networks.

Shapes: B batch, L length, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.recurrent import Recurrent
from tuner.errors import ConfigError, Place
from tuner.models.inputs import is_language, steps_shape
from tuner.models.layers import Dropout, LockedDropout, per_layer
from tuner.models.sequences import last_step, max_step, mean_step, real_places, reversed_steps, token_embedding

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
DROPOUTS: dict[str, type[Dropout]] = {"standard": Dropout, "locked": LockedDropout}


def build_recurrent(config: Recurrent, site: Site) -> nn.Module:
    """Build tokens [B, L] or numbers [B, L, F] -> [B, K], of a language model [B, L, K].

    Raises ConfigError when the inputs are no sequences, or a language model would see what it is to predict.
    """
    info, widths = site.info, per_layer(config.width, config.depth)
    if is_language(info) and config.bidirectional:
        message = "a language model predicts the next token, which the way back has seen already; use false"
        raise ConfigError.of([Place(path="model.bidirectional", message=message)])
    if info.n_tokens is not None:
        n_in = widths[0] if config.embedding == "auto" else config.embedding
        entry: nn.Module | None = token_embedding(info.n_tokens, n_in)
    else:
        _, n_in, entry = steps_shape("recurrent", info)
    return RecurrentNetwork(config, entry, n_in, site.n_outputs, padding=info.padding, is_language=is_language(info))


class RecurrentNetwork(nn.Module):
    """Padding at the end of a sequence changes nothing: it is walked over after all that counts."""

    def __init__(
        self,
        config: Recurrent,
        entry: nn.Module | None,
        n_in: int,
        n_outputs: int,
        *,
        padding: int | None,
        is_language: bool,
    ) -> None:
        super().__init__()
        self.padding, self.is_language, self.pooling = padding, is_language, config.pooling
        self.entry = nn.Identity() if entry is None else entry
        n_directions = 2 if config.bidirectional else 1
        widths = per_layer(config.width, config.depth)
        rates = per_layer(config.dropout, config.depth)
        sizes = pairwise((n_in, *(n_directions * width for width in widths)))
        self.layers = nn.ModuleList(
            RecurrentLayer(config, n_from, width, rate)
            for (n_from, _), width, rate in zip(sizes, widths, rates, strict=True)
        )
        self.last_width, self.is_bidirectional = widths[-1], config.bidirectional
        self.head = nn.Linear(n_directions * widths[-1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        real_BL = real_places(x, self.padding)
        x_BLF: Tensor = self.entry(x)
        for layer in self.layers:
            x_BLF = layer(x_BLF, real_BL)
        output: Tensor = self.head(x_BLF if self.is_language else self._pooled(x_BLF, real_BL))
        return output

    def _pooled(self, x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
        if self.pooling == "mean":
            return mean_step(x_BLF, real_BL)
        if self.pooling == "max":
            return max_step(x_BLF, real_BL)
        ends = [last_step(x_BLF[..., : self.last_width], real_BL)]
        if self.is_bidirectional:
            ends.append(x_BLF[:, 0, self.last_width :])  # where the way back ends
        return torch.cat(ends, dim=1)


class RecurrentLayer(nn.Module):
    """A cell that walks from the start, and one from the end whose outputs are put behind: [B, L, F] -> [B, L, D]."""

    def __init__(self, config: Recurrent, n_in: int, width: int, rate: float) -> None:
        super().__init__()
        options = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
        self.onward = CELLS[config.cell](n_in, width, batch_first=True, **options)
        self.back = CELLS[config.cell](n_in, width, batch_first=True, **options) if config.bidirectional else None
        n_out = width * (2 if config.bidirectional else 1)
        self.norm = nn.LayerNorm(n_out) if config.norm == "layer" else nn.Identity()
        self.dropout = DROPOUTS[config.dropout_form](rate) if rate else nn.Identity()

    def forward(self, x_BLF: Tensor, real_BL: Tensor | None) -> Tensor:
        walked: Tensor = self.onward(x_BLF)[0]
        if self.back is not None:
            back_BLW = self.back(reversed_steps(x_BLF, real_BL))[0]
            walked = torch.cat([walked, reversed_steps(back_BLW, real_BL)], dim=2)
        output: Tensor = self.dropout(self.norm(walked))
        return output
