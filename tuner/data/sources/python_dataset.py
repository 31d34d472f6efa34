"""A user's own dataset, stacked into one array where that is right, else streamed item by item.

Items are stacked when they fit and are the same each time they are asked for: an augmentation must not be frozen.
`data.in_memory` overrides the guess. Every item is read once to check its shape, its values and its target. Those of a
test part of its own are the exception: they are read by `read_test` alone, once the search is over.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner import seeding
from tuner.config.imported import with_imports
from tuner.config.schema import PythonData
from tuner.data.cache import write_rows
from tuner.data.collating import Collate
from tuner.data.datasets import Items, ItemSource, MapStyle, in_order, load, open_parts
from tuner.data.decoded import CHUNK_BYTES, ArrayRows, Decoded, Request, Rows
from tuner.data.encoders import ImageEncoder, ItemEncoder, encode_item, encoder_of_item
from tuner.data.global_rng import moved_since, seeded, states
from tuner.data.info import DataInfo
from tuner.data.iterated import Iterated
from tuner.data.named import NamedEncoder, same_inputs, stored_inputs
from tuner.data.own_files import files_in
from tuner.data.own_targets import known_targets, labels_of, target_value, targets_of
from tuner.data.parts import ArrayPart, StoredPart, StreamPart
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array, float_scaling, pixel_scaling
from tuner.data.sources.collated_dataset import BatchReader, look, read_collated
from tuner.data.sources.iterable_dataset import is_random, read_flow
from tuner.data.sources.token_range import Range, with_tokens
from tuner.data.splits import Indices
from tuner.errors import DataError
from tuner.registry import target_file

SHARE_OF_MEMORY = 0.25
"""Of the memory that is free, the part that stacked items may take."""
N_PROBED, N_ASKED = 5, 3
"""A flip with probability one half passes for no augmentation once in 1000 data sets, if it draws from a generator of
its own.
"""
MAX_MEASURED = 10_000
"""Training items from which the scaling of streamed data is measured; reading all of them once more could take an hour.
"""


def files(data: PythonData, base_dir: Path) -> tuple[Path, ...]:
    """The user's own modules, and the files that `data.options` names; others that the code reads are not known."""
    targets = (data.target, *((data.collate,) if data.collate else ()))
    modules = [path for target in targets if (path := _module_of(target, base_dir)) is not None]
    return (*with_imports(modules, (base_dir, Path.cwd())), *files_in(data.options, base_dir))


def _module_of(target: str, base_dir: Path) -> Path | None:
    path = target_file(target, base_dir)
    if path is None:
        load(target, base_dir)
        spec = importlib.util.find_spec(target.rpartition(":")[0])
        path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.is_file() else None


def read(data: PythonData, request: Request) -> Decoded:
    with seeded(seeding.derive(request.seed, "decode")):
        parts = open_parts(data, request.base_dir)
        flow = _flow(data, parts)
        if flow is not None and Collate.of(data, flow, request.base_dir) is not None:
            raise DataError(
                f"{flow.title}: a collate function needs items that are kept; set data.in_memory: auto or true, or give"
                " items of one shape"
            )
        if flow is not None:
            return read_flow(data, request, flow, in_order(data, parts))
        items = Items.of(data, parts)
        collate = Collate.of(data, items.parts["train"], request.base_dir)
        if collate is not None:
            return read_collated(data, request, items, collate, _given(items))
        n_open = len(items) - items.sizes.get("test", 0)
        if not n_open:
            raise DataError(f"{data.target}: the dataset has no items")
        encoder = _encoder(items)
        random = _is_random(items, n_open)
        values: list[Array] = []
        seen = Range()
        chunks = seen.through(_chunks(items, range(n_open), encoder, values))
        if _is_stacked(data, n_open, encoder, random=random):
            array = _stack(request.scratch / "items.npy", chunks, n_open, encoder)
            rows: Rows = ArrayRows(array=array, encoder=with_tokens(encoder, data, seen))
            content = ""
        else:
            content = _hash(chunks, ignored=random)
            encoder = with_tokens(encoder, data, seen)
            rows = StreamRows(items=items, encoder=encoder, seed=request.seed)
    task, targets = targets_of(items, values, request.task, items.sizes["train"])
    given = _given(items)
    labels = labels_of(items, task, targets[: items.sizes["train"]])
    return Decoded(
        task=task,
        labels=labels,
        rows=rows,
        targets=targets,
        given=given,
        n_sealed=len(items) - n_open,
        content=content,
        row_name=items.name,
    )


