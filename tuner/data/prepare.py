"""Decode a data set once, for all workers of a study and all of its runs."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner import seeding
from tuner.config.metrics import TASKS, find
from tuner.config.schema import Data, PythonData
from tuner.data import cache
from tuner.data.cache import DamagedError, FileRecord
from tuner.data.character_rows import CharacterRows
from tuner.data.datasets import Items, ItemSource
from tuner.data.decoded import Decoded, Request, WantedTask
from tuner.data.flows import FlowPart, Part
from tuner.data.info import DataInfo
from tuner.data.key_splits import split_by_keys
from tuner.data.parts import ArrayPart, StoredPart, StreamPart
from tuner.data.preprocess import Preprocess
from tuner.data.sampling import check_weighted
from tuner.data.sources import SOURCES
from tuner.data.sources.collated_dataset import BatchReader
from tuner.data.sources.iterable_dataset import FlowRows
from tuner.data.sources.python_dataset import batches_of, open_flow, open_sealed, read_test
from tuner.data.splits import PARTS, Indices, SplitRows, split_rows
from tuner.data.tables import TableEncoder
from tuner.data.target_units import TargetUnits
from tuner.data.targets import check_classes, check_parts, without_targets
from tuner.data.window_rows import StoredSteps, WindowRows
from tuner.errors import DataError

FORMAT = 2
"""Raised when what is stored changes its meaning; folders of another format are not opened."""
NOT_DECODED = {
    "batch_size",
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "timeout",
    "drop_last",
    "augment",
    "perturb",
    "bucket",
    "sampler",
}
"""Options that may vary from trial to trial without the data being decoded again."""

logger = logging.getLogger(__name__)


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


def prepare(data: Data, *, metric: str, seed: int, base_dir: Path, cache_dir: Path) -> Prepared:
    """Open the decoded data below `cache_dir`, after decoding it there if no process has done so.

    `seed` fixes the split, `metric` the task where the data allows two, `base_dir` is the folder of the space file.
    Processes that call at once wait for the first. Raises NotFoundError (files), DataError (contents), ConfigError
    (python targets, a sampler that does not fit) and StorageError (no space).
    """
    prepared = _prepared(data, metric=metric, seed=seed, base_dir=base_dir, cache_dir=cache_dir)
    if data.sampler == "weighted":
        check_weighted(prepared.info)
    return prepared


def _prepared(data: Data, *, metric: str, seed: int, base_dir: Path, cache_dir: Path) -> Prepared:
    cache_dir.mkdir(parents=True, exist_ok=True)
    wanted, tasks = _wanted_task(data, metric), _tasks_of(metric)
    with cache.locked(cache_dir / "lock"):
        folder = cache_dir / _key(data, wanted, tasks, seed, base_dir)
        try:
            return _open(folder, data, base_dir, seed)
        except DamagedError as problem:
            if folder.exists():
                logger.warning("%s; decoding the data again", problem)
        cache.build(folder, lambda scratch: _decode(scratch, data, wanted, tasks, seed=seed, base_dir=base_dir))
        return _open(folder, data, base_dir, seed, is_fresh=True)


def read_source(data: Data, *, metric: str, seed: int, base_dir: Path, scratch: Path) -> Decoded:
    """The data as its source has it, neither split nor encoded; raises as `prepare` does."""
    request = Request(
        base_dir=base_dir,
        task=_wanted_task(data, metric),
        tasks=_tasks_of(metric),
        seed=seed,
        scratch=scratch,
    )
    return SOURCES[data.kind].read(data, request)


def _wanted_task(data: Data, metric: str) -> WantedTask:
    """What `data.task` says; else what the metric leaves, where that is one of the two that targets mostly are."""
    tasks = _tasks_of(metric)
    if data.task != "auto":
        if data.task not in tasks:
            wanted = " and ".join(task for task in TASKS if task in tasks)
            raise DataError(
                f"data.task is {data.task}, but objective.metric {metric} is for {wanted}; change one of them"
            )
        return data.task
    if data.own_task in tasks:
        return data.own_task
    usual: list[WantedTask] = [task for task in ("classification", "regression") if task in tasks]
    if len(usual) == 1:
        return usual[0]
    others: list[WantedTask] = [task for task in ("multilabel", "language") if task in tasks]
    return others[0] if not usual and len(others) == 1 else "auto"


def _tasks_of(metric: str) -> frozenset[str]:
    """The tasks of a metric; own training code has metrics of its own, which say nothing."""
    found = find(metric)
    return frozenset(TASKS if found is None else found.tasks)


def _key(data: Data, wanted: WantedTask, tasks: frozenset[str], seed: int, base_dir: Path) -> str:
    """A name for everything that the decoded data depends on."""
    sources = [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in SOURCES[data.kind].files(data, base_dir)
    ]
    section = data.model_dump(mode="json", exclude=NOT_DECODED)
    text = json.dumps(
        [FORMAT, section, wanted, sorted(tasks), seed, str(base_dir.resolve()), sources], sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()


# -------------------------------------------------------------------------------------------------------------- decode


def _decode(
    folder: Path, data: Data, wanted: WantedTask, tasks: frozenset[str], *, seed: int, base_dir: Path
) -> dict[str, Any]:
    """Write all parts into `folder`; the manifest's content."""
    scratch = folder / "scratch"
    scratch.mkdir()
    request = Request(base_dir=base_dir, task=wanted, tasks=tasks, seed=seed, scratch=scratch)
    decoded = SOURCES[data.kind].read(data, request)
    if wanted == "autoencoding":
        decoded = without_targets(decoded)
    split = _split(decoded, data, seed)
    preprocess = decoded.rows.fit(split.train, normalize=data.normalize)
    if wanted == "autoencoding" and preprocess.input_dtype != "float32":
        raise DataError("data.task: autoencoding rebuilds numbers, and these inputs are tokens; take task: language")
    files = _write_parts(folder, decoded, split, preprocess)
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    fingerprint = _fingerprint(decoded, preprocess, files)
    info = _info(data, decoded, split, preprocess, fingerprint)
    flow = {"skip": decoded.rows.skip} if isinstance(decoded.rows, FlowRows) else None
    return {
        "format": FORMAT,
        "info": info.to_json(),
        "preprocess": preprocess.to_json(),
        "files": files,
        **({"flow": flow} if flow else {}),
    }


