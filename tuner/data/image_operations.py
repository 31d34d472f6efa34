"""RandAugment and TrivialAugment (Cubuk et al. 2019, arXiv 1909.13719; Mueller and Hutter 2021, arXiv 2103.10158).

The operations, their magnitudes and their rounding are those of torchvision.transforms.v2, which does one operation to
a whole batch, so that each image would need a call of its own. Here every image of a batch has its own operations and
the images that share one are changed together. torchvision is not imported, which takes seconds in every process.

B batch, C channels, H W, N rows of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 31
PEAK = 255
RGB = 3
SHARPENED = 3
"""Sides below this have no inside to sharpen."""
GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
SIGNED = (*GEOMETRIC, "Brightness", "Color", "Contrast", "Sharpness")
NAMES = ("Identity", *SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """So many operations in a row, drawn for each image by itself."""

    height: int
    width: int
    count: int
    magnitude: int | None
    """Strength, from 0 to 30; None draws it for each image from the wider ranges of TrivialAugment."""

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Operation and magnitude of each image and step: float32 [N, count, 2]."""
        shape = (n_rows, self.count)
        codes = torch.randint(len(NAMES), shape, generator=generator)
        bins = torch.randint(BINS, shape, generator=generator)
        is_negative = torch.rand(shape, generator=generator) < 0.5  # noqa: PLR2004 - half of them
        if self.magnitude is not None:
            bins = torch.full(shape, self.magnitude)
        magnitudes = self._magnitudes()[codes, bins]
        can_be_negative = torch.tensor([name in SIGNED for name in NAMES])[codes]
        return torch.stack([codes, torch.where(can_be_negative & is_negative, -magnitudes, magnitudes)], dim=-1)

    def _magnitudes(self) -> Tensor:
        """float32 [operations, BINS], as torchvision has them."""
        wide = self.magnitude is None
        blend = 0.99 if wide else 0.9
        most = {
            "ShearX": 0.99 if wide else 0.3,
            "ShearY": 0.99 if wide else 0.3,
            "TranslateX": 32.0 if wide else 150.0 / 331.0 * self.width,
            "TranslateY": 32.0 if wide else 150.0 / 331.0 * self.height,
            "Rotate": 135.0 if wide else 30.0,
            **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), blend),
        }
        table = torch.zeros(len(NAMES), BINS)
        for number, name in enumerate(NAMES):
            if name in most:
                table[number] = torch.linspace(0.0, most[name], BINS)
        lost_bits = 6 if wide else 4
        table[NAMES.index("Posterize")] = (8 - torch.arange(BINS) / ((BINS - 1) / lost_bits)).round()
        table[NAMES.index("Solarize")] = torch.linspace(1.0, 0.0, BINS)
        return table

    def __call__(self, pixels_BCHW: Tensor, draws_BS2: Tensor) -> Tensor:
        """The changed images, uint8; `draws_BS2` lie on the CPU: a GPU would be waited for."""
        for step in range(self.count):
            codes_B, magnitudes_B = draws_BS2[:, step].unbind(-1)
            pixels_BCHW = self._step(pixels_BCHW, codes_B.long(), magnitudes_B)
        return pixels_BCHW

    def _step(self, pixels_BCHW: Tensor, codes_B: Tensor, magnitudes_B: Tensor) -> Tensor:
        changed = pixels_BCHW.clone()
        geometric = torch.tensor([NAMES.index(name) for name in GEOMETRIC])
        groups: list[tuple[Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]] = [
            (torch.isin(codes_B, geometric), self._moved)
        ]
        for name, change in COLOURS.items():
            groups.append((codes_B == NAMES.index(name), change))
        for is_in_B, change in groups:
            rows = is_in_B.nonzero().flatten()
            if len(rows):
                there = rows.to(pixels_BCHW.device)
                magnitudes = magnitudes_B[rows].to(pixels_BCHW.device)
                images = pixels_BCHW.index_select(0, there)
                changed.index_copy_(0, there, change(images, magnitudes, codes_B[rows].to(pixels_BCHW.device)))
        return changed

    def _moved(self, pixels_BCHW: Tensor, magnitudes_B: Tensor, codes_B: Tensor) -> Tensor:
        """Shear from the upper left corner, translate, rotate about the middle; black comes in, pixels stay whole."""
        device = pixels_BCHW.device
        x_W = (torch.arange(self.width, device=device) - (self.width - 1) / 2)[None, None, :]
        y_H = (torch.arange(self.height, device=device) - (self.height - 1) / 2)[None, :, None]

        def of(name: str, values_B: Tensor) -> Tensor:
            return torch.where(codes_B == NAMES.index(name), values_B, torch.zeros_like(values_B))[:, None, None]

        angle = of("Rotate", torch.deg2rad(magnitudes_B))
        cos, sin = torch.cos(angle), torch.sin(angle)
        from_x = (
            cos * x_W
            - sin * y_H
            + of("ShearX", magnitudes_B) * (y_H + self.height / 2)
            - of("TranslateX", magnitudes_B.trunc())
        )
        from_y = (
            sin * x_W
            + cos * y_H
            + of("ShearY", magnitudes_B) * (x_W + self.width / 2)
            - of("TranslateY", magnitudes_B.trunc())
        )
        column = (from_x + (self.width - 1) / 2).round().long()
        row = (from_y + (self.height - 1) / 2).round().long()
        is_inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        places_BP = (row.clamp(0, self.height - 1) * self.width + column.clamp(0, self.width - 1)).flatten(1)
        moved = pixels_BCHW.flatten(2).gather(2, places_BP[:, None].expand(-1, pixels_BCHW.shape[1], -1))
        return moved.view_as(pixels_BCHW) * is_inside[:, None]


