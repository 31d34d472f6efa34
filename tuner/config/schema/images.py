"""Image data sets."""

from __future__ import annotations

from typing import Literal

from tuner.config.schema.sources import DataSection


class ImageData(DataSection):
    """A classic image data set, found on disk or downloaded."""

    kind: Literal["mnist", "fashion_mnist", "cifar10"]
    root: str | None = None
    """Folder with the files: torchvision's layout, or plain or gzipped IDX files. Default: the usual places."""
    download: bool = True
    """Download the data when it is not found."""
