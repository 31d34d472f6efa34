"""Where trials train: how many workers, with how many threads, on which devices.

What is decided here are pure functions of what was found and measured. The first session of a study decides about its
threads; later ones keep them, since the bits of a result depend on them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tuner.config.schema import Search, TrialConfig
from tuner.data.info import DataInfo
from tuner.execution.protocol import GpuUse, Machine
from tuner.paths import write_atomically
from tuner.workflows import machine as this_machine

WORKER_BYTES = 2**28
"""Memory of one more worker on the CPU: 100 to 200 MB of its own (MLPs and small CNNs, torch 2.15), with a margin."""
GPU_WORKER_BYTES = 2**31
"""Memory of the host that one more worker on a GPU takes: CUDA's libraries and context."""
GPU_CONTEXT_BYTES = 2**29
"""Memory of the card that a process takes before it has made a tensor."""
GPU_SHARE = 0.8
"""Of a card's free memory, what all workers on it may plan to use: trials of the space can be larger than its base."""
MAX_WORKERS_PER_GPU = 4
GAIN = 1.3
"""How much faster a step must be with more threads: a smaller gain is within what such a short measurement sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where trials train."""

    workers: int
    threads: int
    devices: tuple[str, ...]
    n_cores: int = 1
    """Cores that each worker may keep busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is to train on."""

    n_cores: int
    free_bytes: int | None
    """None when nothing says."""
    devices: tuple[str, ...]

    @classmethod
    def here(cls, machine: Machine) -> Found:
        return cls(n_cores=this_machine.n_cores(), free_bytes=this_machine.free_bytes(), devices=machine.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A placement whose threads, and on GPUs whose workers, may still have to be measured."""

    workers: int
    thread_choices: tuple[int, ...]
    devices: tuple[str, ...]
    n_cores: int
    max_workers: int
    """That memory, cores and trials allow; more than `workers` only where a GPU may take several."""

    @property
    def is_open(self) -> bool:
        """Whether there is anything to measure."""
        return len(self.thread_choices) > 1 or self.max_workers > self.workers

    def settled(self, *, threads: int | None = None, workers: int | None = None) -> Placement:
        """The placement, with what was measured; without it, with the plan's first choices."""
        n_workers = workers or self.workers
        share = max(1, self.n_cores // n_workers)
        chosen = threads or (self.thread_choices[0] if n_workers == self.workers else share)
        return Placement(workers=n_workers, threads=chosen, devices=self.devices, n_cores=share)


def plan(search: Search, device: str, found: Found, *, n_left: int | None, kept_threads: int | None = None) -> Plan:
    """Workers and the numbers of threads that come into question.

    `n_left` trials (None: no limit) are still to be trained; `kept_threads` is what the study has been trained with.
    """
    devices = _devices(device, found.devices)
    on_cpu = devices == ("cpu",)
    kept = search.threads if isinstance(search.threads, int) else kept_threads if on_cpu else None
    most = _most_workers(found, n_left, WORKER_BYTES if on_cpu else GPU_WORKER_BYTES)
    if isinstance(search.workers, int):
        workers = max_workers = search.workers
    elif on_cpu:
        workers = max_workers = min(most, max(1, found.n_cores // (kept or 1)))
    else:
        workers, max_workers = min(most, len(devices)), most
    share = max(1, found.n_cores // workers)
    return Plan(
        workers=workers,
        thread_choices=_thread_choices(search, kept, share, on_cpu=on_cpu),
        devices=devices,
        n_cores=found.n_cores,
        max_workers=max_workers if any(name.startswith("cuda") for name in devices) else workers,
    )


def _devices(asked: str, there: tuple[str, ...]) -> tuple[str, ...]:
    if asked == "auto":
        return there or ("cpu",)
    of_kind = tuple(name for name in there if name.startswith(f"{asked}:"))
    return of_kind or (asked,)


def _most_workers(found: Found, n_left: int | None, worker_bytes: int) -> int:
    limits = [found.n_cores]
    if n_left is not None:
        limits.append(n_left)
    if found.free_bytes is not None:
        limits.append(found.free_bytes // worker_bytes)
    return max(1, min(limits))


def _thread_choices(search: Search, kept: int | None, share: int, *, on_cpu: bool) -> tuple[int, ...]:
    if isinstance(search.threads, int):
        return (search.threads,)
    if kept is not None and kept <= share:
        return (kept,)
    return (1, share) if on_cpu and share > 1 else (share,)


def choose_threads(step_seconds: Mapping[int, float]) -> int | None:
    """The fewest threads that no larger number beats clearly; None when nothing was measured."""
    chosen: int | None = None
    for threads in sorted(step_seconds):
        if chosen is None or step_seconds[threads] * GAIN <= step_seconds[chosen]:
            chosen = threads
    return chosen


def workers_per_gpu(use: GpuUse, *, n_cores: int, n_gpus: int) -> int:
    """One, and more while the card is idle, has room for them, and each has a core to launch from."""
    by_memory = int(GPU_SHARE * use.free_bytes) // (use.peak_bytes + GPU_CONTEXT_BYTES)
    by_time = math.floor(1.0 / use.busy_share) if use.busy_share > 0 else MAX_WORKERS_PER_GPU
    return max(1, min(by_memory, by_time, n_cores // max(1, n_gpus), MAX_WORKERS_PER_GPU))


# ------------------------------------------------------------------------------------------------------- remembered


class Remembered:
    """Numbers that were measured on this machine before: a space that is started anew gets the same, and so bits."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, what: str) -> Remembered:
        """In the user's cache; a file for each kind of number."""
        return cls(Path.home() / ".cache" / "tuner" / f"{what}.json")

    def get(self, key: str) -> int | None:
        found = self._read().get(key)
        return found if type(found) is int and found > 0 else None

    def put(self, key: str, threads: int) -> None:
        with suppress(OSError):  # it only saves time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps({**self._read(), key: threads}, indent=1).encode())

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def memory_key(
    config: TrialConfig, info: DataInfo, thread_choices: tuple[int, ...], versions: Mapping[str, str]
) -> str:
    """Everything that the best number of threads depends on: the shape of a step, and the machine."""
    parts = [
        config.model.model_dump(mode="json"),
        config.optimizer.kind,
        config.loss.kind,
        config.data.batch_size,
        info.input_shape,
        info.n_targets,
        this_machine.cpu_name(),
        this_machine.n_cores(),
        thread_choices,
        dict(versions),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
