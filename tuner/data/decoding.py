"""Decode a source into a folder: its rows in stored form by part, and all that is known of them."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from tuner import seeding
from tuner.config.schema import Data
from tuner.data import cache
from tuner.data.character_rows import CharacterRows
from tuner.data.decoded import Decoded, Request, WantedTask
from tuner.data.info import DataInfo
from tuner.data.key_splits import split_by_keys
from tuner.data.preprocess import Preprocess
from tuner.data.sources import SOURCES
from tuner.data.sources.iterable_dataset import FlowRows
from tuner.data.splits import PARTS, SplitRows, split_rows
from tuner.data.tables import TableEncoder
from tuner.data.target_units import TargetUnits
from tuner.data.targets import check_classes, check_parts, without_targets
from tuner.data.window_rows import StoredSteps, WindowRows
from tuner.errors import DataError

FORMAT = 3
"""Raised when what is stored changes its meaning; folders of another format are not opened."""


def decode(
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
            name = file_name(part, "inputs")
            files[name] = cache.write_rows(
                folder / name, chunks, n_rows=len(rows), row_shape=encoder.shape, dtype=encoder.dtype
            )
        targets = decoded.targets[rows]
        name = file_name(part, "targets")
        files[name] = cache.write_rows(
            folder / name, [targets], n_rows=len(rows), row_shape=targets.shape[1:], dtype=targets.dtype
        )
        name = file_name(part, "rows")
        files[name] = cache.write_rows(folder / name, [rows], n_rows=len(rows), row_shape=(), dtype=np.int64)
    return files


def _write_windows(folder: Path, part: str, steps: StoredSteps, preprocess: Preprocess) -> dict[str, Any]:
    """The rows that windows are gathered from, each once, and where each window begins."""
    inputs, starts = (file_name(part, what) for what in ("inputs", "starts"))
    encoder = preprocess.encoder
    return {
        inputs: cache.write_rows(
            folder / inputs, steps.chunks, n_rows=steps.n_rows, row_shape=encoder.shape[1:], dtype=encoder.dtype
        ),
        starts: cache.write_rows(
            folder / starts, [steps.starts], n_rows=len(steps.starts), row_shape=(), dtype=np.int64
        ),
    }


def file_name(part: str, what: str) -> str:
    """The file of a part that holds its inputs, targets, rows or starts."""
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