def _flow(data: PythonData, parts: Mapping[str, MapStyle | Iterated]) -> Iterated | None:
    """The training part, where it is an iterable that is read anew in every epoch."""
    train = parts["train"]
    if not isinstance(train, Iterated):
        if data.epoch_items is not None:
            raise DataError("data.epoch_items is for iterable datasets; take train.batches_per_epoch for this one")
        return None
    if data.in_memory is True and data.epoch_items is not None:
        raise DataError("data.in_memory: true keeps one whole pass; leave data.epoch_items out, or set it to false")
    if data.in_memory is True:
        return None
    # A collate function makes its batches anew of items that are kept; so nothing is said of them here.
    if data.in_memory is False or data.epoch_items is not None or is_random(train):
        return train
    return None if train.fits(SHARE_OF_MEMORY * available_memory_bytes()) else train


def open_rows(data: PythonData, base_dir: Path) -> Items:
    """The items of a study that has begun."""
    return Items.of(data, open_parts(data, base_dir))


def open_flow(data: PythonData, base_dir: Path) -> Iterated:
    """The training part of a study that has begun and reads it as a flow."""
    train = open_parts(data, base_dir)["train"]
    if not isinstance(train, Iterated):
        raise DataError(
            f"{data.target}: was an iterable dataset when the study began; restore it, or start another study"
        )
    return train


def open_sealed(data: PythonData, base_dir: Path) -> Items:
    """The test part of a study whose training part is a flow, which has no length."""
    parts = open_parts(data, base_dir)
    return Items.of(data, {"train": (), "test": parts["test"]})


def batches_of(data: PythonData, items: Items, base_dir: Path) -> BatchReader | None:
    """What makes batches of items, where the user's collate function does."""
    collate = Collate.of(data, items.parts["train"], base_dir)
    return None if collate is None else BatchReader(items=items, collate=collate)


def read_test(
    items: Items, encoder: ItemEncoder, info: DataInfo, *, seed: int, batched: BatchReader | None = None
) -> StoredPart:
    """The items of the test part, read now for the first time; DataError names what is wrong with one."""
    rows = range(len(items) - items.sizes["test"], len(items))
    if batched is not None:
        with seeded(seeding.derive(seed, "decode")):
            looked = look(items, rows, batched.collate)
        targets = torch.from_numpy(known_targets(lambda row: items.name(rows[row]), looked.values, info))
        numbers = torch.arange(rows.start, rows.stop)
        return StreamPart(items=items, rows=numbers, targets=targets, encoder=encoder, batched=batched)
    values: list[Array] = []
    with seeded(seeding.derive(seed, "decode")):
        chunks = _chunks(items, rows, encoder, values)
        stored = [chunk for chunk in chunks if info.in_memory]
    targets = torch.from_numpy(known_targets(lambda row: items.name(rows[row]), values, info))
    if info.in_memory:
        return ArrayPart(inputs=torch.from_numpy(np.concatenate(stored)), targets=targets)
    numbers = torch.arange(rows.start, rows.stop)
    return StreamPart(items=items, rows=numbers, targets=targets, encoder=encoder, info=info)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamRows:
    """Items that are read again in every epoch."""

    items: ItemSource
    encoder: ItemEncoder
    seed: int

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:
        """Measure at most MAX_MEASURED training items, evenly spread, as one reading gives them."""
        spread = np.linspace(0, len(train) - 1, min(len(train), MAX_MEASURED)).astype(np.int64)
        if isinstance(self.encoder, ImageEncoder):
            scaling = pixel_scaling(self._pieces(train[spread]), peak=255.0, normalize=normalize)
            return Preprocess(encoder=self.encoder, scaling=scaling)
        if isinstance(self.encoder, NamedEncoder):
            named = self.encoder.fit(lambda: self._pieces(train[spread]), normalize=normalize)
            return Preprocess(encoder=self.encoder, scaling=named)
        if self.encoder.dtype == "int64" or not normalize:
            return Preprocess(encoder=self.encoder)
        scaling = float_scaling(lambda: self._pieces(train[spread]), self.encoder.shape)
        return Preprocess(encoder=self.encoder, scaling=scaling)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> None:
        """None: nothing is stored."""

    def _pieces(self, rows: Indices) -> Iterator[Array]:
        with seeded(seeding.derive(self.seed, "measure")):
            for row in rows.tolist():
                yield _encode(self.items, row, self.items.read(row)[0], self.encoder)[None]


