"""A folder of images with a folder a class, as torchvision's ImageFolder has them.

`path/train/CLASS/...` with `path/val` and `path/test` if there are any, or `path/CLASS/...`, which is split. A class's
images may lie in folders below its own. For autoencoding images need no class: all of a folder are taken. Files that
are no images by their name are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.images import ImageFolderData
from tuner.data.decoded import Decoded, Request
from tuner.data.fitting import Shape, shape_in_file
from tuner.data.sources.image_items import ImageFiles, Reading, decoding_threads, in_blocks, raise_all
from tuner.data.sources.image_rows import encoder_for
from tuner.data.sources.paths import resolve_existing
from tuner.data.splits import PARTS, Indices
from tuner.data.targets import resolve_task
from tuner.errors import DataError, NotFoundError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
MIN_CLASSES = 2


def files(data: ImageFolderData, base_dir: Path) -> tuple[Path, ...]:
    return tuple(Path(path) for path in Listing.of(data, base_dir).images.paths)


def open_items(data: ImageFolderData, base_dir: Path) -> ImageFiles:
    """The images in the order of `read`; the same as long as no file is added or removed."""
    return Listing.of(data, base_dir).images


def read(data: ImageFolderData, request: Request) -> Decoded:
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    listing = Listing.of(data, request.base_dir)
    encoder = encoder_for(data, _shape(data, listing.images))
    reading = Reading(items=listing.images, encoder=encoder, has_one_size=False, n_threads=decoding_threads())
    values: list[Any] = []
    rows, content = reading.rows(data, values, scratch=request.scratch, seed=request.seed)
    return Decoded(
        task=task,
        labels=listing.labels,
        rows=rows,
        targets=np.array(values, dtype=np.int64),
        given=listing.given(),
        content=content,
        row_name=listing.images.name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All images of the folder: those for training, then val, then test."""

    labels: tuple[str, ...]
    images: ImageFiles
    sizes: dict[str, int]

    @classmethod
    def of(cls, data: ImageFolderData, base_dir: Path) -> Self:
        """Look the folder through; NotFoundError when it is not there, DataError when it is not laid out so."""
        root = resolve_existing(data.path, base_dir)
        if root is None:
            raise NotFoundError(
                f"data.path {data.path}: no such folder in {base_dir} or {Path.cwd()}; name the folder that has the"
                " folders train and test, or those of the classes"
            )
        if not root.is_dir():
            raise DataError(f"{root}: a file; data.path names a folder with a folder a class")
        if data.task == "autoencoding" and not data.classes:
            return cls._without_classes(root)
        parts = parts_in(root)
        labels = _labels(data, parts)
        found = {part: _images(folder, labels, data, is_train=part == "train") for part, folder in parts.items()}
        paths = [path for by_class in found.values() for paths in by_class for path in paths]
        targets = [number for by_class in found.values() for number, paths in enumerate(by_class) for _ in paths]
        return cls(
            labels=labels,
            images=ImageFiles(paths=tuple(paths), targets=tuple(targets)),
            sizes={part: sum(map(len, by_class)) for part, by_class in found.items()},
        )

    @classmethod
    def _without_classes(cls, root: Path) -> Self:
        """All images, wherever they lie, for models that look at no classes."""
        parts = {part: folder for part in PARTS if (folder := _part(root, part, Path.is_dir))}
        parts = parts if "train" in parts else {"train": root}
        found = {part: sorted(images_below(folder)) for part, folder in parts.items()}
        if not found["train"]:
            raise DataError(f"{parts['train']}: no images in it ({', '.join(EXTENSIONS)})")
        paths = tuple(path for paths in found.values() for path in paths)
        return cls(
            labels=("images",),
            images=ImageFiles(paths=paths, targets=(0,) * len(paths)),
            sizes={part: len(paths) for part, paths in found.items()},
        )

    def given(self) -> dict[str, Indices]:
        begins, given = 0, {}
        for part, size in self.sizes.items():
            if part != "train":
                given[part] = np.arange(begins, begins + size)
            begins += size
        return given


