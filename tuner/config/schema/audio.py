"""Sounds in wav files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Positive, Section
from tuner.config.schema.sources import DataSection, Share

Frequency = Annotated[float, Field(ge=0.0)]


class Perturb(Section):
    """Random changes of the training sounds, made anew for every epoch; the other parts stay as they are."""

    shift: Share = 0.0
    """Largest shift in time, as a share of the length, either way; what goes out at one end comes in at the other."""
    gain: Annotated[float, Field(ge=0.0, le=60.0)] = 0.0
    """Largest change of loudness in decibels, either way."""
    noise: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Noise that is added, in deviations of the scaled inputs."""
    mask_time: Share = 0.0
    """Longest stretch of time that is set to the mean, as a share of the length."""
    mask_bands: Share = 0.0
    """Widest stretch of bands (or channels) that is set to the mean, as a share of them."""


class AudioData(DataSection):
    """Wav files, a folder a class or with a table of their labels."""

    kind: Literal["audio"] = "audio"
    has_columns: ClassVar[bool] = True
    path: str
    """A folder with a folder a class (below train, val and test where it has those), or a .csv of files and targets."""
    file: str = "path"
    """csv: the column of files, relative to the csv."""
    target: str = "label"
    """csv: the column to predict."""
    sample_rate: Annotated[int, Field(ge=100, le=1_000_000)] | None = None
    """Samples a second that all files are brought to; null keeps theirs, which must be the same."""
    seconds: Positive | None = None
    """Length that all files are cut (in the middle) or filled up (with silence) to; null for the longest."""
    channels: Literal[1, 2] | None = None
    """1 for the mean of all channels, 2 for stereo; null keeps theirs, which must be as many."""
    features: Literal["waveform", "spectrogram", "mel", "mfcc"] = "mel"
    """What the model sees: samples (C, L), or the logarithm of power in bands of frequency over time (C, M, T)."""
    layout: Literal["image", "sequence"] = "image"
    """How it sees bands over time: image (C, M, T), or sequence (T, C * M) for recurrent and transformer."""
    n_fft: Annotated[int, Field(ge=16, le=16384)] | None = None
    """Samples of a frame; null for the next power of two from 25 ms on."""
    hop: Annotated[int, Field(ge=1, le=16384)] | None = None
    """Samples from one frame to the next; null for half a frame."""
    n_mels: Annotated[int, Field(ge=2, le=512)] = 40
    """mel and mfcc: bands of frequency."""
    n_mfcc: Annotated[int, Field(ge=2, le=512)] = 20
    """mfcc: coefficients, at most `n_mels`."""
    f_min: Frequency = 0.0
    """mel and mfcc: lowest frequency, in Hz."""
    f_max: Positive | None = None
    """mel and mfcc: highest frequency, in Hz; null for half the sample rate."""

    perturb: Perturb = Perturb()

    @model_validator(mode="after")
    def _fits(self) -> AudioData:
        if self.features == "mfcc" and self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc: {self.n_mfcc} coefficients of {self.n_mels} bands; at most n_mels")
        if self.f_max is not None and self.f_max <= self.f_min:
            raise ValueError(f"f_max: must be above f_min ({self.f_min:g}), got {self.f_max:g}")
        self.refuse_augment("sounds")
        if self.split.by == "time":
            raise ValueError("split: by: time is for tables; sounds in a csv can be split by: group or column")
        if self.features == "waveform" and self.layout == "sequence":
            raise ValueError("layout: sequence is for bands over time; waveform is always (C, L)")
        return self