# ---------------------------------------------------------------------------------------------------------- the inputs


def _encode(items: ItemSource, row: int, x: Any, encoder: ItemEncoder) -> Array:
    try:
        return encode_item(x, encoder)
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def _is_random(items: Items, n_open: int) -> bool:
    """Whether an item differs from one reading to the next, or draws from a global generator."""
    before = states()
    for row in np.unique(np.linspace(0, n_open - 1, N_PROBED).astype(np.int64)).tolist():
        first, *others = (_read_stored(items, row) for _ in range(N_ASKED))
        if not all(same_inputs(first, other) for other in others):
            return True
    return moved_since(before)


def _encoder(items: Items) -> ItemEncoder:
    try:
        return encoder_of_item(items.read(0)[0])
    except ValueError as error:
        raise DataError(f"{items.name(0)}: {error}") from error


def _read_stored(items: Items, row: int) -> dict[str, Array]:
    """The inputs of an item by name, of whatever shape; one input has none."""
    x, _ = items.read(row)
    try:
        return stored_inputs(x)
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def _is_stacked(data: PythonData, n_items: int, encoder: ItemEncoder, *, random: bool) -> bool:
    if data.in_memory != "auto":
        return bool(data.in_memory)
    size_bytes = n_items * int(np.prod(encoder.shape)) * np.dtype(encoder.dtype).itemsize
    return not random and size_bytes <= SHARE_OF_MEMORY * available_memory_bytes()


def available_memory_bytes() -> int:
    """Memory that can be used without swapping; half of all memory where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _chunks(items: Items, rows: range, encoder: ItemEncoder, values: list[Array]) -> Iterator[Array]:
    """Inputs in pieces; the target of each item is appended to `values`."""
    row_bytes = int(np.prod(encoder.shape)) * np.dtype(encoder.dtype).itemsize
    piece: list[Array] = []
    for row in rows:
        x, y = items.read(row)
        piece.append(_encode(items, row, x, encoder))
        values.append(target_value(items.name, row, y))
        if len(piece) * row_bytes >= CHUNK_BYTES:
            yield np.stack(piece)
            piece = []
    if piece:
        yield np.stack(piece)


def _stack(path: Path, chunks: Iterator[Array], n_rows: int, encoder: ItemEncoder) -> Array:
    write_rows(path, chunks, n_rows=n_rows, row_shape=encoder.shape, dtype=encoder.dtype)
    array: Array = np.load(path, mmap_mode="r")
    return array


def _hash(chunks: Iterator[Array], *, ignored: bool) -> str:
    """A hash of all inputs; of none of them when they are `ignored`, since they differ from one reading to the next."""
    hashed = hashlib.sha256()
    for chunk in chunks:
        if not ignored:
            hashed.update(np.ascontiguousarray(chunk).data)
    return hashed.hexdigest()


# --------------------------------------------------------------------------------------------------------- the targets


def _given(items: Items) -> dict[str, Indices]:
    """The rows of val where the user gives them; a test part of its own has no rows here, and none is cut."""
    begins = 0
    given: dict[str, Indices] = {}
    for part, size in items.sizes.items():
        if part == "test":
            given[part] = np.arange(0)
        elif part != "train":
            given[part] = np.arange(begins, begins + size)
        begins += size
    return given
