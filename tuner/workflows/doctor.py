"""What is installed, what there is to train on, and whether the database is healthy."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tuner.config.schema import Search
from tuner.errors import NotFoundError, TunerError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Machine
from tuner.paths import sqlite_file
from tuner.study.queries import StudyReader
from tuner.workflows.placement import Found, Plan, plan

PACKAGES = ("torch", "torchvision", "optuna", "sqlalchemy", "scikit-learn", "numpy", "pandas", "optuna-dashboard")
LOW_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at, and the remedy when it is not well."""

    name: str
    is_ok: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(storage: str) -> list[Finding]:
    """Look at everything; never raises, never creates anything."""
    return [_python(), *(_package(name) for name in PACKAGES), *_training(), _disk(), _database(storage)]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", is_ok=True, text=f"{version}; SQLite {sqlite3.sqlite_version}")


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, is_ok=True, text=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name=name, is_ok=False, text=f"missing; install it with `pip install {name}`")


def _training() -> list[Finding]:
    """What a search would train on, with how many workers, and how it would read its data."""
    executor = ProcessExecutor()
    try:
        machine = executor.machine()
    except TunerError as error:
        return [Finding(name="devices", is_ok=False, text=str(error))]
    finally:
        executor.close()
    found = Found.here(machine)
    planned = plan(Search(), "auto", found, n_left=None)
    return [
        Finding(name="devices", is_ok=True, text=_devices(machine, found, planned)),
        Finding(name="data", is_ok=True, text=_data(planned)),
    ]


def _devices(machine: Machine, found: Found, planned: Plan) -> str:
    names = zip(machine.devices, machine.device_names, strict=True)
    accelerators = ", ".join(f"{device} ({name})" for device, name in names) or "no GPU"
    memory = "" if found.free_bytes is None else f", {found.free_bytes / 2**30:.1f} GiB of memory free"
    placed = planned.settled()
    workers = f"{placed.workers} worker{'s' * (placed.workers > 1)}"
    threads = f"{placed.threads} thread{'s' * (placed.threads > 1)}"
    more = " (more where they leave a GPU idle)" if planned.max_workers > planned.workers else ""
    return f"{accelerators}; {found.n_cores} cores{memory}; a search takes {workers} of {threads}{more}"


def _data(planned: Plan) -> str:
    free_cores = max(0, planned.settled().n_cores - 1)
    loaders = f"by up to {free_cores} loader processes a worker" if free_cores else "by the worker itself"
    streamed = f"streamed data is read {loaders}, or by more where it waits for a disk"
    if not any(device.startswith("cuda") for device in planned.devices):
        return f"stored rows are memory-mapped, whole batches are indexed; {streamed}"
    return (
        f"stored rows are kept on the GPU when they take at most half of its free memory, else copied ahead of the"
        f" training; {streamed}, copied ahead too"
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB free here"
    is_ok = free >= LOW_DISK_BYTES
    return Finding(name="disk", is_ok=is_ok, text=text if is_ok else f"{text}; make room: checkpoints need it")


def _database(storage: str) -> Finding:
    try:
        studies = StudyReader.open(storage).studies()
    except NotFoundError:
        return Finding(
            name="database", is_ok=True, text=f"{sqlite_file(storage)} is not there yet; a search creates it"
        )
    except TunerError as error:
        return Finding(name="database", is_ok=False, text=str(error))
    return Finding(name="database", is_ok=True, text=f"whole, {len(studies)} studies")
