"""Sounds: wav files as waveforms or bands of frequency, computed once and stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.config.schema.audio import AudioData
from tuner.data.cache import write_rows
from tuner.data.decoded import CACHED_BYTES, CHUNK_BYTES, Decoded, Request
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array, float_scaling
from tuner.data.sounds import AT_ONCE, SoundEncoder
from tuner.data.sources.image_items import raise_all
from tuner.data.sources.sound_files import SoundFiles, find, root_of
from tuner.data.splits import Indices
from tuner.data.wav import read_wav
from tuner.errors import DataError

FRAME_S = 0.025
"""A frame is the next power of two of samples that lasts as long."""


def files(data: AudioData, base_dir: Path) -> tuple[Path, ...]:
    root = root_of(data, base_dir)
    found = find(data, base_dir, data.task if root.is_file() else "auto").paths
    return found if root.is_dir() else (root, *found)


def read(data: AudioData, request: Request) -> Decoded:
    found = find(data, request.base_dir, request.task)
    encoder = _encoder(data, found)
    path = request.scratch / "sounds.npy"
    rows = _computed(found, encoder)
    write_rows(path, rows, n_rows=len(found.paths), row_shape=encoder.shape, dtype=np.float32)
    return Decoded(
        task=found.task,
        labels=found.labels,
        rows=SoundRows(array=np.load(path, mmap_mode="r"), encoder=encoder),
        targets=found.targets,
        given=found.given,
        keys=found.keys,
        row_name=found.name,
        layout=encoder.axes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundRows:
    """What was computed from all sounds, memory-mapped."""

    array: Array
    encoder: SoundEncoder

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        """One mean and deviation for all values, or for mfcc, whose coefficients differ in size, one for each."""
        if not normalize:
            return Preprocess(encoder=self.encoder)
        if self.encoder.features != "mfcc":
            scaling = float_scaling(lambda: (chunk.reshape(-1, 1) for chunk in self._pieces(train, CHUNK_BYTES)), (1,))
            return Preprocess(encoder=self.encoder, scaling=scaling)
        axis, n_trailing = (2, 1) if self.encoder.layout == "image" else (2, 0)
        n_kinds = self.array.shape[axis]
        scaling = float_scaling(
            lambda: (np.moveaxis(chunk, axis, -1).reshape(-1, n_kinds) for chunk in self._pieces(train, CHUNK_BYTES)),
            (n_kinds,),
        )
        return Preprocess(encoder=self.encoder, scaling=replace(scaling, n_trailing=n_trailing))

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:  # noqa: ARG002 - stored as they are
        return self._pieces(rows, CACHED_BYTES)

    def _pieces(self, rows: Indices, size_bytes: int) -> Iterator[Array]:
        step = max(1, size_bytes // self.array[0].nbytes)
        return (self.array[rows[start : start + step]] for start in range(0, len(rows), step))


# ----------------------------------------------------------------------------------------------------------- the files


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a file has."""

    rate: int
    channels: int
    n_samples: int


def _encoder(data: AudioData, found: SoundFiles) -> SoundEncoder:
    """Rate, channels and length of all; DataError names every file that cannot be read, or the first unlike others."""
    sizes = _sizes(found)
    first = sizes[0]
    for row, size in enumerate(sizes):
        if data.sample_rate is None and size.rate != first.rate:
            raise DataError(
                f"{found.name(row)}: {size.rate} samples a second, {found.paths[0]} has {first.rate}; set"
                f" data.sample_rate, such as {min(size.rate, first.rate)}, and all are resampled"
            )
        if data.channels is None and size.channels != first.channels:
            raise DataError(
                f"{found.name(row)}: {size.channels} channels, {found.paths[0]} has {first.channels}; set"
                " data.channels: 1 for the mean of them"
            )
    rate = data.sample_rate or first.rate
    longest = max(-(-size.n_samples * rate // size.rate) for size in sizes)
    n_samples = longest if data.seconds is None else max(1, round(data.seconds * rate))
    return _with_options(data, rate, n_samples, data.channels or first.channels)


def _sizes(found: SoundFiles) -> list[Size]:
    sizes, problems = [], []
    for row, path in enumerate(found.paths):
        try:
            sound = read_wav(path)
        except ValueError as error:
            problems.append(f"{found.name(row)}: {error}; replace the file or remove it")
        else:
            sizes.append(Size(rate=sound.rate, channels=sound.channels, n_samples=sound.n_samples))
    raise_all(problems)
    return sizes


def _with_options(data: AudioData, rate: int, n_samples: int, channels: int) -> SoundEncoder:
    n_fft = data.n_fft or 1 << math.ceil(math.log2(FRAME_S * rate))
    hop = data.hop or n_fft // 2
    if hop > n_fft:
        raise DataError(
            f"data.hop: {hop} samples leave some out between frames of {n_fft}; lower it, or raise data.n_fft"
        )
    highest = max(data.f_min, data.f_max or 0.0)
    if highest > rate / 2:
        name = "f_max" if data.f_max == highest else "f_min"
        raise DataError(f"data.{name}: {highest:g} Hz; {rate} samples a second hold frequencies to {rate / 2:g} Hz")
    return SoundEncoder(
        rate=rate,
        n_samples=n_samples,
        channels=channels,
        features=data.features,
        layout=data.layout,
        n_fft=n_fft,
        hop=hop,
        n_mels=data.n_mels,
        n_mfcc=data.n_mfcc,
        f_min=data.f_min,
        f_max=data.f_max or 0.0,
    )


def _computed(found: SoundFiles, encoder: SoundEncoder) -> Iterator[Array]:
    """The rows of all files, some at a time."""
    for start in range(0, len(found.paths), AT_ONCE):
        block = range(start, min(start + AT_ONCE, len(found.paths)))
        samples = []
        for row in block:
            try:
                samples.append(encoder.fitted(read_wav(found.paths[row])))
            except ValueError as error:
                raise DataError(f"{found.name(row)}: {error}") from error
        yield encoder.computed(np.stack(samples))
