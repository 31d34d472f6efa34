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
from tuner.config.schema import PythonData
from tuner.data.cache import write_rows
from tuner.data.datasets import Items, ItemSource, load
from tuner.data.decoded import CHUNK_BYTES, ArrayRows, Decoded, Request, Rows, Task, WantedTask
from tuner.data.encoders import ImageEncoder, ItemEncoder, encode_item, encoder_of_item
from tuner.data.global_rng import moved_since, seeded, states
from tuner.data.info import DataInfo
from tuner.data.item_keys import TARGET_KEYS
from tuner.data.items import stored_form
from tuner.data.named import NamedEncoder, stored_input
from tuner.data.parts import ArrayPart, Part, StreamPart
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array, float_scaling, pixel_scaling
from tuner.data.splits import Indices
from tuner.data.targets import check_indicators, check_tokens
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
    """The file of the target; files that the user's code reads are not known."""
    path = target_file(data.target, base_dir)
    if path is None:
        load(data.target, base_dir)
        spec = importlib.util.find_spec(data.target.rpartition(":")[0])
        path = Path(spec.origin) if spec and spec.origin else None
    return (path,) if path and path.is_file() else ()


def read(data: PythonData, request: Request) -> Decoded:
    with seeded(seeding.derive(request.seed, "decode")):
        items = Items.open(data, request.base_dir)
        n_open = len(items) - items.sizes.get("test", 0)
        if not n_open:
            raise DataError(f"{data.target}: the dataset has no items")
        encoder = _encoder(items)
        random = _is_random(items, n_open)
        values: list[Array] = []
        chunks = _chunks(items, range(n_open), encoder, values)
        if _is_stacked(data, n_open, encoder, random=random):
            rows: Rows = _stack(request.scratch / "items.npy", chunks, n_open, encoder)
            content = ""
        else:
            rows = StreamRows(items=items, encoder=encoder, seed=request.seed)
            content = _hash(chunks, ignored=random)
    task, targets = _targets(items, values, request.task)
    given = _given(items)
    labels = _labels(items, task, targets[: items.sizes["train"]])
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


def read_test(items: Items, encoder: ItemEncoder, info: DataInfo, *, seed: int) -> Part:
    """The items of the test part, read now for the first time; DataError names what is wrong with one."""
    rows = range(len(items) - items.sizes["test"], len(items))
    values: list[Array] = []
    with seeded(seeding.derive(seed, "decode")):
        chunks = _chunks(items, rows, encoder, values)
        stored = [chunk for chunk in chunks if info.in_memory]
    for row, value in zip(rows, values, strict=True):
        if info.task in ("regression", "multilabel") and len(value) != info.n_targets:
            raise DataError(f"{items.name(row)}: {len(value)} targets; the training items have another number")
    targets = torch.from_numpy(_test_targets(items, rows, np.stack(values), info))
    if info.in_memory:
        return ArrayPart(inputs=torch.from_numpy(np.concatenate(stored)), targets=targets)
    return StreamPart(items=items, rows=torch.arange(rows.start, rows.stop), targets=targets, encoder=encoder)