def _split(decoded: Decoded, data: Data, seed: int) -> SplitRows:
    stratify = data.split.stratify and decoded.task == "classification" and decoded.keys is None
    check_classes(decoded, stratify=stratify)
    pool = decoded.pool
    classes = decoded.targets[pool] if stratify else None
    split_seed = seeding.derive(seed, "split")
    if decoded.keys is None:
        split = split_rows(pool, classes, data.split, given=decoded.given, seed=split_seed)
    else:
        split = split_by_keys(pool, decoded.keys[pool], data.split, given=decoded.given, seed=split_seed)
    check_parts(decoded, split)
    return split


def _write_parts(folder: Path, decoded: Decoded, split: SplitRows, preprocess: Preprocess) -> dict[str, Any]:
    files: dict[str, Any] = {}
    encoder = preprocess.encoder
    for part in PARTS:
        rows = split[part]
        if not len(rows):
            continue
        if isinstance(decoded.rows, WindowRows | CharacterRows):
            files |= _write_windows(folder, part, decoded.rows.steps(rows, preprocess), preprocess)
        elif (chunks := decoded.rows.chunks(rows, preprocess)) is not None:
            name = _file_name(part, "inputs")
            files[name] = cache.write_rows(
                folder / name, chunks, n_rows=len(rows), row_shape=encoder.shape, dtype=encoder.dtype
            )
        targets = decoded.targets[rows]
        name = _file_name(part, "targets")
        files[name] = cache.write_rows(
            folder / name, [targets], n_rows=len(rows), row_shape=targets.shape[1:], dtype=targets.dtype
        )
        name = _file_name(part, "rows")
        files[name] = cache.write_rows(folder / name, [rows], n_rows=len(rows), row_shape=(), dtype=np.int64)
    return files


