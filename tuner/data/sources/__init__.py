"""Where data comes from: one module a source, one table for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.data.datasets import ItemSource
from tuner.data.decoded import Decoded, Request
from tuner.data.sources import (
    array_files,
    audio,
    characters,
    classic_images,
    csv_table,
    fake_images,
    huggingface,
    image_folder,
    python_dataset,
    series,
    sklearn_named,
    sklearn_sets,
    text,
    torchvision_sets,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How one kind of data is found and read."""

    files: Callable[[Any, Path], tuple[Path, ...]]
    """The files that the data depends on, found relative to the space file; NotFoundError when they are not there."""
    read: Callable[[Any, Request], Decoded]
    """Everything, decoded and checked; DataError when it cannot be trained on."""
    open_items: Callable[[Any, Path], ItemSource] | None = None
    """The items of what is streamed, in the numbering of `read`; None where all rows are stored."""


_ARRAYS = Source(files=array_files.files, read=array_files.read)
_TABLES = Source(files=csv_table.files, read=csv_table.read)
_SKLEARN = Source(files=sklearn_sets.files, read=sklearn_sets.read)
_IMAGES = Source(files=classic_images.files, read=classic_images.read)

SOURCES: dict[str, Source] = {
    "digits": _SKLEARN,
    "iris": _SKLEARN,
    "wine": _SKLEARN,
    "breast_cancer": _SKLEARN,
    "diabetes": _SKLEARN,
    "sklearn": Source(files=sklearn_named.files, read=sklearn_named.read),
    "mnist": _IMAGES,
    "fashion_mnist": _IMAGES,
    "kmnist": _IMAGES,
    "qmnist": _IMAGES,
    "emnist": _IMAGES,
    "cifar10": _IMAGES,
    "cifar100": _IMAGES,
    "svhn": _IMAGES,
    "fake": Source(files=fake_images.files, read=fake_images.read),
    "torchvision": Source(
        files=torchvision_sets.files, read=torchvision_sets.read, open_items=torchvision_sets.open_items
    ),
    "image_folder": Source(files=image_folder.files, read=image_folder.read, open_items=image_folder.open_items),
    "csv": _TABLES,
    "parquet": _TABLES,
    "series": Source(files=series.files, read=series.read),
    "text": Source(files=text.files, read=text.read),
    "huggingface": Source(files=huggingface.files, read=huggingface.read),
    "characters": Source(files=characters.files, read=characters.read),
    "python": Source(files=python_dataset.files, read=python_dataset.read, open_items=python_dataset.open_rows),
    "audio": Source(files=audio.files, read=audio.read),
    "npz": _ARRAYS,
    "tensors": _ARRAYS,
}
"""One entry for each kind of `tuner.config.schema.DATA_KINDS`."""
