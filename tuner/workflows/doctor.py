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
from tuner.paths import StudyPaths, sqlite_file
from tuner.study.health import StudyHealth, check_database, folders_without_study, studies_of, versions_of
from tuner.study.queries import StudyReader
from tuner.workflows.installed import Package, extras, required, requirements
from tuner.workflows.placement import Found, Plan, plan

LOW_DISK_BYTES = 2 * 2**30
LOW_MEMORY_BYTES = 2**30
LOW_SHARED_BYTES = 64 * 2**20
"""What docker gives, of which two loader processes with images take more."""
SHARED = Path("/dev/shm")  # noqa: S108 - only looked at
NVIDIA = Path("/proc/driver/nvidia/version")
N_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    is_ok: bool
    text: str
    remedy: str = ""
    """What to do, or what could be done; empty where there is nothing."""

    @property
    def level(self) -> str:
        if not self.is_ok:
            return "FAIL"
        return "note" if self.remedy else "ok"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "level": self.level}


def examine(storage: str) -> list[Finding]:
    """Look at everything; never raises, never creates anything."""
    lines = requirements()
    return [
        _python(),
        *(_package(package) for package in required(lines)),
        *(_extra(name, packages) for name, packages in extras(lines).items()),
        *_training(),
        *_disks(storage),
        *_database(storage),
    ]


# -------------------------------------------------------------------------------------------------------- what is there


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", is_ok=True, text=f"{version}; SQLite {sqlite3.sqlite_version}")


def _package(package: Package) -> Finding:
    if package.is_met:
        return Finding(name=package.name, is_ok=True, text=package.version)
    there = f"{package.version}, which is too old for {package.wanted}" if package.version else "missing"
    return Finding(name=package.name, is_ok=False, text=there, remedy=f"pip install '{package.name}{package.wanted}'")


def _extra(name: str, packages: list[Package]) -> Finding:
    missing = [package.name for package in packages if not package.is_met]
    if missing:
        text = f"not installed ({', '.join(missing)})"
        return Finding(
            name=f"extra {name}", is_ok=True, text=text, remedy=f"if you need it: pip install 'tuner[{name}]'"
        )
    found = ", ".join(f"{package.name} {package.version}" for package in packages)
    return Finding(name=f"extra {name}", is_ok=True, text=found)


# ------------------------------------------------------------------------------------------------- what trains, and how


def _training() -> list[Finding]:
    """What a search would train on, with how many workers, and how it would read its data."""
    executor = ProcessExecutor()
    try:
        machine = executor.machine()
    except TunerError as error:
        remedy = "`python -c 'import torch'` shows what is wrong with torch; pip install --force-reinstall torch"
        return [Finding(name="devices", is_ok=False, text=str(error), remedy=remedy)]
    finally:
        executor.close()
    found = Found.here(machine)
    planned = plan(Search(), "auto", found, n_left=None)
    return [
        _devices(machine, found, planned),
        *_memory(found),
        Finding(name="data", is_ok=True, text=_data(planned)),
        *_shared_memory(),
    ]


def _devices(machine: Machine, found: Found, planned: Plan) -> Finding:
    names = zip(machine.devices, machine.device_names, strict=True)
    accelerators = ", ".join(f"{device} ({name})" for device, name in names) or "no GPU"
    memory = "" if found.free_bytes is None else f", {found.free_bytes / 2**30:.1f} GiB of memory free"
    placed = planned.settled()
    workers = f"{placed.workers} worker{'s' * (placed.workers > 1)}"
    threads = f"{placed.threads} thread{'s' * (placed.threads > 1)}"
    more = " (more where they leave a GPU idle)" if planned.max_workers > planned.workers else ""
    text = f"{accelerators}; {found.n_cores} cores{memory}; a search takes {workers} of {threads}{more}"
    if NVIDIA.exists() and not machine.devices:
        remedy = (
            f"torch {metadata.version('torch')} cannot use the NVIDIA card that is here: install the build for your"
            " driver, see https://pytorch.org/get-started/locally"
        )
        return Finding(name="devices", is_ok=False, text=text, remedy=remedy)
    return Finding(name="devices", is_ok=True, text=text)


def _memory(found: Found) -> list[Finding]:
    if found.free_bytes is None or found.free_bytes >= LOW_MEMORY_BYTES:
        return []
    text = f"{found.free_bytes / 2**20:.0f} MiB are free; a worker takes some 300"
    return [Finding(name="memory", is_ok=False, text=text, remedy="end other programs, or search with --workers 1")]


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