def _test_targets(items: Items, rows: range, table: Array, info: DataInfo) -> Array:
    if info.task == "autoencoding":
        return np.zeros((len(table), 0), dtype=np.float32)
    if info.task == "language":
        return _tokens(items, table, info.n_targets, rows.start)
    if info.task == "multilabel":
        return _indicators(items, table, info.labels, rows.start)
    if info.task == "regression":
        return _quantities(items, table, rows.start)
    if table.shape[1] != 1:
        raise DataError(f"{items.name(rows[0])}: {table.shape[1]} targets; the training items have another number")
    labels = table[:, 0]
    wrong = np.flatnonzero((labels != np.floor(labels)) | (labels < 0) | (labels >= info.n_targets))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{items.name(rows[row])}: label {labels[row]}; expected whole numbers from 0 to {info.n_targets - 1}"
            f" ({len(wrong)} of {len(labels)} items)"
        )
    return labels.astype(np.int64)


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
        if not all(_are_equal(first, other) for other in others):
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
        if isinstance(x, Mapping):
            return {name: stored_input(name, value) for name, value in x.items()}
        return {"": stored_form(x)}
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def _are_equal(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


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
        values.append(_target_value(items, row, y))
        if len(piece) * row_bytes >= CHUNK_BYTES:
            yield np.stack(piece)
            piece = []
    if piece:
        yield np.stack(piece)


def _stack(path: Path, chunks: Iterator[Array], n_rows: int, encoder: ItemEncoder) -> ArrayRows:
    write_rows(path, chunks, n_rows=n_rows, row_shape=encoder.shape, dtype=encoder.dtype)
    return ArrayRows(array=np.load(path, mmap_mode="r"), encoder=encoder)


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


def _target_value(items: Items, row: int, y: Any) -> Array:
    if y is None:
        return np.zeros(0, dtype=np.float32)
    value = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if value.dtype.kind not in "biuf" or value.ndim > 1 or value.size == 0:
        raise DataError(
            f"{items.name(row)}: the target is {y!r:.60}; expected a class from 0 to K-1 (int), a number (float),"
            " or a vector of numbers"
        )
    return np.asarray(value).reshape(-1)


def _targets(items: Items, values: list[Array], wanted: WantedTask) -> tuple[Task, Array]:
    width = len(values[0])
    for row, value in enumerate(values):
        if len(value) != width:
            raise DataError(f"{items.name(row)}: {len(value)} targets; expected {width}, as the first item has")
    table = np.stack(values)
    if not width and wanted != "autoencoding":
        raise DataError(
            f"{items.name(0)}: no target; expected (x, y), or a dict with one of {', '.join(TARGET_KEYS)}; name its key"
            " in data.target_key, or set data.task: autoencoding where there is none"
        )
    if wanted == "autoencoding":
        return wanted, np.zeros((len(table), 0), dtype=np.float32)
    if wanted == "language":
        return wanted, _tokens(items, table)
    if wanted == "multilabel":
        return wanted, _indicators(items, table, _column_names(items, table.shape[1]))
    if wanted == "auto":
        wanted = "regression" if table.dtype.kind == "f" else "classification"
    return wanted, _quantities(items, table) if wanted == "regression" else _classes(items, table)


def _tokens(items: Items, table: Array, n_tokens: int | None = None, first_row: int = 0) -> Array:
    check_tokens(table, lambda row: items.name(first_row + row), n_tokens)
    return table.astype(np.int64)


def _indicators(items: Items, table: Array, names: tuple[str, ...], first_row: int = 0) -> Array:
    check_indicators(table, names, lambda row: items.name(first_row + row))
    return table.astype(np.float32)


def _column_names(items: Items, n_columns: int) -> tuple[str, ...]:
    names = items.class_names
    return names if len(names) == n_columns else tuple(map(str, range(n_columns)))


def _quantities(items: Items, table: Array, first_row: int = 0) -> Array:
    with np.errstate(over="ignore"):
        targets = table.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{items.name(first_row + row)}: the target is {table[row].tolist()};"
            " expected finite numbers of float32's range"
        )
    return targets


def _classes(items: Items, table: Array) -> Array:
    if table.shape[1] != 1:
        raise DataError(
            f"{items.name(0)}: {table.shape[1]} targets; classification expects one class an item, as an int"
        )
    labels = table[:, 0]
    n_train = items.sizes["train"]
    wrong = np.flatnonzero((labels < 0) | (labels != np.floor(labels)) | ~(labels < n_train))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{items.name(row)}: label {labels[row]}; expected whole numbers from 0 to K-1, each class with rows of its"
            f" own ({len(wrong)} of {len(labels)} items); number the classes 0, 1, ..., or take a regression metric"
        )
    return labels.astype(np.int64)


def _labels(items: Items, task: Task, train_labels: Array) -> tuple[str, ...]:
    if task == "multilabel":
        return _column_names(items, train_labels.shape[1])
    if task != "classification":
        return ()
    n_classes = int(train_labels.max(initial=-1)) + 1
    names = items.class_names
    return names[:n_classes] if len(names) >= n_classes else tuple(str(label) for label in range(n_classes))
