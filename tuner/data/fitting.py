"""Images of any size, and how they become rows of one shape.

Pillow does it, an image at a time: in whole numbers, so that every machine stores the same pixels, and a model that was
exported sees what training saw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch

from tuner.data.items import IMAGE_NDIM, channels_first, is_pil
from tuner.data.scaling import Array
from tuner.errors import DataError

Fit = Literal["crop", "pad", "stretch"]
Shape = tuple[int, int, int]
ImageFile = str | Path | BinaryIO

COLOUR_CHANNELS = (3, 4)
_MODES = {1: "L", 3: "RGB"}
_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
_DEEP = ("I;16", "I;16B", "I;16L")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""Values of the EXIF tag for images that lie on their side."""


def opened(path: ImageFile) -> Any:
    """The image in a file, whole and upright; ValueError says why it cannot be read."""
    from PIL import ImageOps

    def whole(image: Any) -> Any:
        image.load()
        return ImageOps.exif_transpose(image)

    return _from_file(path, whole)


def shape_in_file(path: ImageFile) -> Shape:
    """`natural_shape` of the image in a file, from the beginning of the file; ValueError when it is none."""

    def shape(image: Any) -> Shape:
        channels, height, width = natural_shape(image)
        is_turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
        return (channels, width, height) if is_turned else (channels, height, width)

    found: Shape = _from_file(path, shape)
    return found


def _from_file(path: ImageFile, take: Callable[[Any], Any]) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return take(image)
    except FileNotFoundError as error:
        raise ValueError("no such file") from error
    # What Pillow raises at changed bytes is open-ended; the file is at fault in every case.
    except Exception as error:
        name = repr(str(path) if isinstance(path, Path) else path)
        text = str(error).replace(f" {name}", "").strip() or type(error).__name__
        raise ValueError(f"cannot be read as an image ({text})") from error


def natural_shape(image: Any) -> Shape:
    """Channels (1 for grey, else 3), height and width of a PIL image as it is."""
    width, height = image.size
    return (1 if image.mode in _GREY else 3), height, width


def fitted(x: Any, shape: Shape, fit: Fit) -> Array:
    """Bring one image (PIL, or a uint8 array or tensor) to uint8 `shape`; ValueError when it is none."""
    channels, height, width = shape
    if channels not in _MODES:
        raise ValueError(f"an image of {channels} channels cannot be made from others; expected 1 or 3")
    image = _in_mode(x if is_pil(x) else _image_of(x), _MODES[channels])
    if image.size != (width, height):
        image = _resized(image, width, height, fit)
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(np.moveaxis(array, -1, 0))


def _resized(image: Any, width: int, height: int, fit: Fit) -> Any:
    """Bilinear with antialiasing, as torchvision resizes.

    `crop` and `pad` keep the proportions: the middle of what covers the frame, or all of it with black beside it.
    """
    from PIL import Image, ImageOps

    bilinear = Image.Resampling.BILINEAR
    if fit == "stretch":
        return image.resize((width, height), bilinear)
    return {"crop": ImageOps.fit, "pad": ImageOps.pad}[fit](image, (width, height), method=bilinear)


def _in_mode(image: Any, mode: str) -> Any:
    from PIL import Image

    if image.mode == mode:
        return image
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of 32 bits (mode {image.mode}); expected 8 or 16 bits a channel")
    if image.mode in _DEEP:  # Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    return image.convert(mode)


def _image_of(x: Any) -> Any:
    from PIL import Image

    array = x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    if array.ndim not in (IMAGE_NDIM - 1, IMAGE_NDIM) or array.dtype != np.uint8 or 0 in array.shape:
        raise ValueError(f"the input is {array.dtype} {array.shape}; expected an image: uint8, of two or three axes")
    first = channels_first(array, prefer_first=isinstance(x, torch.Tensor))
    return Image.fromarray(first[0] if len(first) == 1 else np.ascontiguousarray(np.moveaxis(first, 0, -1)))


def images_in(source: Any, channels: int) -> list[Any]:
    """A batch or one image, as a list of images: paths, PIL images or arrays.

    An array [3, H, W] is one image, but for a model of grey images, for which it is three; of a tensor, which has its
    channels first, that cannot be told: DataError.
    """
    if isinstance(source, (list, tuple)):
        return list(source)
    if isinstance(source, (str, Path)) or is_pil(source):
        return [source]
    array = source.detach().cpu().numpy() if isinstance(source, torch.Tensor) else np.asarray(source)
    if array.ndim < IMAGE_NDIM:
        return [source]
    if array.ndim != IMAGE_NDIM:
        return list(source)
    is_first = array.shape[0] in COLOUR_CHANNELS
    if array.shape[-1] in (1, *COLOUR_CHANNELS) or (is_first and channels > 1):
        return [source]
    if is_first and isinstance(source, torch.Tensor):
        n, height, width = array.shape
        raise DataError(
            f"input: a tensor of shape {array.shape} is {n} grey images, or one of {n} channels; give them as"
            f" ({n}, 1, {height}, {width}), or it as (1, {n}, {height}, {width})"
        )
    return list(source)
