"""Data that is ready for training: what a folder of decoded data holds, as parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.config.schema import Data, PythonData
from tuner.data import cache
from tuner.data.cache import DamagedError, FileRecord
from tuner.data.datasets import Items, ItemSource
from tuner.data.decoding import FORMAT, file_name
from tuner.data.flows import FlowPart, Part
from tuner.data.info import DataInfo
from tuner.data.parts import ArrayPart, StoredPart, StreamPart
from tuner.data.preprocess import Preprocess
from tuner.data.sources import SOURCES
from tuner.data.sources.collated_dataset import BatchReader
from tuner.data.sources.python_dataset import batches_of, open_flow, open_sealed, read_test
from tuner.data.splits import Indices
from tuner.data.target_units import TargetUnits
from tuner.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Data that is ready for training. The test rows are reached through `open_test` alone."""

    info: DataInfo
    train: Part
    val: StoredPart
    preprocess: Preprocess
    base_dir: Path
    """The folder of the space file."""
    row_numbers: Callable[[str], Indices] = field(repr=False)
    """Of train, val or test: what the source calls each row of the part."""
    _open_test: Callable[[], StoredPart | None] = field(repr=False)
    _in_units: dict[TargetUnits, Prepared] = field(default_factory=dict, repr=False)

    def in_units(self, units: TargetUnits | None) -> Prepared:
        """The same with scaled targets in the training part, and in no other; made once, as a part holds memory."""
        if units is None:
            return self
        if units not in self._in_units:
            self._in_units[units] = replace(self, train=self.train.in_units(units), _in_units={})
        return self._in_units[units]

    def open_test(self) -> StoredPart | None:
        """The test rows, None when there are none; for the final evaluation alone, as a search must not see them."""
        return self._open_test()


def opened(folder: Path, data: Data, base_dir: Path, seed: int, *, is_fresh: bool = False) -> Prepared:
    """What a folder holds; DamagedError when it is not there or not whole."""
    content = cache.read_manifest(folder)
    if content["format"] != FORMAT:
        raise DamagedError(f"{folder}: format {content['format']}; expected {FORMAT}")
    info = DataInfo.from_json(content["info"])
    preprocess = Preprocess.from_json(content["preprocess"])
    records = {name: FileRecord(**record) for name, record in content["files"].items()}
    flow = content.get("flow")
    items = None if info.in_memory or flow else _open_items(data, base_dir, info)

    batched = batches_of(data, items, base_dir) if isinstance(data, PythonData) and isinstance(items, Items) else None

    def part(name: str) -> StoredPart:
        own = info if isinstance(data, PythonData) else None
        return _open_part(folder, name, records, preprocess, items, batched, own, is_fresh=is_fresh and name != "test")

    def test() -> StoredPart | None:
        if info.n_test and file_name("test", "targets") not in records:
            encoder: Any = preprocess.encoder
            sealed: ItemSource
            if flow and isinstance(data, PythonData):
                sealed = open_sealed(data, base_dir)
            else:
                sealed = _open_items(data, base_dir, info)
            assert isinstance(sealed, Items), f"{data.kind} has read its test part"
            return read_test(sealed, encoder, info, seed=seed, batched=batched and replace(batched, items=sealed))
        try:
            return part("test") if info.n_test else None
        except DamagedError as error:
            raise DataError(f"{error}; remove {folder} and run again: the data is decoded anew") from error

    def row_numbers(name: str) -> Indices:
        stored = file_name(name, "rows")
        if stored not in records:  # a test part of its own
            return np.arange(info.n_test)
        numbers: Indices = cache.open_rows(folder / stored, records[stored], is_fresh=is_fresh).numpy()
        return numbers

    return Prepared(
        info=info,
        train=_open_flow(folder, records, data, base_dir, preprocess, info, flow["skip"]) if flow else part("train"),
        val=part("val"),
        preprocess=preprocess,
        base_dir=base_dir,
        row_numbers=row_numbers,
        _open_test=test,
    )


def _open_part(
    folder: Path,
    name: str,
    records: dict[str, FileRecord],
    preprocess: Preprocess,
    items: ItemSource | None,
    batched: BatchReader | None,
    info: DataInfo | None,
    *,
    is_fresh: bool,
) -> StoredPart:
    def rows_of(what: str) -> torch.Tensor:
        stored = file_name(name, what)
        return cache.open_rows(folder / stored, records[stored], is_fresh=is_fresh)

    targets = rows_of("targets").clone()
    if items is None and file_name(name, "starts") in records:
        starts = rows_of("starts").clone()
        return ArrayPart(inputs=rows_of("inputs"), targets=targets, starts=starts, window=preprocess.input_shape[0])
    if items is None:
        return ArrayPart(inputs=rows_of("inputs"), targets=targets)
    encoder: Any = preprocess.encoder
    return StreamPart(
        items=items, rows=rows_of("rows").clone(), targets=targets, encoder=encoder, batched=batched, info=info
    )


def _open_flow(
    folder: Path,
    records: dict[str, FileRecord],
    data: Data,
    base_dir: Path,
    preprocess: Preprocess,
    info: DataInfo,
    skip: int,
) -> FlowPart:
    assert isinstance(data, PythonData), f"{data.kind} is no iterable dataset"
    name = file_name("train", "targets")
    targets = cache.open_rows(folder / name, records[name], is_fresh=False).clone()
    encoder: Any = preprocess.encoder
    return FlowPart(items=open_flow(data, base_dir), skip=skip, targets=targets, encoder=encoder, info=info)


def _open_items(data: Data, base_dir: Path, info: DataInfo) -> ItemSource:
    open_items = SOURCES[data.kind].open_items
    if open_items is None:
        raise AssertionError(f"{data.kind} has no items")
    items = open_items(data, base_dir)
    expected = info.n_train + info.n_val + info.n_test
    if len(items) != expected:
        name = data.target if isinstance(data, PythonData) else data.kind
        raise DataError(
            f"{name}: {len(items)} items; there were {expected} when the study began: restore the data, or start"
            " another study"
        )
    return items
