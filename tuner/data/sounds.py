"""Sounds as a model's inputs: samples, or the logarithm of power in bands of frequency over time.

B sounds, C channels, L samples, T frames, M bands (or coefficients of them), Q frequencies of a frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from tuner.data.info import Layout
from tuner.data.scaling import Array
from tuner.data.wav import Sound, as_samples, read_wav, resampled, with_channels, with_length
from tuner.errors import RowError

SILENCE = 1e-6
"""Added to power before the logarithm: -60 dB of a full-scale sine's mean square."""
AT_ONCE = 64
PAIR, BATCH_NDIM = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEncoder:
    """What is computed from a sound; rows are stored as float32 [C, L], [C, M, T] or [T, C * M]."""

    rate: int
    n_samples: int
    channels: int
    features: Literal["waveform", "spectrogram", "mel", "mfcc"]
    layout: Literal["image", "sequence"] = "image"
    n_fft: int = 512
    hop: int = 256
    n_mels: int = 64
    n_mfcc: int = 20
    f_min: float = 0.0
    f_max: float = 0.0
    """0 for half the rate."""

    @property
    def n_bands(self) -> int:
        return {"spectrogram": self.n_fft // 2 + 1, "mel": self.n_mels, "mfcc": self.n_mfcc}[self.features]

    @property
    def shape(self) -> tuple[int, ...]:
        if self.features == "waveform":
            return (self.channels, self.n_samples)
        n_frames = 1 + self.n_samples // self.hop
        if self.layout == "sequence":
            return (n_frames, self.channels * self.n_bands)
        return (self.channels, self.n_bands, n_frames)

    @property
    def dtype(self) -> Literal["float32"]:
        return "float32"

    @property
    def axes(self) -> Layout:
        """Which of two axes has the steps."""
        if self.features == "waveform":
            return "channels_first"
        return "steps_first" if self.layout == "sequence" else ""

    def encode(self, source: Any) -> Array:
        """Take the path of a wav file, samples [L] or [C, L] at the trained rate, (rate, samples), or a list of these.

        Samples [N, L] of one channel and [N, C, L] are N sounds. Files and pairs of other rates are resampled.
        """
        samples = []
        for number, item in enumerate(_items(source, self.channels)):
            try:
                samples.append(self.fitted(self._sound(item)))
            except ValueError as error:
                problem = f"{item}: {error}" if isinstance(item, (str, Path)) else str(error)
                raise RowError(number, problem) from error
        pieces = [self.computed(np.stack(samples[at : at + AT_ONCE])) for at in range(0, len(samples), AT_ONCE)]
        return np.concatenate(pieces)

    def _sound(self, item: Any) -> Sound:
        if isinstance(item, (str, Path)):
            return read_wav(item)
        rate = self.rate
        if isinstance(item, tuple) and len(item) == PAIR and isinstance(item[0], int):
            rate, item = item
        values = item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
        if values.dtype.kind not in "iuf" or values.ndim not in (1, 2):
            raise ValueError(f"{values.dtype} {values.shape}; expected a wav file's path or samples [L] or [C, L]")
        return Sound(samples=as_samples(values), rate=rate)

    def fitted(self, sound: Sound) -> Array:
        """Its samples [C, L] with the rate, channels and length of all."""
        sound = resampled(sound, self.rate)
        return with_length(with_channels(sound.samples, self.channels), self.n_samples)

    def computed(self, samples_BCL: Array) -> Array:
        """The rows of a batch."""
        x_BCL = torch.from_numpy(np.ascontiguousarray(samples_BCL))
        if self.features == "waveform":
            return np.asarray(x_BCL.numpy())
        x_BCMT = self._bands(x_BCL)
        if self.layout == "sequence":
            x_BCMT = x_BCMT.flatten(1, 2).swapaxes(1, 2)
        return np.asarray(x_BCMT.contiguous().numpy())

    def _bands(self, x_BCL: Tensor) -> Tensor:
        window = torch.hann_window(self.n_fft)
        spectrum = torch.stft(
            x_BCL.flatten(0, 1), self.n_fft, self.hop, window=window, pad_mode="constant", return_complex=True
        )
        power_BCQT = spectrum.abs().square().div_(window.square().sum()).view(*x_BCL.shape[:2], self.n_fft // 2 + 1, -1)
        if self.features == "spectrogram":
            return (power_BCQT + SILENCE).log()
        filters_MQ = mel_filters(self.n_mels, self.n_fft, self.rate, self.f_min, self.f_max or self.rate / 2)
        logs_BCMT = (torch.matmul(filters_MQ, power_BCQT) + SILENCE).log()
        return logs_BCMT if self.features == "mel" else torch.matmul(cosines(self.n_mfcc, self.n_mels), logs_BCMT)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "sound", **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{name: value for name, value in data.items() if name != "kind"})


def _items(source: Any, channels: int) -> Sequence[Any]:
    """The sounds that a source holds."""
    is_pair = isinstance(source, tuple) and len(source) == PAIR and isinstance(source[0], int)
    if isinstance(source, (str, Path)) or is_pair:
        return [source]
    if isinstance(source, (list, tuple)):
        is_samples = bool(source) and isinstance(source[0], (int, float))
        return [np.asarray(source)] if is_samples else source
    array = source.detach().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source)
    is_batch = array.ndim == BATCH_NDIM or (array.ndim == BATCH_NDIM - 1 and channels == 1)
    return list(array) if is_batch else [array]


def mel_filters(n_mels: int, n_fft: int, rate: int, f_min: float, f_max: float) -> Tensor:
    """Triangles [M, Q] that are evenly spread on the mel scale, 2595 log10(1 + f / 700) (O'Shaughnessy 1987)."""
    low, high = (2595.0 * math.log10(1.0 + f / 700.0) for f in (f_min, f_max))
    edges = 700.0 * (10.0 ** (torch.linspace(low, high, n_mels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    frequencies_Q = torch.linspace(0.0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    widths = edges.diff()
    rising = (frequencies_Q - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - frequencies_Q) / widths[1:, None]
    return torch.minimum(rising, falling).clamp(min=0.0).float()


def cosines(n_out: int, n_in: int) -> Tensor:
    """The first rows of the orthonormal discrete cosine transform of type II."""
    k = torch.arange(n_out, dtype=torch.float64)[:, None]
    n = torch.arange(n_in, dtype=torch.float64)
    basis = torch.cos(math.pi / n_in * (n + 0.5) * k) * math.sqrt(2.0 / n_in)
    basis[0] /= math.sqrt(2.0)
    return basis.float()