def blend(image_BCHW: Tensor, other: Tensor | float, ratio_B111: Tensor) -> Tensor:
    """`ratio` of the image and the rest of the other, cut off at black and white."""
    return (image_BCHW * ratio_B111 + (1.0 - ratio_B111) * other).clamp(0, PEAK)


def grey(image_BCHW: Tensor) -> Tensor:
    """Luminance [B, 1, H, W] in float32."""
    if image_BCHW.shape[1] != RGB:
        return image_BCHW.float()
    r, g, b = image_BCHW.float().unbind(1)
    return (r * 0.2989 + g * 0.587 + b * 0.114)[:, None]


def mean_of(grey_B1HW: Tensor) -> Tensor:
    """The mean of each image [B, 1, 1, 1]; summed in float64, so that it does not depend on the rest of the batch."""
    return grey_B1HW.mean(dim=(1, 2, 3), keepdim=True, dtype=torch.float64).float()


def _ratio(magnitudes_B: Tensor) -> Tensor:
    return (1.0 + magnitudes_B)[:, None, None, None]


def _brightness(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    return blend(images, 0.0, _ratio(magnitudes_B)).to(torch.uint8)


def _color(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    if images.shape[1] != RGB:
        return images
    return blend(images, grey(images).floor(), _ratio(magnitudes_B)).to(torch.uint8)


def _contrast(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    return blend(images, mean_of(grey(images).floor()), _ratio(magnitudes_B)).to(torch.uint8)


def _sharpness(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    if min(height, width) < SHARPENED:
        return images
    whole = images.int()
    inside = whole[..., 1:-1, 1:-1]
    around = sum(whole[..., y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3))
    blurred = ((around + 4 * inside) / 13.0).round()
    sharpened = images.clone()
    sharpened[..., 1:-1, 1:-1] = blend(inside, blurred, _ratio(magnitudes_B)).to(torch.uint8)
    return sharpened


def _posterize(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    lost_B = (8 - magnitudes_B).to(torch.int32)
    masks_B = (PEAK - ((1 << lost_B) - 1)).to(torch.uint8)
    return images & masks_B[:, None, None, None]


def _solarize(images: Tensor, magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    is_bright = images >= (PEAK * magnitudes_B)[:, None, None, None]
    return torch.where(is_bright, PEAK - images, images)


def _auto_contrast(images: Tensor, _magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    low, high = images.amin(dim=(-2, -1), keepdim=True).float(), images.amax(dim=(-2, -1), keepdim=True).float()
    scale = (high - low) * (1.0 / PEAK)
    is_flat = high == low
    stretched = (images - torch.where(is_flat, 0.0, low)) / torch.where(is_flat, 1.0, scale)
    return stretched.clamp(0, PEAK).to(torch.uint8)


def _equalize(images: Tensor, _magnitudes_B: Tensor, _codes_B: Tensor) -> Tensor:
    """Pillow's histogram equalisation, each channel by itself."""
    flat = images.flatten(2).long()
    counts = flat.new_zeros((*flat.shape[:2], PEAK + 1)).scatter_add_(2, flat, torch.ones_like(flat))
    sums = counts.cumsum(2)
    n_brightest = counts.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - n_brightest).div(PEAK, rounding_mode="floor")
    levels = (sums[..., :-1] + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp(0, PEAK)
    table = torch.cat([torch.zeros_like(levels[..., :1]), levels], dim=2)
    equalized = table.gather(2, flat).view_as(images).to(torch.uint8)
    return torch.where((step > 0)[..., None], equalized, images)


COLOURS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Brightness": _brightness,
    "Color": _color,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """Rotation and zoom about the middle of an image, between pixels; what comes in repeats the edge."""

    rotate: float
    """Degrees, either way."""
    zoom: float
    """0.1 for sizes from 0.9 to 1.1."""

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Degrees and size of each image: float32 [N, 2]."""
        u_N2 = torch.rand(n_rows, 2, generator=generator) * 2.0 - 1.0
        return torch.stack([u_N2[:, 0] * self.rotate, 1.0 + u_N2[:, 1] * self.zoom], dim=1)

    def __call__(self, images_BCHW: Tensor, draws_B2: Tensor) -> Tensor:
        """float32 from float32."""
        height, width = images_BCHW.shape[-2:]
        device = images_BCHW.device
        angle, size = torch.deg2rad(draws_B2[:, 0])[:, None, None], draws_B2[:, 1][:, None, None]
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        x_W = (torch.arange(width, device=device) - (width - 1) / 2)[None, None, :]
        y_H = (torch.arange(height, device=device) - (height - 1) / 2)[None, :, None]
        from_x, from_y = (cos * x_W - sin * y_H) * (2 / width), (sin * x_W + cos * y_H) * (2 / height)
        grid_BHW2 = torch.stack([from_x, from_y], dim=-1)
        return torch.nn.functional.grid_sample(images_BCHW, grid_BHW2, padding_mode="border", align_corners=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """Brightness, contrast, saturation and hue, in this order; grey images have no saturation and no hue."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    """Share of the colour circle, either way."""

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Three factors and an angle for each image: float32 [N, 4]."""
        most = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue * 2.0 * math.pi])
        u_N4 = (torch.rand(n_rows, 4, generator=generator) * 2.0 - 1.0) * most
        return u_N4 + torch.tensor([1.0, 1.0, 1.0, 0.0])

    def __call__(self, images_BCHW: Tensor, draws_B4: Tensor) -> Tensor:
        """float32 from float32, in the range of pixels."""
        brightness, contrast, saturation, angle = (column[:, None, None, None] for column in draws_B4.unbind(1))
        images = blend(images_BCHW, 0.0, brightness) if self.brightness else images_BCHW
        if self.contrast:
            images = blend(images, mean_of(grey(images)), contrast)
        if images.shape[1] == RGB:
            images = blend(images, grey(images), saturation) if self.saturation else images
            images = _turned(images, angle[:, 0]) if self.hue else images
        return images


def _turned(images_BCHW: Tensor, angle_B11: Tensor) -> Tensor:
    """Turn the colours about the grey axis, which keeps the sum of the channels."""
    cos, rest = torch.cos(angle_B11), (1.0 - torch.cos(angle_B11)) / 3.0
    twist = torch.sin(angle_B11) / math.sqrt(3.0)
    r, g, b = images_BCHW.unbind(1)
    own, left, right = cos + rest, rest - twist, rest + twist
    turned = [own * r + left * g + right * b, right * r + own * g + left * b, left * r + right * g + own * b]
    return torch.stack(turned, dim=1).clamp(0, PEAK)
