"""Wav files as samples from -1 to 1.

C channels, L samples.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tuner.data.scaling import Array

STEREO_NDIM = 2
SILENT_BYTE = 128
"""8-bit samples have no sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Samples float32 [C, L], and how many there are in a second."""

    samples: Array
    rate: int

    @property
    def channels(self) -> int:
        return len(self.samples)

    @property
    def n_samples(self) -> int:
        return int(self.samples.shape[1])


def read_wav(path: str | Path | BinaryIO) -> Sound:
    """Read 8, 16, 24 or 32-bit or float samples; ValueError says why a file cannot be read."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)
        warnings.filterwarnings("ignore", message="Chunk .*not understood", category=wavfile.WavFileWarning)
        try:
            rate, samples = wavfile.read(path)
        except FileNotFoundError as error:
            raise ValueError("no such file") from error
        # What scipy raises at changed bytes is open-ended; the file is at fault in every case.
        except Exception as error:
            raise ValueError(f"cannot be read as wav ({str(error).strip().rstrip('.') or 'not whole'})") from error
    return Sound(samples=as_samples(samples.T), rate=int(rate))


def as_samples(values: Array) -> Array:
    """Samples [L] or [C, L] of any type of a wav file as float32 [C, L]; ValueError for none and for nan."""
    scaled: Array
    if values.dtype == np.uint8:
        scaled = (values.astype(np.float32) - SILENT_BYTE) / SILENT_BYTE
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.astype(np.float32)
    if not scaled.size:
        raise ValueError("no samples in it")
    if not np.isfinite(scaled).all():
        raise ValueError(f"sample {int(np.argwhere(~np.isfinite(scaled))[0][-1])} is not a finite number")
    return scaled if scaled.ndim == STEREO_NDIM else scaled[None]


def resampled(sound: Sound, rate: int) -> Sound:
    """The sound at another rate, by a polyphase filter."""
    if sound.rate == rate:
        return sound
    from scipy.signal import resample_poly

    divisor = math.gcd(rate, sound.rate)
    samples = resample_poly(sound.samples, rate // divisor, sound.rate // divisor, axis=1).astype(np.float32)
    return Sound(samples=samples, rate=rate)


def with_channels(samples: Array, channels: int) -> Array:
    """The mean of all channels, or the one channel twice; ValueError for other numbers."""
    if len(samples) == channels:
        return samples
    if channels == 1:
        return np.asarray(samples.mean(axis=0, keepdims=True), dtype=np.float32)
    if len(samples) == 1:
        return np.repeat(samples, channels, axis=0)
    raise ValueError(f"{len(samples)} channels; expected {channels}")


def with_length(samples: Array, n_samples: int) -> Array:
    """The middle of a longer sound; a shorter one with silence after it."""
    excess = samples.shape[1] - n_samples
    if excess >= 0:
        return samples[:, excess // 2 : excess // 2 + n_samples]
    return np.pad(samples, ((0, 0), (0, -excess)))
