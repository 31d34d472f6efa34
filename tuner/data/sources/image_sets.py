"""The image data sets that are read without torchvision: where their files lie, what is in them, their classes."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.schema.images import EmnistData, ImageData
from tuner.data.scaling import Array
from tuner.data.sources import cifar, idx
from tuner.errors import DataError

SVHN_NDIM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Where the files of one data set lie, and what its classes are called."""

    torchvision_class: str
    folder: str
    """torchvision's folder below root."""
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    labels: tuple[str, ...]
    read: Callable[[Sequence[Path]], tuple[Array, Array]]
    """Images uint8 [N, C, H, W] and labels int64 [N] of the files of one part; DataError names a damaged file."""
    downloads: tuple[Mapping[str, Any], ...] = ({},)
    """Options of torchvision's class for each call that it takes to download all files."""
    download_folder: str = ""
    """Below root, for a class that has no folder of its own."""
    can_be_zipped: bool = True
    hint: str = ""

    @property
    def file_names(self) -> tuple[str, ...]:
        return self.train_files + self.test_files


def image_set_of(data: ImageData | EmnistData) -> ImageSet:
    return EMNIST_SETS[data.subset] if isinstance(data, EmnistData) else IMAGE_SETS[data.kind]


def _read_idx(paths: Sequence[Path]) -> tuple[Array, Array]:
    images, labels = idx.read(paths[0], ndim=3), idx.read(paths[1], ndim=1)
    return _matched(paths, images[:, None], labels)


def _read_letters(paths: Sequence[Path]) -> tuple[Array, Array]:
    """EMNIST numbers its letters from 1."""
    images, labels = _read_idx(paths)
    return images, labels - 1


def _read_qmnist(paths: Sequence[Path]) -> tuple[Array, Array]:
    """The first of eight columns is the digit; the others say who wrote it."""
    images, labels = idx.read(paths[0], ndim=3), idx.read(paths[1], ndim=2, code=idx.INTEGER)
    return _matched(paths, images[:, None], labels[:, 0])


def _matched(paths: Sequence[Path], images: Array, labels: Array) -> tuple[Array, Array]:
    if len(images) != len(labels) or not len(images):
        raise DataError(f"{paths[-1]}: {len(labels)} labels; expected {len(images)}, one for each image of {paths[0]}")
    return images, labels.astype(np.int64)


def _read_svhn(paths: Sequence[Path]) -> tuple[Array, Array]:
    """A Matlab file of X uint8 [H, W, C, N] and y [N, 1], where the digit 0 has the number 10."""
    from scipy.io import loadmat

    (path,) = paths
    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    # What changed bytes can raise is open-ended; the file is at fault in every case.
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read as a Matlab file of X and y ({error!r}); get the file again"
        ) from error
    if images.dtype != np.uint8 or images.ndim != SVHN_NDIM or images.shape[2:] != (3, len(labels)):
        raise DataError(
            f"{path}: X is {images.dtype} {images.shape} with {len(labels)} labels; expected uint8 (32, 32, 3, N)"
        )
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), np.where(labels == len(DIGITS), 0, labels)


DIGITS = tuple(string.digits)
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
MERGED_LETTERS = "cijklmopsuvwxyz"
"""Small letters that look like their capitals, which EMNIST's merged subsets do not tell from them."""
_CHARACTERS = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
_MERGED = tuple(character for character in _CHARACTERS if character not in MERGED_LETTERS)


def _idx_files(part: str, labels: str = "labels-idx1-ubyte") -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte", f"{part}-{labels}"


def _mnist_like(name: str, labels: tuple[str, ...], hint: str = "") -> ImageSet:
    return ImageSet(
        torchvision_class=name,
        folder=f"{name}/raw",
        train_files=_idx_files("train"),
        test_files=_idx_files("t10k"),
        labels=labels,
        read=_read_idx,
        hint=hint,
    )


def _emnist(subset: str, labels: tuple[str, ...]) -> ImageSet:
    return ImageSet(
        torchvision_class="EMNIST",
        folder="EMNIST/raw",
        train_files=_idx_files(f"emnist-{subset}-train"),
        test_files=_idx_files(f"emnist-{subset}-test"),
        labels=labels,
        read=_read_letters if subset == "letters" else _read_idx,
        downloads=({"split": subset},),
    )


IMAGE_SETS: dict[str, ImageSet] = {
    "mnist": _mnist_like("MNIST", DIGITS),
    "fashion_mnist": _mnist_like(
        "FashionMNIST", CLOTHES, hint="on Debian, `apt-get install dataset-fashion-mnist`; or "
    ),
    "kmnist": _mnist_like("KMNIST", KANA),
    "qmnist": ImageSet(
        torchvision_class="QMNIST",
        folder="QMNIST/raw",
        train_files=_idx_files("qmnist-train", "labels-idx2-int"),
        test_files=_idx_files("qmnist-test", "labels-idx2-int"),
        labels=DIGITS,
        read=_read_qmnist,
        downloads=({"what": "train"}, {"what": "test"}),
    ),
    "cifar10": ImageSet(
        torchvision_class="CIFAR10",
        folder=cifar.FOLDER,
        train_files=cifar.TRAIN_FILES,
        test_files=cifar.TEST_FILES,
        labels=cifar.LABELS,
        read=cifar.read,
        can_be_zipped=False,
    ),
    "cifar100": ImageSet(
        torchvision_class="CIFAR100",
        folder=cifar.FOLDER_100,
        train_files=("train",),
        test_files=("test",),
        labels=cifar.LABELS_100,
        read=cifar.read,
        can_be_zipped=False,
    ),
    "svhn": ImageSet(
        torchvision_class="SVHN",
        folder="SVHN",
        train_files=("train_32x32.mat",),
        test_files=("test_32x32.mat",),
        labels=DIGITS,
        read=_read_svhn,
        downloads=({"split": "train"}, {"split": "test"}),
        download_folder="SVHN",
        can_be_zipped=False,
    ),
}

EMNIST_SETS: dict[str, ImageSet] = {
    "byclass": _emnist("byclass", _CHARACTERS),
    "bymerge": _emnist("bymerge", _MERGED),
    "balanced": _emnist("balanced", _MERGED),
    "letters": _emnist("letters", tuple(string.ascii_lowercase)),
    "digits": _emnist("digits", DIGITS),
    "mnist": _emnist("mnist", DIGITS),
}
