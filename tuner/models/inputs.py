"""What a network can take, and the first module that takes it.

Shapes: B batch, F features (all dimensions of one input together), N numbers, M categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tuner.data.info import DataInfo
from tuner.errors import ConfigError, Place

IMAGE_DIMENSIONS = 3
SEQUENCE_DIMENSIONS = 2
MAX_EMBEDDING = 600
FOR_TOKENS = "use kind: bag, recurrent or transformer"


def flat_input(kind: str, info: DataInfo, embedding: int | Literal["auto"]) -> tuple[nn.Module, int]:
    """The module that makes [B, F] of any inputs that are numbers, and F; categories of a table are embedded.

    Raises ConfigError for tokens, whose ids are no quantities.
    """
    refuse_tokens(kind, info)
    if not info.categories:
        return nn.Flatten(), math.prod(info.input_shape)
    columns = Columns(info.input_shape[0] - len(info.categories), info.categories, embedding)
    return columns, columns.n_features


class Columns(nn.Module):
    """A table whose last columns are codes of categories: those are embedded, [B, N + M] -> [B, F]."""

    def __init__(self, n_numbers: int, categories: Sequence[int], size: int | Literal["auto"]) -> None:
        super().__init__()
        sizes = [embedding_size(count) if size == "auto" else size for count in categories]
        self.n_numbers = n_numbers
        self.n_features = n_numbers + sum(sizes)
        self.embeddings = nn.ModuleList(nn.Embedding(count, n) for count, n in zip(categories, sizes, strict=True))

    def forward(self, x_BF: Tensor) -> Tensor:
        codes_BM = x_BF[:, self.n_numbers :].long()
        embedded = [embed(codes_BM[:, column]) for column, embed in enumerate(self.embeddings)]
        return torch.cat([x_BF[:, : self.n_numbers], *embedded], dim=1)


def embedding_size(n_categories: int) -> int:
    """Fastai's rule of thumb: 1.6 n**0.56, and 600 at most."""
    return min(MAX_EMBEDDING, max(1, round(1.6 * math.pow(n_categories, 0.56))))


def refuse_tokens(kind: str, info: DataInfo) -> None:
    if info.input_dtype != "float32":
        raise unfit(f"{kind} needs numbers, and these inputs are tokens; {FOR_TOKENS}")


def image_shape(kind: str, info: DataInfo) -> tuple[int, int, int]:
    """(C, H, W); ConfigError when the inputs are not images."""
    if len(info.input_shape) != IMAGE_DIMENSIONS or info.n_tokens is not None:
        raise unfit(f"{kind} needs images (C, H, W), got inputs of shape {info.input_shape}; {instead(info)}")
    channels, height, width = info.input_shape
    return channels, height, width


class Turned(nn.Module):
    """Swaps the two axes of every input: [B, L, F] <-> [B, F, L]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def steps_shape(kind: str, info: DataInfo) -> tuple[int, int, nn.Module | None]:
    """(L, F) of sequences of numbers, and what turns them so; ConfigError when the inputs are none."""
    if len(info.input_shape) != SEQUENCE_DIMENSIONS:
        wanted = "sequences of tokens (L,) or of numbers (L, F)"
        raise unfit(f"{kind} needs {wanted}, got inputs of shape {info.input_shape}; {instead(info)}")
    first, second = info.input_shape
    if info.layout == "channels_first":
        return second, first, Turned()
    return first, second, None


def instead(info: DataInfo) -> str:
    """The kinds for inputs of this shape."""
    if info.n_tokens is not None:
        return FOR_TOKENS
    if len(info.input_shape) == SEQUENCE_DIMENSIONS:
        return "use kind: convnet, recurrent or transformer"
    return "use kind: convnet" if len(info.input_shape) == IMAGE_DIMENSIONS else "use kind: mlp"


def is_language(info: DataInfo) -> bool:
    """Whether every place of a sequence has an output of its own, made of what is before it."""
    return info.task == "language"


def unfit(message: str, path: str = "model.kind") -> ConfigError:
    return ConfigError.of([Place(path=path, message=message)])
