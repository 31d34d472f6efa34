"""Where data comes from: one module a source, one table for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.data.decoded import Decoded, Request
from tuner.data.sources import classic_images, csv_table, forecast, python_dataset, sklearn_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How one kind of data is found and read."""

    files: Callable[[Any, Path], tuple[Path, ...]]
    """The files that the data depends on, found relative to the space file; NotFoundError when they are not there."""
    read: Callable[[Any, Request], Decoded]
    """Everything, decoded and checked; DataError when it cannot be trained on."""


_SKLEARN = Source(files=sklearn_sets.files, read=sklearn_sets.read)
_IMAGES = Source(files=classic_images.files, read=classic_images.read)

SOURCES: dict[str, Source] = {
    "digits": _SKLEARN,
    "iris": _SKLEARN,
    "wine": _SKLEARN,
    "breast_cancer": _SKLEARN,
    "diabetes": _SKLEARN,
    "mnist": _IMAGES,
    "fashion_mnist": _IMAGES,
    "cifar10": _IMAGES,
    "csv": Source(files=csv_table.files, read=csv_table.read),
    "series": Source(files=forecast.files, read=forecast.read),
    "python": Source(files=python_dataset.files, read=python_dataset.read),
}
"""One entry for each kind of `tuner.config.schema.DATA_KINDS`."""