def _write_windows(folder: Path, part: str, steps: StoredSteps, preprocess: Preprocess) -> dict[str, Any]:
    """The rows that windows are gathered from, each once, and where each window begins."""
    inputs, starts = (_file_name(part, what) for what in ("inputs", "starts"))
    encoder = preprocess.encoder
    return {
        inputs: cache.write_rows(
            folder / inputs, steps.chunks, n_rows=steps.n_rows, row_shape=encoder.shape[1:], dtype=encoder.dtype
        ),
        starts: cache.write_rows(
            folder / starts, [steps.starts], n_rows=len(steps.starts), row_shape=(), dtype=np.int64
        ),
    }


def _file_name(part: str, what: str) -> str:
    return f"{part}_{what}.npy"


def _fingerprint(decoded: Decoded, preprocess: Preprocess, files: dict[str, Any]) -> str:
    """SHA-256 of the decoded rows, their order and the split; paths and times are no part of it."""
    # The split is in it as the row numbers of each part.
    hashes = {name: record["sha256"] for name, record in files.items()}
    content = [decoded.task, decoded.labels, decoded.content, preprocess.to_json(), hashes]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _info(data: Data, decoded: Decoded, split: SplitRows, preprocess: Preprocess, fingerprint: str) -> DataInfo:
    encoder = preprocess.encoder
    is_scaled = decoded.task == "regression" and data.scale_targets
    units = TargetUnits.fit(decoded.targets[split.train]) if is_scaled else None
    return DataInfo(
        kind=data.kind,
        task=decoded.task,
        input_shape=preprocess.input_shape,
        input_dtype=preprocess.input_dtype,
        n_tokens=preprocess.n_tokens,
        padding=preprocess.padding,
        n_targets=_n_targets(decoded, preprocess),
        labels=decoded.labels,
        n_train=len(split.train),
        n_val=len(split.val),
        n_test=len(split.test) + decoded.n_sealed,
        fingerprint=fingerprint,
        class_counts=_class_counts(decoded, split),
        target_means=units.means if units else (),
        target_stds=units.stds if units else (),
        layout=decoded.layout,
        baselines=decoded.baselines,
        categories=encoder.categories if isinstance(encoder, TableEncoder) else (),
        in_memory=decoded.rows.chunks(split.train[:1], preprocess) is not None,
        inputs=preprocess.inputs,
    )


def _class_counts(decoded: Decoded, split: SplitRows) -> tuple[int, ...]:
    if decoded.task == "multilabel":
        return tuple(decoded.targets[split.train].sum(axis=0, dtype=np.int64).tolist())
    if decoded.task != "classification":
        return ()
    counts = np.bincount(decoded.targets[split.train], minlength=len(decoded.labels))
    return tuple(counts.tolist())


def _n_targets(decoded: Decoded, preprocess: Preprocess) -> int:
    if decoded.task == "autoencoding":
        return math.prod(preprocess.input_shape)
    if decoded.task == "language":
        return max(preprocess.n_tokens or 0, int(decoded.targets.max()) + 1)
    return len(decoded.labels) if decoded.task == "classification" else int(decoded.targets.shape[1])


# ---------------------------------------------------------------------------------------------------------------- open


def _open(folder: Path, data: Data, base_dir: Path, seed: int, *, is_fresh: bool = False) -> Prepared:
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
        if info.n_test and _file_name("test", "targets") not in records:
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
        file_name = _file_name(name, "rows")
        if file_name not in records:  # a test part of its own
            return np.arange(info.n_test)
        numbers: Indices = cache.open_rows(folder / file_name, records[file_name], is_fresh=is_fresh).numpy()
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
        file_name = _file_name(name, what)
        return cache.open_rows(folder / file_name, records[file_name], is_fresh=is_fresh)

    targets = rows_of("targets").clone()
    if items is None and _file_name(name, "starts") in records:
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
    name = _file_name("train", "targets")
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
