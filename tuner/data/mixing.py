"""Mixup and CutMix: every training row is mixed with the one before it in its batch, and so are their targets.

Zhang et al. 2017 (arXiv 1710.09412), Yun et al. 2019 (arXiv 1905.04899). As there the share of the own row is drawn
from Beta(alpha, alpha); here for each row by itself, not once a batch.

B batch, N rows of an epoch, H W, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tuner import seeding
from tuner.data.scaling import Array

EACH = 0.5
"""Share of the rows that are cut where both are on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """At least one of the two alphas is above 0; with both, a row is mixed one way or the other, equally often."""

    mixup: float
    cutmix: float
    height: int = 1
    width: int = 1
    n_classes: int | None
    """Labels become rows of so many shares; None where targets are rows of numbers already."""

    def draw(self, epoch_seed: int, n_rows: int) -> Tensor:
        """float32 [N, 5]: the share of the own row, and the rectangle that comes from the other one.

        The rectangle (top, bottom, left, right) is all 0 where the whole row is mixed.
        """
        generator = np.random.Generator(np.random.PCG64(seeding.derive(epoch_seed, "mix")))
        is_cut_N = generator.random(n_rows) < (0.0 if not self.cutmix else EACH if self.mixup else 1.0)
        alpha_N = np.where(is_cut_N, self.cutmix, self.mixup)
        share_N = generator.beta(alpha_N, alpha_N)
        box_N4 = self._boxes(share_N, generator.random((2, n_rows))) * is_cut_N[:, None]
        area_N = (box_N4[:, 1] - box_N4[:, 0]) * (box_N4[:, 3] - box_N4[:, 2])
        share_N = np.where(is_cut_N, 1.0 - area_N / (self.height * self.width), share_N)
        return torch.from_numpy(np.concatenate([share_N[:, None], box_N4], axis=1)).float()

    def _boxes(self, share_N: Array, centres_2N: Array) -> Array:
        """As long and as wide, compared with the image, as the root of the other row's share; cut off at the edges."""
        side_N = np.sqrt(1.0 - share_N)
        sides = []
        for length, centre_N in zip((self.height, self.width), centres_2N, strict=True):
            half_N = length * side_N / 2.0
            sides += [np.round(length * centre_N - half_N), np.round(length * centre_N + half_N)]
        limits = np.array([self.height, self.height, self.width, self.width])
        return np.asarray(np.clip(np.stack(sides, axis=1), 0, limits))

    def __call__(self, x: Tensor, y: Tensor, draws_B5: Tensor, mates_B: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed rows and their targets, [B, K] or as wide as they were; `mates_B` says which row each is mixed with."""
        share_B = draws_B5[:, 0]
        y_BK = y if self.n_classes is None else one_hot(y, self.n_classes).float()
        y_BK = torch.lerp(y_BK.index_select(0, mates_B), y_BK, share_B[:, None])
        own = self._kept(draws_B5)[:, None] if self.cutmix else share_B.view(-1, *(1,) * (x.ndim - 1))
        return torch.lerp(x.index_select(0, mates_B), x, own.to(x.dtype)), y_BK

    def _kept(self, draws_B5: Tensor) -> Tensor:
        """The share of the own row in each pixel [B, H, W]."""
        share_B11 = draws_B5[:, :1, None]
        top_B1, bottom_B1, left_B1, right_B1 = torch.split(draws_B5[:, 1:], 1, dim=1)
        h_H = torch.arange(self.height, device=draws_B5.device)
        w_W = torch.arange(self.width, device=draws_B5.device)
        in_rows_BH = ((h_H >= top_B1) & (h_H < bottom_B1)).float()
        in_columns_BW = ((w_W >= left_B1) & (w_W < right_B1)).float()
        outside_BHW = 1.0 - in_rows_BH[:, :, None] * in_columns_BW[:, None, :]
        return torch.where((bottom_B1 > top_B1)[:, :, None], outside_BHW, share_B11)


def mates_in(n_rows: int, batch_size: int) -> Tensor:
    """How far away the row is that each one is mixed with: the one before, or for the first of a batch its last."""
    row_N = torch.arange(n_rows)
    begins_N = row_N // batch_size * batch_size
    size_N = (n_rows - begins_N).clamp(max=batch_size)
    return begins_N + (row_N - begins_N - 1) % size_N - row_N
