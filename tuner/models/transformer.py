"""The transformer encoder (Vaswani et al. 2017, arXiv:1706.03762), normalised before each part (Xiong et al. 2020).

Shapes: B batch, L length, W width, H heads, D width of a head, K outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.transformer import Transformer
from tuner.data.info import DataInfo
from tuner.models.inputs import IMAGE_DIMENSIONS, is_language, steps_shape, unfit
from tuner.models.layers import ACTIVATIONS, Dropout, is_transformed, named
from tuner.models.sequences import EMBEDDING_DEVIATION, max_step, mean_step, real_places, token_embedding

DEVIATION = 0.02
"""Of learned positions at the beginning, as in BERT."""
WAVELENGTHS = 10_000.0


def build_transformer(config: Transformer, site: Site) -> nn.Module:
    """Build tokens [B, L], numbers [B, L, F] or images [B, C, H, W] -> [B, K], of a language model [B, L, K].

    Raises ConfigError when the inputs are none of these, or patches do not fill the images.
    """
    info = site.info
    entry, length = _entry(config, info)
    return Encoder(config, entry, length, site.n_outputs, padding=info.padding, is_language=is_language(info))


def _entry(config: Transformer, info: DataInfo) -> tuple[nn.Module, int]:
    """What makes [B, L, W] of the inputs, and the largest L."""
    if info.n_tokens is not None:
        return token_embedding(info.n_tokens, config.width), info.input_shape[0]
    if len(info.input_shape) == IMAGE_DIMENSIONS:
        channels, height, width = info.input_shape
        if height % config.patch or width % config.patch:
            message = f"{config.patch} does not divide the sides of images of {height} by {width}"
            common = math.gcd(height, width)
            fitting = ", ".join(str(n) for n in range(1, common + 1) if common % n == 0)
            raise unfit(f"{message}; use one of {fitting}, or set data.resize", "model.patch")
        return Patches(channels, config.width, config.patch), (height // config.patch) * (width // config.patch)
    length, n_features, turned = steps_shape("transformer", info)
    return named({"turned": turned, "linear": nn.Linear(n_features, config.width)}), length


class Patches(nn.Module):
    """Squares of an image, each by the same linear layer: [B, C, H, W] -> [B, L, width]."""

    def __init__(self, n_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_channels, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.conv(x).flatten(2).transpose(1, 2)
        return patches


class Positions(nn.Module):
    """Adds what tells one place from another, for any length up to the largest."""

    table_LW: Tensor

    def __init__(self, kind: str, length: int, width: int, scale: float) -> None:
        """`scale` is the size of what positions are added to."""
        super().__init__()
        if kind == "learned":
            self.table_LW = nn.Parameter(DEVIATION * torch.randn(length, width))
        else:
            self.register_buffer("table_LW", scale * sinusoids(length, width), persistent=False)

    def forward(self, x_BLW: Tensor) -> Tensor:
        return x_BLW + self.table_LW[: x_BLW.shape[1]]


def sinusoids(length: int, width: int) -> Tensor:
    """Sines and cosines of wavelengths from 2 pi to 10000 2 pi (Vaswani et al., section 3.5)."""
    places_L1 = torch.arange(length).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(WAVELENGTHS) / width))
    angles = places_L1 * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


class Attention(nn.Module):
    """Every place looks at the others of its sequence with several heads."""

    def __init__(self, width: int, n_heads: int, rate: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(rate) if rate else None

    def forward(self, x_BLW: Tensor, sees: Tensor | None, *, is_causal: bool) -> Tensor:
        """`sees` [B, 1, L or 1, L] is true where a place (third axis) may look (fourth axis); None for everywhere."""
        n_rows, length, width = x_BLW.shape
        qkv = self.qkv(x_BLW).view(n_rows, length, 3, self.n_heads, width // self.n_heads)
        q_BHLD, k_BHLD, v_BHLD = (part.transpose(1, 2) for part in qkv.unbind(2))
        if (self.dropout is None or not self.training) and not is_transformed():
            seen = functional.scaled_dot_product_attention(q_BHLD, k_BHLD, v_BHLD, sees, is_causal=is_causal)
        else:  # step by step: dropout with a mask that lanes can repeat, and what vmap has a rule for
            scores = q_BHLD @ k_BHLD.transpose(2, 3) / math.sqrt(width // self.n_heads)
            allowed = causal(length, x_BLW.device) if is_causal else sees
            scores = scores if allowed is None else scores.masked_fill(~allowed, -math.inf)
            weights = scores.softmax(dim=3)
            seen = (weights if self.dropout is None else self.dropout(weights)) @ v_BHLD
        output: Tensor = self.out(seen.transpose(1, 2).reshape(n_rows, length, width))
        return output


def causal(length: int, device: torch.device) -> Tensor:
    """[L, L], true where the first place is not before the second."""
    places = torch.arange(length, device=device)
    return places.unsqueeze(1) >= places


class Block(nn.Module):
    """Attention and a hidden layer at every place, each added to what it is given."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        width = config.width
        ff_width = 4 * width if config.ff_width == "auto" else config.ff_width
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.attention_dropout)
        self.hidden = nn.Sequential(
            nn.Linear(width, ff_width), ACTIVATIONS[config.activation](), nn.Linear(ff_width, width)
        )
        self.dropout_1 = Dropout(config.dropout) if config.dropout else nn.Identity()
        self.dropout_2 = Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(self, x_BLW: Tensor, sees: Tensor | None, *, is_causal: bool) -> Tensor:
        x_BLW = x_BLW + self.dropout_1(self.attention(self.norm_1(x_BLW), sees, is_causal=is_causal))
        output: Tensor = x_BLW + self.dropout_2(self.hidden(self.norm_2(x_BLW)))
        return output


