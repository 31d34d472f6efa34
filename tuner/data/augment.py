"""Random shifts, flips and blanked rectangles for images, a batch at a time, wherever the batch is.

What is drawn for a row of an epoch depends on the epoch's seed and the row's place in its order alone; it is drawn on
the CPU, once an epoch, so that a run that was resumed or moved sees the same images.

Shift and flip are one gather on stored rows, the blanking one product on scaled ones. One core of a 2-core x86 server,
torch 2.15, 64 images of 28 by 28, median of 30, us: this gather 130 (uint8 and float32 alike), a window of the padded
batch picked by advanced indexing 140 and 170, two gathers (rows, columns) 175; `benchmarks/data_path.py` has the whole.

N rows of an epoch, B of a batch, C channels, H W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuner import seeding
from tuner.config.schema import Augment
from tuner.errors import ConfigError

IMAGE_NDIM = 3
ERASED_AREA = (0.02, 0.33)
"""Share of an image that a blanked rectangle covers, as in Zhong et al. 2017 (arXiv 1708.04896), table 1."""
ERASED_RATIO = (0.3, 3.3)
"""Height over width of a blanked rectangle, as there; drawn in the logarithm, as torchvision does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmenter:
    """What is done to the training images [C, H, W] of a trial."""

    height: int
    width: int
    shift: int
    flip: bool
    erase: float

    @classmethod
    def of(cls, section: Augment, input_shape: Sequence[int], input_dtype: str = "float32") -> Augmenter | None:
        """None when nothing is to be done; ConfigError when the data are not images, or too small for the shift."""
        if section.kind == "none":
            return None
        if len(input_shape) != IMAGE_NDIM or input_dtype != "float32":
            shape = "x".join(map(str, input_shape))
            raise ConfigError(
                f"data.augment.kind: {section.kind} is for images (channels, height, width), and an input has shape"
                f" {shape} ({input_dtype}); set it to none"
            )
        _, height, width = input_shape
        if section.shift >= min(height, width):
            raise ConfigError(
                f"data.augment.shift: {section.shift} pixels do not fit images of {height} by {width};"
                f" at most {min(height, width) - 1}"
            )
        is_standard = section.kind == "standard"
        return cls(
            height=height,
            width=width,
            shift=section.shift,
            flip=is_standard and section.flip,
            erase=section.erase if is_standard else 0.0,
        )

    def draw(self, epoch_seed: int, n_rows: int) -> Tensor:
        """What happens to each row of an epoch, in the order in which they come: int16 [N, 7].

        Pixels down, pixels to the right, whether it is flipped, and the rectangle: top, bottom, left, right.
        """
        generator = torch.Generator().manual_seed(seeding.derive(epoch_seed, "augment"))
        shifts_N2 = torch.randint(-self.shift, self.shift + 1, (n_rows, 2), generator=generator)
        flips_N1 = (torch.rand(n_rows, 1, generator=generator) < 0.5 * self.flip).long()
        return torch.cat([shifts_N2, flips_N1, self._rectangles(n_rows, generator)], dim=1).to(torch.int16)

    def _rectangles(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Tops, bottoms, lefts and rights; all 0 for the rows that are left alone."""
        if self.erase == 0.0:
            return torch.zeros(n_rows, 4, dtype=torch.int64)
        u_5N = torch.rand(5, n_rows, generator=generator, dtype=torch.float64)
        area_N = (ERASED_AREA[0] + u_5N[0] * (ERASED_AREA[1] - ERASED_AREA[0])) * self.height * self.width
        low, high = math.log(ERASED_RATIO[0]), math.log(ERASED_RATIO[1])
        ratio_N = torch.exp(low + u_5N[1] * (high - low))
        height_N = (area_N * ratio_N).sqrt().round().long().clamp(1, self.height)
        width_N = (area_N / ratio_N).sqrt().round().long().clamp(1, self.width)
        top_N = (u_5N[2] * (self.height - height_N + 1)).long()
        left_N = (u_5N[3] * (self.width - width_N + 1)).long()
        rectangles_N4 = torch.stack([top_N, top_N + height_N, left_N, left_N + width_N], dim=1)
        return rectangles_N4 * (u_5N[4] < self.erase).long()[:, None]

    def move(self, stored_BCHW: Tensor, draws_B7: Tensor) -> Tensor:
        """Flip, then shift; what comes in from outside repeats the outermost pixels.

        Of the borders in use this one leaves no line: zeros draw a black one on photographs, the mean a grey one on the
        black ground of MNIST and Fashion-MNIST, mirroring a second hem below a dress that touches the edge.
        """
        if self.shift == 0 and not self.flip:
            return stored_BCHW
        device, (height, width) = stored_BCHW.device, (self.height, self.width)
        down_B, right_B, flip_B = draws_B7[:, :3].long().unbind(1)
        rows_BH = (torch.arange(height, device=device) - down_B[:, None]).clamp(0, height - 1)
        columns_BW = (torch.arange(width, device=device) - right_B[:, None]).clamp(0, width - 1)
        if self.flip:
            # w -> width - 1 - w where flip is 1
            columns_BW = columns_BW * (1 - 2 * flip_B[:, None]) + (width - 1) * flip_B[:, None]
        pixels_BP = (rows_BH[:, :, None] * width + columns_BW[:, None, :]).flatten(1)
        return (
            stored_BCHW.flatten(2)
            .gather(2, pixels_BP[:, None].expand(-1, stored_BCHW.shape[1], -1))
            .view_as(stored_BCHW)
        )

    def blank_(self, x_BCHW: Tensor, draws_B7: Tensor) -> Tensor:
        """Set the rectangles to 0, in place: the mean where the data are normalised, else black."""
        if self.erase == 0.0:
            return x_BCHW
        top_B1, bottom_B1, left_B1, right_B1 = torch.split(draws_B7[:, 3:], 1, dim=1)
        h_H = torch.arange(self.height, device=x_BCHW.device)
        w_W = torch.arange(self.width, device=x_BCHW.device)
        in_rows_BH = ((h_H >= top_B1) & (h_H < bottom_B1)).float()
        in_columns_BW = ((w_W >= left_B1) & (w_W < right_B1)).float()
        kept_BHW = 1.0 - in_rows_BH[:, :, None] * in_columns_BW[:, None, :]
        return x_BCHW.mul_(kept_BHW[:, None])
