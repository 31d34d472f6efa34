"""Image data sets, folders of images, and what all of them take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tuner.config.schema.base import Task, as_tuple
from tuner.config.schema.sources import DataSection

Side = Annotated[int, Field(ge=1, le=4096)]
Count = Annotated[int, Field(ge=1)]


class ImageSection(DataSection):
    """What every source of images takes."""

    resize: Side | Annotated[tuple[Side, Side], BeforeValidator(as_tuple)] | None = None
    """Pixels that images are brought to: one number for both sides, or [height, width]; null leaves them."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """Images of another shape than `resize`: cut out the middle, fill up with black, or distort."""
    channels: Literal[1, 3] | None = None
    """1 makes images grey, 3 makes them RGB; null leaves them."""
    classes: Annotated[tuple[str | int, ...], BeforeValidator(as_tuple)] = ()
    """These classes alone, numbered in this order; empty for all."""

    @property
    def own_task(self) -> Task:
        return "classification"


class DownloadedImages(ImageSection):
    """Files that torchvision can download."""

    root: str | None = None
    """Folder with the files: torchvision's layout, or plain or gzipped IDX files. Default: the usual places."""
    download: bool = True
    """Download the data when it is not found."""


class ImageData(DownloadedImages):
    """A classic image data set, found on disk or downloaded."""

    kind: Literal["mnist", "fashion_mnist", "kmnist", "qmnist", "cifar10", "cifar100", "svhn"]


class EmnistData(DownloadedImages):
    """Handwritten letters and digits (Cohen et al. 2017)."""

    kind: Literal["emnist"] = "emnist"
    subset: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = "balanced"
    """What torchvision calls `split`."""


class FakeImages(ImageSection):
    """Images of noise for trying things out: no files, the same for the same seed of the study."""

    kind: Literal["fake"] = "fake"
    size: Count = 1000
    """Number of images."""
    image_size: Annotated[tuple[Literal[1, 3], Side, Side], BeforeValidator(as_tuple)] = (3, 32, 32)
    """Channels, height and width."""
    num_classes: Annotated[int, Field(ge=2, le=1000)] = 10
    signal: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    """Share of a pattern that the images of a class have in common; with 0 there is nothing to learn."""


class TorchvisionData(DownloadedImages):
    """Any data set of torchvision.datasets that gives an image and a class."""

    kind: Literal["torchvision"] = "torchvision"
    name: Annotated[str, Field(pattern=r"^[A-Z]\w*$")]
    """The class's name, such as Food101."""
    options: dict[str, Any] = {}
    """More arguments of the class; `root`, `train` or `split`, and `download` are given."""
    in_memory: Literal["auto"] | bool = "auto"
    """Decode all images into one array; `auto` does so when they fit into a quarter of the free memory."""


class ImageFolderData(ImageSection):
    """Images in a folder a class, as torchvision's ImageFolder has them."""

    kind: Literal["image_folder"] = "image_folder"
    path: str
    """Folder that has train, and val and test if there are any, each with a folder a class; or the classes' folders."""
    in_memory: Literal["auto"] | bool = "auto"
    """Decode all images into one array; `auto` does so when they fit into a quarter of the free memory."""