class Encoder(nn.Module):
    """Padding is never looked at, nor pooled; the places of a language model do not look ahead."""

    def __init__(
        self,
        config: Transformer,
        entry: nn.Module,
        length: int,
        n_outputs: int,
        *,
        padding: int | None,
        is_language: bool,
    ) -> None:
        super().__init__()
        self.padding, self.is_language, self.pooling = padding, is_language, config.pooling
        self.entry = entry
        has_own_place = config.pooling == "cls" and not is_language
        self.cls_W = nn.Parameter(DEVIATION * torch.randn(config.width)) if has_own_place else None
        n_places = length + (1 if has_own_place else 0)
        scale = EMBEDDING_DEVIATION if isinstance(entry, nn.Embedding) else 1.0
        positions = None if config.positions == "none" else Positions(config.positions, n_places, config.width, scale)
        self.positions = named({"add": positions, "dropout": Dropout(config.dropout) if config.dropout else None})
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        real_BL = real_places(x, self.padding)
        x_BLW: Tensor = self.entry(x)
        if self.cls_W is not None:
            x_BLW = torch.cat([self.cls_W.expand(x_BLW.shape[0], 1, -1), x_BLW], dim=1)
            real_BL = None if real_BL is None else functional.pad(real_BL, (1, 0), value=True)
        x_BLW = self.positions(x_BLW)
        # Padding is behind all that counts, so that who does not look ahead does not look at it.
        is_masked = real_BL is not None and not self.is_language
        sees = real_BL[:, None, None, :] if is_masked and real_BL is not None else None
        for block in self.blocks:
            x_BLW = block(x_BLW, sees, is_causal=self.is_language)
        x_BLW = self.norm(x_BLW)
        output: Tensor = self.head(x_BLW if self.is_language else self._pooled(x_BLW, real_BL))
        return output

    def _pooled(self, x_BLW: Tensor, real_BL: Tensor | None) -> Tensor:
        if self.cls_W is not None:
            return x_BLW[:, 0]
        return mean_step(x_BLW, real_BL) if self.pooling == "mean" else max_step(x_BLW, real_BL)
