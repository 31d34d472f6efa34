"""MNIST, Fashion-MNIST and CIFAR-10: found on disk, or downloaded by torchvision's classes into its layout."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.config.schema import ImageData
from tuner.data.cache import locked
from tuner.data.decoded import ArrayRows, Decoded, Request
from tuner.data.encoders import ImageEncoder
from tuner.data.scaling import Array
from tuner.data.sources import cifar, idx
from tuner.data.sources.paths import resolve_existing
from tuner.data.targets import check_labels, resolve_task
from tuner.errors import DataError, MissingError, NotFoundError

DOWNLOAD_TIMEOUT_S = 30.0
DEBIAN_ROOT = Path("/usr/share/datasets")
DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
IDX_FILES = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Where the files of one data set lie, and what its classes are called."""

    torchvision_class: str
    folder: str
    """torchvision's folder below root."""
    file_names: tuple[str, ...]
    labels: tuple[str, ...]
    hint: str = ""


IMAGE_SETS: dict[str, ImageSet] = {
    "mnist": ImageSet(torchvision_class="MNIST", folder="MNIST/raw", file_names=IDX_FILES, labels=DIGITS),
    "fashion_mnist": ImageSet(
        torchvision_class="FashionMNIST",
        folder="FashionMNIST/raw",
        file_names=IDX_FILES,
        labels=CLOTHES,
        hint="on Debian, `apt-get install dataset-fashion-mnist`; or ",
    ),
    "cifar10": ImageSet(
        torchvision_class="CIFAR10",
        folder=cifar.FOLDER,
        file_names=cifar.TRAIN_FILES + cifar.TEST_FILES,
        labels=cifar.LABELS,
    ),
}


def files(data: ImageData, base_dir: Path) -> tuple[Path, ...]:
    """The data set's files, downloaded first where they are missing and `download` allows it."""
    image_set = IMAGE_SETS[data.kind]
    folders = _folders(data, base_dir)
    found = _find(image_set, folders)
    if found:
        return found
    if not data.download:
        raise _not_found(data, folders, "and data.download is false")
    root = _resolve_root(data.root, base_dir) if data.root else _user_root()
    with _reserved(root):
        found = _find(image_set, [root / image_set.folder])  # another process may have downloaded it meanwhile
        if found:
            return found
        problem = _download(image_set, root)
        found = _find(image_set, [root / image_set.folder])
    if not found:
        raise _not_found(data, folders, f"and it could not be downloaded ({problem or 'files are missing'})")
    return found


def read(data: ImageData, request: Request) -> Decoded:
    image_set = IMAGE_SETS[data.kind]
    paths = files(data, request.base_dir)
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    parts = _read_cifar(paths) if data.kind == "cifar10" else _read_idx(paths)
    (train_x, train_y), (test_x, test_y) = parts
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(
            f"{paths[0].parent}: images of {train_x.shape[1:]} for training, {test_x.shape[1:]} for the test"
        )
    for part, labels in (("training", train_y), ("test", test_y)):
        check_labels(labels, len(image_set.labels), lambda row, part=part: f"{paths[0].parent}: {part} image {row}")  # type: ignore[misc]
    images = np.concatenate([train_x, test_x])
    encoder = ImageEncoder(shape=images.shape[1:])
    return Decoded(
        task=task,
        labels=image_set.labels,
        rows=ArrayRows(array=images, encoder=encoder),
        targets=np.concatenate([train_y, test_y]),
        given={"test": np.arange(len(train_x), len(images))},
        row_name=lambda row: f"{paths[0].parent}: image {row}",
    )


def _read_idx(paths: tuple[Path, ...]) -> list[tuple[Array, Array]]:
    parts = []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = idx.read(images_path, ndim=3), idx.read(labels_path, ndim=1)
        if len(images) != len(labels) or not len(images):
            raise DataError(
                f"{labels_path}: {len(labels)} labels; expected {len(images)}, one for each image of {images_path}"
            )
        parts.append((images[:, None], labels.astype(np.int64)))
    return parts


def _read_cifar(paths: tuple[Path, ...]) -> list[tuple[Array, Array]]:
    return [cifar.read(paths[0].parent, names) for names in (cifar.TRAIN_FILES, cifar.TEST_FILES)]


def _folders(data: ImageData, base_dir: Path) -> list[Path]:
    """Where the files are looked for, in this order."""
    folder = IMAGE_SETS[data.kind].folder
    if data.root:
        root = _resolve_root(data.root, base_dir)
        return [root, root / folder]
    work = Path.cwd() / "data"
    debian = DEBIAN_ROOT / data.kind.replace("_", "-")
    # Files that lie in ./data itself do not say whether they are MNIST or Fashion-MNIST: last.
    return [work / folder, _user_root() / folder, debian, work]


def _resolve_root(root: str, base_dir: Path) -> Path:
    return resolve_existing(root, base_dir) or base_dir / Path(root).expanduser()


def _user_root() -> Path:
    return Path.home() / ".cache" / "tuner" / "data"


def _find(image_set: ImageSet, folders: list[Path]) -> tuple[Path, ...] | None:
    """All files of the first folder that has every one, plain or gzipped; None when no folder has."""
    for folder in folders:
        found = [path for name in image_set.file_names if (path := _variant(folder, name))]
        if len(found) == len(image_set.file_names):
            return tuple(found)
    return None


def _variant(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")  # as some mirrors name them
    candidates = (folder / candidate for base in (name, dotted) for candidate in (base, f"{base}.gz"))
    return next((path for path in candidates if path.is_file()), None)


def _not_found(data: ImageData, folders: list[Path], reason: str) -> NotFoundError:
    image_set = IMAGE_SETS[data.kind]
    places = "\n".join(f"  {folder}{_partly(image_set, folder)}" for folder in folders)
    form = "" if data.kind == "cifar10" else " (plain or .gz)"
    return NotFoundError(
        f"data.kind {data.kind}: not found {reason}; looked in\n{places}\nwhat to do: {image_set.hint}put"
        f" {', '.join(image_set.file_names)}{form} into a folder and name it with data.root"
    )


def _partly(image_set: ImageSet, folder: Path) -> str:
    missing = [name for name in image_set.file_names if not _variant(folder, name)]
    return f" (lacks {', '.join(missing)})" if len(missing) < len(image_set.file_names) else ""


@contextlib.contextmanager
def _reserved(root: Path) -> Iterator[None]:
    """One download at a time into a folder that several studies may share."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(f"{root} is not writable")
    except OSError as error:
        raise NotFoundError(f"data.root {root}: nothing there, and no download into it ({error})") from error
    with locked(root / ".tuner-download.lock"):
        yield


def _download(image_set: ImageSet, root: Path) -> str | None:
    """Let torchvision download; what went wrong, or None."""
    try:
        from torchvision import datasets
    except ImportError as error:
        raise MissingError(
            f"torchvision is needed to download data ({error}); install it, or name a folder with data.root"
        ) from error
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # torchvision sets none: without a network it would wait for ever
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            getattr(datasets, image_set.torchvision_class)(str(root), download=True)
    except (OSError, RuntimeError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    finally:
        socket.setdefaulttimeout(timeout)
    return None
