"""Samples of images: their pixels, and a grid of them as a PNG file.

C channels, H W pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from tuner.data.scaling import Array

GREY, COLOUR = 1, 3
GAP = 2


def as_rgb(image_CHW: Array) -> Array:
    """uint8 [H, W, 3]: one or two channels are grey, of four the fourth is left out; floats are spread over 0..255."""
    pixels = image_CHW[:COLOUR] if len(image_CHW) >= COLOUR else image_CHW[:GREY]
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = (255.0 * (pixels - low) / ((high - low) or 1.0)).round().astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(pixels, (COLOUR, *pixels.shape[1:])), 0, -1))


def shrunk(image_HW3: Array, most: int) -> Array:
    """The image with at most `most` pixels a side, and an even number of rows."""
    height, width = image_HW3.shape[:2]
    factor = min(1.0, most / max(height, width))
    size = (max(2, 2 * round(height * factor / 2)), max(1, round(width * factor)))
    pixels = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(pixels, size=size, mode="area")
    return np.asarray(small[0].permute(1, 2, 0).round().to(torch.uint8).numpy())


def grid(images: Sequence[Array], n_columns: int) -> Array:
    """Images of one size [H, W, 3] beside and below each other, on white."""
    height, width = images[0].shape[:2]
    n_rows = -(-len(images) // n_columns)
    sheet = np.full((n_rows * (height + GAP) + GAP, n_columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, n_columns)
        top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def png(image_HW3: Array) -> bytes:
    """The image as a PNG file (8 bits, RGB), so that no image library is needed."""
    height, width = image_HW3.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = image_HW3.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
