"""One input as a user gives it (PIL image, tensor, array, number, list) in the form in which rows are stored.

uint8    [C, H, W]  images, whatever their source's layout
float32  [...]      numbers; booleans too
int64    [...]      integers other than images: tokens, which are neither scaled nor converted
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from tuner.data.scaling import Array

CHANNELS = (1, 2, 3, 4)
IMAGE_NDIM = 3


def stored_form(x: Any) -> Array:
    """Convert one input; ValueError says what cannot be converted, without saying which item it was.

    uint8 arrays of two or three axes are images. Where their channels are (1 to 4 of them) is told by the shape; when
    both ends fit, arrays and PIL images have them last and tensors first, as torchvision's do. A single number becomes
    a vector of one.
    """
    if is_pil(x):
        return _pil_image(x)
    array = _as_numpy(x)
    if array.dtype == np.uint8 and array.ndim in (IMAGE_NDIM - 1, IMAGE_NDIM):
        return channels_first(array, prefer_first=isinstance(x, torch.Tensor))
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        stored = array.astype(np.int64)
    elif array.dtype.kind in "fbu":
        stored = _as_float32(array)
    else:
        raise ValueError(
            f"the input has values of type {array.dtype}; expected numbers, a tensor, an array or an image"
        )
    return stored.reshape(1) if stored.ndim == 0 else stored


def channels_first(array: Array, *, prefer_first: bool) -> Array:
    """A uint8 image [H, W], [H, W, C] or [C, H, W] as [C, H, W]."""
    if array.ndim < IMAGE_NDIM:
        return array[None]
    first, last = array.shape[0] in CHANNELS, array.shape[-1] in CHANNELS
    if not first and not last:
        raise ValueError(f"a uint8 image of shape {array.shape} has no axis of 1 to 4 channels at either end")
    keep = first if prefer_first else not last
    return array if keep else np.moveaxis(array, -1, 0)


def is_pil(x: Any) -> bool:
    pil = sys.modules.get("PIL.Image")  # whoever holds a PIL image has imported it
    return pil is not None and isinstance(x, pil.Image)


def _pil_image(image: Any) -> Array:
    """8-bit images as [C, H, W]; palettes become RGB, bitmaps grey; other modes (16 bits, float) numbers [1, H, W]."""
    converted = {"P": "RGB", "PA": "RGBA", "1": "L"}.get(image.mode)
    array = np.asarray(image.convert(converted) if converted else image)
    if array.dtype == np.uint8:
        return channels_first(array, prefer_first=False)
    return _as_float32(array)[None]


def _as_numpy(x: Any) -> Array:
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return np.asarray((x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).numpy())
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(f"the input cannot be made an array: {error}") from error


def _as_float32(array: Array) -> Array:
    with np.errstate(over="ignore"):
        stored = array.astype(np.float32)
    if not np.isfinite(stored).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(stored))[0])
        raise ValueError(
            f"the input is {array[place]} at {place}; expected finite numbers of float32's range: fill or leave out"
            " what is missing"
        )
    return stored
