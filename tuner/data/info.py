"""What is known about prepared data, without the data: plain values that any layer and process can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Layout = Literal["", "steps_first", "channels_first"]
NOT_DECODED = {
    "batch_size",
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "timeout",
    "drop_last",
    "augment",
    "perturb",
    "bucket",
    "sampler",
}
"""Options that may vary from trial to trial without the data being decoded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One of several inputs that an item has by name."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32", "int64"]
    """As it was given: uint8 and float32 reach the model as scaled float32, int64 as it is."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InputField:
        return cls(**{**data, "shape": tuple(data["shape"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """Sizes, shapes and classes of a prepared data set."""

    kind: str
    task: Literal["classification", "regression", "multilabel", "autoencoding", "language", "none"]
    """none where there is no data that tuner knows of."""
    input_shape: tuple[int, ...]
    """Shape of one input as the model sees it: (C, H, W) for images, (F,) for tables."""
    n_targets: int
    """Classes (classification), target columns (regression), labels (multilabel), all values of one input
    (autoencoding), or tokens of the vocabulary (language).
    """
    labels: tuple[str, ...]
    """Class names by index, or what each column of a multilabel target says; empty for other tasks."""
    n_train: int
    n_val: int
    n_test: int
    fingerprint: str
    """SHA-256 of the decoded rows, their order and the split."""
    in_memory: bool
    """Whether whole batches are indexed from one tensor, or items are streamed one by one."""
    input_dtype: Literal["float32", "int64"] = "float32"
    """int64 for tokens, which only models with an embedding can take."""
    n_tokens: int | None = None
    """Size of the vocabulary where inputs are tokens, ids 0 .. n_tokens - 1; None for other inputs."""
    padding: int | None = None
    """The token that fills short sequences up; None where all have one length."""
    categories: tuple[int, ...] = ()
    """Number of codes of each of the last columns of a table (F,), which hold whole numbers from 0; () for none."""
    class_counts: tuple[int, ...] = ()
    """Training rows of each class, or with each label (multilabel); () for other tasks."""
    layout: Layout = ""
    """Axes of inputs with two, where the source knows: steps_first (L, F) for series, channels_first (C, L) for sound.

    Models that want them the other way round turn them; without it they take them as they are."""
    inputs: tuple[InputField, ...] = ()
    """The named inputs that one row (F,) holds, flattened and one after the other; () where an item has one input."""

    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """`<split>/<metric>` of guessing without a model, by the name of the guess; forecasts have some."""

    target_means: tuple[float, ...] = ()
    target_stds: tuple[float, ...] = ()
    """Of regression targets that training sees scaled, one a column; () where they stay as they are."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DataInfo:
        tuples: dict[str, Any] = {
            name: tuple(data[name])
            for name in ("input_shape", "labels", "categories", "target_means", "target_stds", "class_counts")
            if name in data
        }
        inputs = tuple(InputField.from_json(field) for field in data.get("inputs", ()))
        return cls(**{**data, **tuples, "inputs": inputs})


NO_DATA = DataInfo(
    kind="none",
    task="none",
    input_shape=(),
    n_targets=0,
    labels=(),
    n_train=0,
    n_val=0,
    n_test=0,
    fingerprint="",
    in_memory=True,
)
"""Own training code brings its own."""
