"""Inputs in the source's form as stored rows, for images and tensors; tables have their own module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from tuner.data.fitting import Fit, fitted, images_in, opened
from tuner.data.items import is_pil, stored_form
from tuner.data.named import NamedEncoder
from tuner.data.scaling import Array
from tuner.errors import DataError, RowError

BEYOND = "tokens from"
"""How it begins what is said of tokens that the vocabulary has not."""
PIXEL_PEAK = 255
"""The largest pixel of 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoder:
    """8-bit images; rows are stored as uint8 [C, H, W]."""

    shape: tuple[int, int, int]
    fit: Fit | None = None
    """How images of other sizes and channels are brought to `shape`; None refuses them."""
    peak: int = PIXEL_PEAK
    """The largest pixel of the source; images that come as files have more, and are scaled to it."""

    @property
    def dtype(self) -> Literal["uint8"]:
        return "uint8"

    def encode(self, source: Any) -> Array:
        """Take a batch [N, C, H, W] or [N, H, W, C], one such image, or a list of images or of paths.

        With one channel also [N, H, W] and [N, H * W]; with `fit` images of any size.
        """
        channels, height, width = self.shape
        if isinstance(source, (str, Path)) or is_pil(source) or _is_list_of_items(source):
            return _stack(images_in(source, channels), self)
        array = _batch(source)
        layouts: list[tuple[int, ...]] = [(channels, height, width), (height, width, channels)]
        if channels == 1:
            layouts += [(height, width), (height * width,)]
        for layout in layouts:
            if array.shape[1:] == layout or array.shape == layout:
                batch = array.reshape(-1, *layout)
                batch = np.moveaxis(batch, -1, 1) if layout == (height, width, channels) else batch
                return _as_pixels(batch.reshape(-1, *self.shape))
        if self.fit:
            pixels = torch.from_numpy(_as_pixels(array)) if isinstance(source, torch.Tensor) else _as_pixels(array)
            return _stack(images_in(pixels, channels), self)
        raise DataError(
            f"input: images of shape {array.shape}; expected (N, {channels}, {height}, {width}) or channels last"
        )

    def to_json(self) -> dict[str, Any]:
        fit = {"fit": self.fit} if self.fit else {}
        peak = {"peak": self.peak} if self.peak != PIXEL_PEAK else {}
        return {"kind": "image", "shape": list(self.shape), **fit, **peak}

    def scaled(self, pixels: Array) -> Array:
        """Pixels from 0 to 255 as the source has them."""
        if self.peak == PIXEL_PEAK:
            return pixels
        return np.round(pixels * (self.peak / PIXEL_PEAK)).astype(np.uint8)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        channels, height, width = data["shape"]
        return cls(shape=(channels, height, width), fit=data.get("fit"), peak=data.get("peak", PIXEL_PEAK))


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEncoder:
    """Numbers (float32) or tokens (int64) of a fixed shape, from a user's own dataset."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"]
    n_tokens: int | None = None
    """Size of the vocabulary, where it is known."""
    padding: int | None = None
    """The token that fills short rows up, if any does."""
    any_length: bool = False
    """Whether `shape` is the largest: batches of a collate function are as long as their longest row."""

    def encode(self, source: Any) -> Array:
        """Take a batch [N, *shape], one input of that shape, or a list of inputs; of single numbers also [N]."""
        if self.any_length:
            return self._encode_batch(source)
        if _is_list_of_items(source):
            return _stack(source, self)
        array = _batch(source)
        array = array[:, None] if array.ndim == 1 and self.shape == (1,) else array
        if array.shape[1:] != self.shape and array.shape != self.shape:
            raise DataError(f"input: shape {array.shape}; expected (N, {', '.join(map(str, self.shape))})")
        if self.dtype == "int64" and array.dtype.kind not in "iu":
            raise DataError(f"input: type {array.dtype}; expected integers, as in training")
        return self._checked(array.reshape(-1, *self.shape).astype(self.dtype))

    def _encode_batch(self, source: Any) -> Array:
        """A batch as the collate function makes it, of any length up to the longest."""
        array = _batch(source)
        array = array[None] if array.ndim == len(self.shape) else array
        if array.ndim != len(self.shape) + 1 or any(
            n > most for n, most in zip(array.shape[1:], self.shape, strict=True)
        ):
            raise DataError(f"input: shape {array.shape}; expected (N, at most {', '.join(map(str, self.shape))})")
        if self.dtype == "int64" and array.dtype.kind not in "iu":
            raise DataError(f"input: type {array.dtype}; expected integers, as in training")
        return self._checked(array.astype(self.dtype))

    def _checked(self, stored: Array) -> Array:
        if not np.isfinite(stored).all():
            raise DataError("input: not finite; expected numbers of float32's range")
        if self.n_tokens is not None and stored.size and not 0 <= stored.min() <= stored.max() < self.n_tokens:
            raise DataError(f"input: tokens from {stored.min()} to {stored.max()}; expected 0 to {self.n_tokens - 1}")
        return stored

    def to_json(self) -> dict[str, Any]:
        tokens = {"n_tokens": self.n_tokens, "padding": self.padding} if self.n_tokens is not None else {}
        any_length = {"any_length": True} if self.any_length else {}
        return {"kind": "tensor", "shape": list(self.shape), "dtype": self.dtype, **tokens, **any_length}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        tokens = {name: data.get(name) for name in ("n_tokens", "padding")}
        return cls(shape=tuple(data["shape"]), dtype=data["dtype"], any_length=data.get("any_length", False), **tokens)


ItemEncoder = ImageEncoder | NamedEncoder | TensorEncoder


def encoder_of_item(x: Any) -> ItemEncoder:
    """The encoder of inputs like this one; ValueError when it cannot be converted."""
    return NamedEncoder.of(x) if isinstance(x, Mapping) else encoder_of(stored_form(x))


def encoder_of(stored: Array) -> ImageEncoder | TensorEncoder:
    """The encoder whose rows look like this one."""
    if stored.dtype == np.uint8:
        channels, height, width = stored.shape
        return ImageEncoder(shape=(channels, height, width))
    return TensorEncoder(shape=stored.shape, dtype="int64" if stored.dtype == np.int64 else "float32")


def encode_item(x: Any, encoder: ItemEncoder) -> Array:
    """One row; ValueError when it is not of the shape and type that the others have."""
    if isinstance(encoder, NamedEncoder):
        return encoder.encode_item(x)
    if isinstance(encoder, ImageEncoder):
        x = opened(x) if isinstance(x, (str, Path)) else x
        if encoder.fit:
            return fitted(x, encoder.shape, encoder.fit)
    stored = stored_form(x)
    if isinstance(encoder, ImageEncoder) and is_pil(x):
        stored = encoder.scaled(stored)
    if stored.shape != encoder.shape or stored.dtype != encoder.dtype:
        got, expected = f"{stored.dtype} {stored.shape}", f"{encoder.dtype} {encoder.shape}"
        raise ValueError(
            f"the input is {got}; expected {expected}, as the first item's is; resize or pad to one shape and type"
        )
    n_tokens = encoder.n_tokens if isinstance(encoder, TensorEncoder) else None
    if n_tokens is not None and stored.size and not 0 <= stored.min() <= stored.max() < n_tokens:
        raise ValueError(f"{BEYOND} {stored.min()} to {stored.max()}; expected 0 to {n_tokens - 1}")
    return stored


def _is_list_of_items(source: Any) -> bool:
    return isinstance(source, (list, tuple)) and bool(source) and not isinstance(source[0], (bool, int, float))


def _stack(items: Any, encoder: ImageEncoder | TensorEncoder) -> Array:
    rows = []
    for number, item in enumerate(items):
        try:
            rows.append(encode_item(item, encoder))
        except ValueError as error:
            raise RowError(number, f"{item}: {error}" if isinstance(item, (str, Path)) else str(error)) from error
    return np.stack(rows)


def _batch(source: Any) -> Array:
    if isinstance(source, torch.Tensor):
        return np.asarray(source.detach().cpu().numpy())
    array = np.asarray(source)
    if array.dtype.kind not in "biuf":
        raise DataError(f"input: values of type {array.dtype}; expected numbers")
    return array


def _as_pixels(array: Array) -> Array:
    if array.dtype == np.uint8:
        return array.copy()
    with np.errstate(invalid="ignore"):
        pixels = array.astype(np.uint8)
    if not np.array_equal(pixels, array):
        raise DataError(
            "input: expected whole pixel values from 0 to 255, as the source gives them (before any scaling)"
        )
    return pixels