def _shared_memory() -> list[Finding]:
    if not SHARED.is_dir() or (free := shutil.disk_usage(SHARED).free) > LOW_SHARED_BYTES:
        return []
    text = f"{free / 2**20:.0f} MiB free in {SHARED}, through which loader processes give their batches"
    return [
        Finding(
            name="shared memory",
            is_ok=True,
            text=text,
            remedy="for streamed data: docker run --shm-size=1g, or data.num_workers: 0",
        )
    ]


def _disks(storage: str) -> list[Finding]:
    """The working directory, and the place of the database where that is on another disk."""
    places = {"disk": Path.cwd()}
    try:
        path = sqlite_file(storage)
    except TunerError:
        path = None  # which the database's own finding says
    if path is not None and path.parent.is_dir() and path.parent.resolve() != Path.cwd():
        places["disk of the database"] = path.parent
    return [_disk(name, place) for name, place in places.items()]


def _disk(name: str, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    where = "here" if place == Path.cwd() else f"in {place}"
    text = f"{free / 2**30:.1f} GiB free {where}"
    if free >= LOW_DISK_BYTES:
        return Finding(name=name, is_ok=True, text=text)
    return Finding(name=name, is_ok=False, text=text, remedy="make room: checkpoints need it")


# --------------------------------------------------------------------------------------------------------- the database


def _database(storage: str) -> list[Finding]:
    try:
        reader = StudyReader.open(storage)
        damage = check_database(storage)
        studies = studies_of(reader, storage)
        n_studies = len(reader.studies())
    except NotFoundError:
        text = f"{sqlite_file(storage)} is not there yet; a search creates it"
        return [Finding(name="database", is_ok=True, text=text), *_orphans(storage, frozenset())]
    except TunerError as error:
        return [Finding(name="database", is_ok=False, text=str(error), remedy="name another database with --storage")]
    if damage:
        remedy = f"restore a copy, or rescue it: sqlite3 {sqlite_file(storage)} .recover | sqlite3 rescued.db"
        return [Finding(name="database", is_ok=False, text=f"damaged: {damage}", remedy=remedy)]
    text = f"whole, {n_studies} stud{'y' if n_studies == 1 else 'ies'}"
    names = frozenset(study.name for study in studies)
    return [
        Finding(name="database", is_ok=True, text=text),
        *_version(storage),
        *(finding for study in studies for finding in _study(study, storage)),
        *_orphans(storage, names),
    ]


def _version(storage: str) -> list[Finding]:
    there, ours = versions_of(storage)
    if there == ours:
        return [Finding(name="tables", is_ok=True, text=f"of this version ({ours})")] if ours else []
    remedy = f"copy the file, then: optuna storage upgrade --storage {storage}"
    text = f"of another version of Optuna ({there or 'unknown'}; this one has {ours})"
    return [Finding(name="tables", is_ok=False, text=text, remedy=remedy)]


def _study(study: StudyHealth, storage: str) -> list[Finding]:
    name = f"study {study.name}"
    if study.missing:
        root = StudyPaths.of(storage, study.name).root.parent
        shown = ", ".join(str(path) for path in study.missing[:N_SHOWN])
        text = f"{len(study.missing)} of {study.n_weights} files of weights are not there, or not whole: {shown}"
        remedy = f"bring {root} back from where the database came; without it `tuner best` cannot export these trials"
        return [Finding(name=name, is_ok=False, text=text, remedy=remedy)]
    if study.owner:
        return [Finding(name=name, is_ok=True, text=f"is being searched ({study.owner})")]
    if study.n_unfinished:
        text = f"{study.n_unfinished} trials are unfinished, and nobody searches"
        return [Finding(name=name, is_ok=True, text=text, remedy="the same `tuner search` goes on with them")]
    return [Finding(name=name, is_ok=True, text=f"{study.n_weights} files of weights, all there")]


def _orphans(storage: str, names: frozenset[str]) -> list[Finding]:
    try:
        folders = folders_without_study(storage, names)
    except (OSError, TunerError) as error:
        return [Finding(name="runs", is_ok=False, text=str(error), remedy="make the folder readable")]
    return [
        Finding(
            name="runs",
            is_ok=True,
            text=f"{folder}: trials of no study in the database, {_size(folder)}",
            remedy=f"if you do not miss the study: rm -r {folder}",
        )
        for folder in folders
    ]


def _size(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f} MB"
