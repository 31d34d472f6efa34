"""Random changes of training images, a batch at a time, wherever the batch is.

What is drawn for a row of an epoch depends on the epoch's seed and the row's place in its order alone; it is drawn on
the CPU, once an epoch, so that a run that was resumed or moved sees the same images.

Shift and flip are one gather on stored rows, the blanking one product on scaled ones. One core of a 2-core x86 server,
torch 2.15, 64 images of 28 by 28, median of 30, us: this gather 130 (uint8 and float32 alike), a window of the padded
batch picked by advanced indexing 140 and 170, two gathers (rows, columns) 175. Whole batches of 64, best of 5 epochs,
us (`benchmarks/data_path.py`): none 25, light 160, standard 290, full 980, trivialaugment 1900, randaugment 3500, mixup
130, cutmix 260. torchvision's v2 has no form for a batch whose images have operations of their own: an image at a time
it takes 12 000 for TrivialAugmentWide and 15 000 for RandAugment.

N rows of an epoch, B of a batch, C channels, H W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from tuner import seeding
from tuner.config.schema import Augment
from tuner.data.image_operations import Jitter, Operations, Warp
from tuner.data.info import DataInfo
from tuner.data.mixing import Mixing
from tuner.data.sound_changes import SoundChanges
from tuner.errors import ConfigError

IMAGE_NDIM = 3
OF_PIXELS = ("full", "randaugment", "trivialaugment")
MIXED_TASKS = ("classification", "multilabel")
ERASED_AREA = (0.02, 0.33)
"""Share of an image that a blanked rectangle covers, as in Zhong et al. 2017 (arXiv 1708.04896), table 1."""
ERASED_RATIO = (0.3, 3.3)
"""Height over width of a blanked rectangle, as there; drawn in the logarithm, as torchvision does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What happens to each row of an epoch, in the order in which they come."""

    moves: Tensor
    """int16 [N, 8]: pixels down, pixels to the right, whether it is flipped, the rectangle that is blanked (top,
    bottom, left, right), whether it is turned upside down."""
    warps: Tensor | None = None
    colours: Tensor | None = None
    operations: Tensor | None = None
    """On the CPU, wherever the images are."""
    mixes: Tensor | None = None
    mates: Tensor | None = None
    """int64 [N]: how far away the row is that each one is mixed with."""
    sounds: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Draws:
        """All of them, changed alike."""
        return Draws(**{name: change(tensor) for name, tensor in self.present().items()})

    def first(self, n_rows: int) -> Draws:
        return self.each(lambda tensor: tensor[:n_rows])

    def on(self, device: torch.device) -> Draws:
        return replace(self.each(lambda tensor: tensor.to(device)), operations=self.operations)

    def split(self, n_rows: int) -> list[Draws]:
        """Pieces of so many rows."""
        names, pieces = zip(
            *((name, torch.split(tensor, n_rows)) for name, tensor in self.present().items()), strict=True
        )
        return [Draws(**dict(zip(names, tensors, strict=True))) for tensors in zip(*pieces, strict=True)]

    @classmethod
    def together(cls, lanes: Sequence[Draws], join: Callable[[Sequence[Tensor]], Tensor]) -> Draws:
        """Those of several lanes in one."""
        drawn = [lane.present() for lane in lanes]
        return cls(**{name: join([lane[name] for lane in drawn]) for name in drawn[0]})

    def present(self) -> dict[str, Tensor]:
        tensors = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: tensor for name, tensor in tensors if tensor is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmenter:
    """What is done to the training rows of a trial; images [C, H, W] but for mixup, which mixes anything."""

    height: int
    width: int
    shift: int = 0
    flip: bool = False
    vertical_flip: bool = False
    erase: float = 0.0
    warp: Warp | None = None
    jitter: Jitter | None = None
    operations: Operations | None = None
    mixing: Mixing | None = None
    sound: SoundChanges | None = None

    @classmethod
    def of(cls, section: Augment, info: DataInfo, *, is_pixels: bool = True) -> Augmenter | None:
        """None when nothing is to be done; ConfigError when it does not fit the data.

        `is_pixels` says whether rows are stored as 8-bit images.
        """
        if section.kind == "none" and not section.mixup and not section.cutmix:
            return None
        is_image = len(info.input_shape) == IMAGE_NDIM and info.input_dtype == "float32"
        if not is_image and (section.kind != "none" or section.cutmix):
            raise _not_images(section, info)
        height, width = info.input_shape[1:] if is_image else (1, 1)
        if section.kind != "none" and section.shift >= min(height, width):
            raise ConfigError(
                f"data.augment.shift: {section.shift} pixels do not fit images of {height} by {width};"
                f" at most {min(height, width) - 1}"
            )
        if section.kind in OF_PIXELS and (not is_pixels or info.input_shape[0] not in (1, 3)):
            raise ConfigError(
                f"data.augment.kind: {section.kind} is for 8-bit images, grey or RGB; take standard for these, of"
                f" {info.input_shape[0]} channels{'' if is_pixels else ' of numbers'}"
            )
        return cls(height=height, width=width, **_changes(section, height, width), mixing=_mixing(section, info))

    def draw(self, epoch_seed: int, n_rows: int) -> Draws:
        """What happens to each row of an epoch; the same for the same seed."""
        generator = torch.Generator().manual_seed(seeding.derive(epoch_seed, "augment"))
        shifts_N2 = torch.randint(-self.shift, self.shift + 1, (n_rows, 2), generator=generator)
        flips_N1 = (torch.rand(n_rows, 1, generator=generator) < 0.5 * self.flip).long()
        boxes_N4 = self._rectangles(n_rows, generator)
        upside_down_N1 = torch.zeros(n_rows, 1, dtype=torch.int64)
        if self.vertical_flip:
            upside_down_N1 = torch.randint(2, (n_rows, 1), generator=generator)
        return Draws(
            moves=torch.cat([shifts_N2, flips_N1, boxes_N4, upside_down_N1], dim=1).to(torch.int16),
            warps=self.warp.draw(n_rows, generator) if self.warp else None,
            colours=self.jitter.draw(n_rows, generator) if self.jitter else None,
            operations=self.operations.draw(n_rows, generator) if self.operations else None,
            mixes=self.mixing.draw(epoch_seed, n_rows) if self.mixing else None,
            sounds=self.sound.draw(epoch_seed, n_rows) if self.sound else None,
        )

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

    def change(self, stored_BCHW: Tensor, draws: Draws) -> Tensor:
        """What is done before rows are scaled: to images as they are stored."""
        if self.sound is not None and draws.sounds is not None:
            return self.sound.before(stored_BCHW, draws.sounds)
        images = self.move(stored_BCHW, draws.moves)
        if self.operations is not None and draws.operations is not None:
            images = self.operations(images, draws.operations)
        if self.warp is not None and draws.warps is not None:
            images = self.warp(images.float(), draws.warps)
        if self.jitter is not None and draws.colours is not None:
            images = self.jitter(images.float(), draws.colours)
        return images

    def move(self, stored_BCHW: Tensor, moves_B8: Tensor) -> Tensor:
        """Flip, then shift; what comes in from outside repeats the outermost pixels.

        Of the borders in use this one leaves no line: zeros draw a black one on photographs, the mean a grey one on the
        black ground of MNIST and Fashion-MNIST, mirroring a second hem below a dress that touches the edge.
        """
        if self.shift == 0 and not self.flip and not self.vertical_flip:
            return stored_BCHW
        device, (height, width) = stored_BCHW.device, (self.height, self.width)
        down_B, right_B, flip_B = moves_B8[:, :3].long().unbind(1)
        rows_BH = (torch.arange(height, device=device) - down_B[:, None]).clamp(0, height - 1)
        columns_BW = (torch.arange(width, device=device) - right_B[:, None]).clamp(0, width - 1)
        if self.flip:
            # w -> width - 1 - w where flip is 1
            columns_BW = columns_BW * (1 - 2 * flip_B[:, None]) + (width - 1) * flip_B[:, None]
        if self.vertical_flip:
            upside_down_B1 = moves_B8[:, 7:].long()
            rows_BH = rows_BH * (1 - 2 * upside_down_B1) + (height - 1) * upside_down_B1
        pixels_BP = (rows_BH[:, :, None] * width + columns_BW[:, None, :]).flatten(1)
        return (
            stored_BCHW.flatten(2)
            .gather(2, pixels_BP[:, None].expand(-1, stored_BCHW.shape[1], -1))
            .view_as(stored_BCHW)
        )

    def change_scaled_(self, x: Tensor, draws: Draws) -> Tensor:
        """What is done to scaled rows, in place where it can be."""
        if self.sound is not None and draws.sounds is not None:
            return self.sound.after(x, draws.sounds)
        return self.blank_(x, draws.moves)

    def blank_(self, x_BCHW: Tensor, moves_B8: Tensor) -> Tensor:
        """Set the rectangles to 0, in place: the mean where the data are normalised, else black."""
        if self.erase == 0.0:
            return x_BCHW
        top_B1, bottom_B1, left_B1, right_B1 = torch.split(moves_B8[:, 3:7], 1, dim=1)
        h_H = torch.arange(self.height, device=x_BCHW.device)
        w_W = torch.arange(self.width, device=x_BCHW.device)
        in_rows_BH = ((h_H >= top_B1) & (h_H < bottom_B1)).float()
        in_columns_BW = ((w_W >= left_B1) & (w_W < right_B1)).float()
        kept_BHW = 1.0 - in_rows_BH[:, :, None] * in_columns_BW[:, None, :]
        return x_BCHW.mul_(kept_BHW[:, None])


def _changes(section: Augment, height: int, width: int) -> dict[str, Any]:
    """What the section's kind does, as fields of an Augmenter."""
    if section.kind == "none":
        return {}
    if section.kind == "light":
        return {"shift": section.shift}
    changes: dict[str, Any] = {
        "shift": section.shift,
        "flip": section.flip,
        "vertical_flip": section.vertical_flip,
        "erase": section.erase,
    }
    if section.kind == "full":
        if section.rotate or section.zoom:
            changes["warp"] = Warp(rotate=section.rotate, zoom=section.zoom)
        amounts = {name: getattr(section, name) for name in ("brightness", "contrast", "saturation", "hue")}
        changes["jitter"] = Jitter(**amounts) if any(amounts.values()) else None
    elif section.kind != "standard":
        is_random = section.kind == "trivialaugment"
        changes["operations"] = Operations(
            height=height,
            width=width,
            count=1 if is_random else section.operations,
            magnitude=None if is_random else section.magnitude,
        )
    return changes


def _mixing(section: Augment, info: DataInfo) -> Mixing | None:
    if not section.mixup and not section.cutmix:
        return None
    name = "mixup" if section.mixup else "cutmix"
    if info.task not in MIXED_TASKS or info.input_dtype != "float32" or info.categories:
        what = info.task if info.task not in MIXED_TASKS else "inputs of whole numbers, tokens or categories"
        raise ConfigError(
            f"data.augment.{name}: mixes rows of numbers and their classes, and this is {what}; set it to 0"
        )
    height, width = info.input_shape[1:] if len(info.input_shape) == IMAGE_NDIM else (1, 1)
    return Mixing(
        mixup=section.mixup,
        cutmix=section.cutmix,
        height=height,
        width=width,
        n_classes=info.n_targets if info.task == "classification" else None,
    )


def _not_images(section: Augment, info: DataInfo) -> ConfigError:
    shape = "x".join(map(str, info.input_shape))
    where, what, off = ("kind", section.kind, "none") if section.kind != "none" else ("cutmix", "cutmix", "0")
    return ConfigError(
        f"data.augment.{where}: {what} is for images (channels, height, width), and an input has shape"
        f" {shape} ({info.input_dtype}); set it to {off}"
    )
