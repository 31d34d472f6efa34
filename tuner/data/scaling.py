"""From stored rows to what a model sees: one affine map a channel, the same in training and in prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]

SEQUENCE_NDIM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """x -> (x - mean) * (1 / std), with one mean and std a channel.

    Channels are the first axis of a row for (C, H, W) and more, the last for vectors (F,) and sequences (T, F).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    n_trailing: int
    """Axes of a row after the channels: 2 for images, 0 for vectors and sequences."""
    repeats: tuple[int, ...] = ()
    """How many values of a row (F,) share each mean and std; () where each has its own."""

    def constants(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and 1 / std as float32 that broadcast over a batch."""
        shape = (-1,) + (1,) * self.n_trailing
        mean = self._spread(self.mean).reshape(shape)
        inverse = 1.0 / self._spread(self.std).reshape(shape)
        return mean.float().to(device), inverse.float().to(device)

    def undone(self, x_B: torch.Tensor) -> torch.Tensor:
        """Scaled rows in the units of the stored ones."""
        mean, inverse = self.constants(x_B.device)
        return x_B / inverse + mean

    def _spread(self, values: tuple[float, ...]) -> torch.Tensor:
        spread = torch.tensor(values, dtype=torch.float64)
        return spread.repeat_interleave(torch.tensor(self.repeats)) if self.repeats else spread


def apply(stored: torch.Tensor, constants: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """The float32 inputs of stored rows; tokens become int64 and stay what they are.

    Two in-place steps and not one fused one: each is rounded once whatever the vector width, so that a row gives the
    same bits in a batch of any size.
    """
    if stored.dtype in (torch.int64, torch.int32):
        return stored.to(torch.int64)
    x = stored.to(torch.float32, copy=constants is not None)
    return x if constants is None else x.sub_(constants[0]).mul_(constants[1])


def pixel_scaling(chunks: Iterator[Array], *, peak: float, normalize: bool) -> Scaling:
    """Per-channel statistics of uint8 images [N, C, H, W].

    From sums of integers: exact, so that every machine gets the same bits, whatever the chunks. Without `normalize`
    pixels are divided by `peak`, their largest possible value.
    """
    n, sums, squares = 0, [0], [0]
    for chunk in chunks:
        if not n:
            sums, squares = [0] * chunk.shape[1], [0] * chunk.shape[1]
        n += chunk[:, 0].size
        for c in range(chunk.shape[1]):
            pixels = chunk[:, c]
            sums[c] += int(pixels.sum(dtype=np.uint64))
            # 255^2 fits into 16 bits. 54 000 images of 28 by 28 in chunks of 1 MB: 60 ms, by np.bincount 400 ms.
            squares[c] += int(np.multiply(pixels, pixels, dtype=np.uint16).sum(dtype=np.uint64))
    if not n:
        raise AssertionError("no rows to measure")
    if not normalize:
        return Scaling(mean=(0.0,) * len(sums), std=(peak,) * len(sums), n_trailing=2)
    # Python's integers: n * sum(x^2) leaves 64 bits at some 10^8 pixels
    variances = [(n * square - total * total) / n**2 for total, square in zip(sums, squares, strict=True)]
    return Scaling(
        mean=tuple(total / n for total in sums), std=tuple(variance**0.5 or 1.0 for variance in variances), n_trailing=2
    )


def float_scaling(chunks: Callable[[], Iterator[Array]], row_shape: tuple[int, ...]) -> Scaling:
    """Per-channel statistics of float rows in two passes, in float64; `chunks` is called once for each pass."""
    sequence = len(row_shape) <= SEQUENCE_NDIM
    channel_axis = len(row_shape) if sequence else 1
    axes = tuple(axis for axis in range(len(row_shape) + 1) if axis != channel_axis)

    def mean_of(value_of: Callable[[Array], Array]) -> Array:
        total, count = 0.0, 0
        for chunk in chunks():
            values = value_of(chunk.astype(np.float64))
            total, count = total + values.sum(axis=axes), count + values.size // values.shape[channel_axis]
        return np.asarray(total / count)

    n_trailing = 0 if sequence else len(row_shape) - 1
    mean = mean_of(lambda values: values)
    centre = mean.reshape((-1,) + (1,) * n_trailing)
    std = np.sqrt(mean_of(lambda values: (values - centre) ** 2))
    # A constant channel has a deviation of rounding errors, not of zero: dividing by it would blow them up.
    std = np.where(std <= np.abs(mean) * 1e-12, 1.0, std)
    return Scaling(mean=tuple(mean.tolist()), std=tuple(std.tolist()), n_trailing=n_trailing)