def parts_in(root: Path) -> dict[str, Path]:
    """The folders of the parts; the root itself for training where it has the classes.

    A class may be called train: a part's folder has folders in it.
    """
    found = {part: folder for part in PARTS if (folder := _part(root, part, lambda path: bool(folders_in(path))))}
    return found if "train" in found else {"train": root}


def _part(root: Path, part: str, is_one: Callable[[Path], bool]) -> Path | None:
    return next((root / name for name in NAMES[part] if is_one(root / name)), None)


def folders_in(path: Path) -> list[str]:
    """Names of the folders in a folder; those that are hidden do not count."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _labels(data: ImageFolderData, parts: dict[str, Path]) -> tuple[str, ...]:
    root = parts["train"]
    names = folders_in(root)
    if not names:
        raise DataError(
            f"{root}: no folders in it; expected one a class, such as {root / 'cat'} and {root / 'dog'}, or"
            f" {root / 'train' / 'cat'} ..."
        )
    wanted = [str(name) for name in data.classes]
    for name in wanted:
        if name not in names:
            raise DataError(f"data.classes: no folder {name!r} in {root}{suggestion(name, names)}")
        if wanted.count(name) > 1:
            raise DataError(f"data.classes: {name!r} is named twice")
    if len(wanted or names) < MIN_CLASSES:
        raise DataError(
            f"{root}: only one class ({(wanted or names)[0]}); classification needs at least two folders, each with"
            " the images of a class"
        )
    return tuple(wanted or names)


def _images(folder: Path, labels: tuple[str, ...], data: ImageFolderData, *, is_train: bool) -> list[list[str]]:
    """The paths of each class's images, sorted."""
    names = folders_in(folder)
    unknown = [] if is_train or data.classes else [name for name in names if name not in labels]
    if unknown:
        raise DataError(
            f"{folder / unknown[0]}: the training part has no class {unknown[0]!r}{suggestion(unknown[0], labels)};"
            " remove the folder, or add images of the class for training"
        )
    by_class = [sorted(images_below(folder / label)) if label in names else [] for label in labels]
    for label, paths in zip(labels, by_class, strict=True):
        if not paths and label in names:
            raise DataError(
                f"{folder / label}: no images in it ({', '.join(EXTENSIONS)}); add some, or remove the folder"
            )
    return by_class


def images_below(folder: Path) -> Iterator[str]:
    """Paths of the files that are images by their name; hidden ones are passed over."""
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield os.path.join(path, name)  # noqa: PTH118 - a million Path objects would be slow


def _shape(data: ImageFolderData, images: ImageFiles) -> Shape:
    """Channels, height and width of all images as they are, from the beginnings of the files.

    Grey when all are. DataError when sizes differ and nothing says how to make them alike.
    """
    found: list[Shape] = []
    problems: list[str] = []
    for block in in_blocks(lambda row: _shape_of(images, row), len(images), decoding_threads()):
        found.extend(shape for shape, _ in block)
        problems.extend(problem for _, problem in block if problem)
    raise_all(problems)
    sizes = {shape[1:]: row for row, shape in reversed(list(enumerate(found)))}
    if len(sizes) > 1 and data.resize is None:
        (height, width), *others = sorted(sizes, key=lambda size: sizes[size])
        other = others[0]
        raise DataError(
            f"{images.name(sizes[other])}: {other[0]} by {other[1]} pixels, but {images.name(0)} has {height} by"
            f" {width}; set data.resize, such as data.resize: {min(height, width)}, and data.fit (crop, pad or stretch)"
        )
    return max(channels for channels, _, _ in found), *found[0][1:]


def _shape_of(images: ImageFiles, row: int) -> tuple[Shape, str]:
    try:
        return shape_in_file(images.paths[row]), ""
    except ValueError as error:
        return (0, 0, 0), f"{images.paths[row]}: {error}; replace the file or remove it"
