"""A folder of text files with a folder a class, and possibly a folder a part around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from tuner.config.messages import suggestion
from tuner.data.splits import PARTS, Indices
from tuner.errors import DataError

NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
SUFFIX = ".txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All text files of a folder: those for training, then val, then test."""

    labels: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    sizes: dict[str, int]

    @classmethod
    def of(cls, root: Path) -> Self:
        """Look the folder through; DataError when it is not laid out so."""
        parts = _parts(root)
        labels = tuple(folder.name for folder in _folders(parts["train"]))
        if not labels:
            raise DataError(
                f"{root}: no folders in it; expected one a class, such as {root / 'good'} and {root / 'bad'}, or"
                f" {root / 'train' / 'good'} ..."
            )
        found = {part: list(_texts(folder, labels)) for part, folder in parts.items()}
        return cls(
            labels=labels,
            paths=tuple(path for texts in found.values() for path, _ in texts),
            targets=tuple(target for texts in found.values() for _, target in texts),
            sizes={part: len(texts) for part, texts in found.items()},
        )

    def given(self) -> dict[str, Indices]:
        """The rows of the parts that have a folder of their own besides the training part."""
        begins, given = 0, {}
        for part, size in self.sizes.items():
            if part != "train":
                given[part] = np.arange(begins, begins + size)
            begins += size
        return given

    def name(self, row: int) -> str:
        return str(self.paths[row])


def _parts(root: Path) -> dict[str, Path]:
    """The folders of the parts; the root itself for training where it has the classes.

    A class may be called train: a part's folder has folders in it.
    """
    found = {}
    for part in PARTS:
        folder = next((root / name for name in NAMES[part] if _folders(root / name)), None)
        if folder is not None:
            found[part] = folder
    return found if "train" in found else {"train": root}


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _texts(folder: Path, labels: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    for sub in _folders(folder):
        if sub.name not in labels:
            raise DataError(
                f"{sub}: the training part has no class {sub.name!r}{suggestion(sub.name, labels)}; remove the folder,"
                " or add texts of the class for training"
            )
        paths = sorted(path for path in sub.rglob(f"*{SUFFIX}") if path.is_file())
        if not paths:
            raise DataError(f"{sub}: no texts in it (*{SUFFIX}); add some, or remove the folder")
        yield from ((path, labels.index(sub.name)) for path in paths)
