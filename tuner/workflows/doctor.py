"""What is installed, what there is to train on, and whether the database is healthy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tuner.errors import NotFoundError, TunerError
from tuner.execution.processes import ProcessExecutor
from tuner.paths import sqlite_file
from tuner.study.queries import StudyReader

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
    return [_python(), *(_package(name) for name in PACKAGES), _devices(), _disk(), _database(storage)]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", is_ok=True, text=f"{version}; SQLite {sqlite3.sqlite_version}")


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, is_ok=True, text=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name=name, is_ok=False, text=f"missing; install it with `pip install {name}`")


def _devices() -> Finding:
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    executor = ProcessExecutor()
    try:
        machine = executor.machine()
    except TunerError as error:
        return Finding(name="devices", is_ok=False, text=str(error))
    finally:
        executor.close()
    found = ", ".join(f"{device} ({name})" for device, name in zip(machine.devices, machine.device_names, strict=True))
    workers = len(machine.devices) or n_cores
    threads = max(1, n_cores // workers)
    text = f"{found or 'no GPU'}; {n_cores} cores; a search takes {workers} workers of {threads} threads"
    return Finding(name="devices", is_ok=True, text=text)


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
