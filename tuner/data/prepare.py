"""Data for a study: decoded once, for all of its workers and runs, and opened by each."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from tuner.config.metrics import TASKS, find
from tuner.config.schema import Data
from tuner.data import cache
from tuner.data.cache import DamagedError
from tuner.data.decoded import Decoded, Request, WantedTask
from tuner.data.decoding import FORMAT, decode
from tuner.data.info import NOT_DECODED
from tuner.data.prepared import Prepared, opened
from tuner.data.sampling import check_weighted
from tuner.data.sources import SOURCES
from tuner.errors import DataError

__all__ = ["Prepared", "prepare", "read_source"]

logger = logging.getLogger(__name__)


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
            return opened(folder, data, base_dir, seed)
        except DamagedError as problem:
            if folder.exists():
                logger.warning("%s; decoding the data again", problem)
        cache.build(folder, lambda scratch: decode(scratch, data, wanted, tasks, seed=seed, base_dir=base_dir))
        return opened(folder, data, base_dir, seed, is_fresh=True)


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
