"""Images that are read one by one: decoded once into one array where that fits, else streamed.

Every image is read once before anything is trained, so that each one that is broken is named.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.schema.huggingface import HuggingfaceData
from tuner.config.schema.images import ImageFolderData, TorchvisionData
from tuner.data.cache import write_rows
from tuner.data.datasets import ItemSource
from tuner.data.decoded import ArrayRows, Rows
from tuner.data.encoders import ImageEncoder, encode_item
from tuner.data.fitting import natural_shape, opened
from tuner.data.items import is_pil
from tuner.data.scaling import Array
from tuner.data.sources.python_dataset import SHARE_OF_MEMORY, StreamRows, available_memory_bytes
from tuner.errors import DataError

MAX_THREADS = 8
BLOCK = 128
"""Images that are decoded before any is handed on."""
N_SHOWN = 5
N_PROBED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How all images of a source are read."""

    items: ItemSource
    encoder: ImageEncoder
    has_one_size: bool
    """Refuse images of another size than the encoder's: nothing says how to fit them."""
    n_threads: int
    """Pillow lets other threads work while it decodes; a data set of others may not be made for threads."""

    def rows(
        self, data: ImageFolderData | TorchvisionData | HuggingfaceData, values: list[Any], *, scratch: Path, seed: int
    ) -> tuple[Rows, str]:
        """The inputs, and a hash of them where they are streamed; the items' targets are appended to `values`.

        DataError names all images that cannot be read.
        """
        chunks = self._chunks(values)
        if self._fits(data):
            path = scratch / "images.npy"
            n_rows = len(self.items)
            write_rows(path, chunks, n_rows=n_rows, row_shape=self.encoder.shape, dtype=np.uint8)
            return ArrayRows(array=np.load(path, mmap_mode="r"), encoder=self.encoder), ""
        hashed = hashlib.sha256()
        for chunk in chunks:
            hashed.update(np.ascontiguousarray(chunk).data)
        return StreamRows(items=self.items, encoder=self.encoder, seed=seed), hashed.hexdigest()

    def _fits(self, data: ImageFolderData | TorchvisionData | HuggingfaceData) -> bool:
        if data.in_memory != "auto":
            return bool(data.in_memory)
        return len(self.items) * int(np.prod(self.encoder.shape)) <= SHARE_OF_MEMORY * available_memory_bytes()

    def _chunks(self, values: list[Any]) -> Iterator[Array]:
        problems: list[str] = []
        for block in in_blocks(self._read, len(self.items), self.n_threads):
            problems.extend(problem for _, _, problem in block if problem)
            values.extend(target for _, target, _ in block)
            if not problems:
                yield np.stack([array for array, _, _ in block])
        raise_all(problems)

    def _read(self, row: int) -> tuple[Array | None, Any, str]:
        try:
            image, target = self.items.read(row)
            if self.has_one_size and is_pil(image) and natural_shape(image)[1:] != self.encoder.shape[1:]:
                return None, target, f"{self.items.name(row)}: {sizes_differ(image, self.encoder)}"
            return encode_item(image, self.encoder), target, ""
        except DataError as error:
            return None, None, str(error)
        except ValueError as error:
            return None, None, f"{self.items.name(row)}: {error}"


def sizes_differ(image: Any, encoder: ImageEncoder) -> str:
    _, height, width = natural_shape(image)
    _, first_height, first_width = encoder.shape
    return (
        f"{height} by {width} pixels, the first image has {first_height} by {first_width}; set data.resize, such as"
        f" data.resize: {min(first_height, first_width)}, and data.fit (crop, pad or stretch)"
    )


def in_blocks(read: Callable[[int], Any], n_rows: int, n_threads: int) -> Iterator[list[Any]]:
    """What `read` gives for every row, in order, some at a time."""
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        for start in range(0, n_rows, BLOCK):
            yield list(pool.map(read, range(start, min(n_rows, start + BLOCK))))


def raise_all(problems: list[str]) -> None:
    """One DataError with the first few problems."""
    if problems:
        more = f"\nand {len(problems) - N_SHOWN} more" if len(problems) > N_SHOWN else ""
        raise DataError("\n".join(problems[:N_SHOWN]) + more)


def decoding_threads() -> int:
    return min(MAX_THREADS, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFiles:
    """Image files and the number of the class of each."""

    paths: tuple[str, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, row: int) -> str:
        return self.paths[row]

    def read(self, row: int) -> tuple[Any, int]:
        """The image and its class; DataError when it cannot be read."""
        try:
            return opened(self.paths[row]), self.targets[row]
        except ValueError as error:
            raise DataError(f"{self.paths[row]}: {error}; replace the file or remove it") from error
