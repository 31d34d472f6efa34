"""Fashion-MNIST for benchmarks: the files as torchvision wants them, and as tensors."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tuner.config.schema import ImageData
from tuner.data.sources import SOURCES
from tuner.errors import NotFoundError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
ABSENT = "Fashion-MNIST is not on this disk (README.md, Data, says where it is looked for): nothing measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The whole set in memory: x uint8 [N, 784], y int64 [N]."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def torchvision_root(folder: Path) -> Path | None:
    """`folder`, with the four files unpacked in torchvision's layout; None when they are not on this disk."""
    try:
        files = SOURCES["fashion_mnist"].files(ImageData(kind="fashion_mnist", download=False), Path.cwd())
    except NotFoundError:
        return None
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path, name in zip(files, NAMES, strict=True):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as packed, (raw / name).open("wb") as file:
            shutil.copyfileobj(packed, file)
    return folder


def images(root: Path) -> Images:
    """Read what `torchvision_root` unpacked."""
    raw = root / "FashionMNIST" / "raw"
    train_x, train_y, test_x, test_y = (
        torch.from_numpy(np.fromfile(raw / name, dtype=np.uint8, offset=16 if "images" in name else 8))
        for name in NAMES
    )
    return Images(
        train_x=train_x.reshape(-1, 784),
        train_y=train_y.long(),
        test_x=test_x.reshape(-1, 784),
        test_y=test_y.long(),
    )
