"""Folders of decoded data that are either whole or not there, shared by the processes of a study.

A folder is built beside its place under a temporary name, flushed, and renamed. Its manifest, written last, has the
size and SHA-256 of every file. Whoever builds or opens holds the lock of the cache; so a temporary folder that a lock
holder finds belongs to a dead process and is removed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.data.scaling import Array
from tuner.errors import StorageError
from tuner.paths import sync_folder, write_atomically

MANIFEST = "manifest.json"
TEMPORARY = ".building-"
VERIFIED_BYTES = 2**29
"""Larger files are checked by size alone when they are opened: hashing takes 0.6 s a GB, in each process."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class DamagedError(Exception):
    """A folder is not what its manifest says, or has none: build it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What a file must be: its size and checksum."""

    size_bytes: int
    sha256: str


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; waits for other processes, and is released by the system when this one dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # by hand: a forked child may still hold the descriptor


def build(folder: Path, write: Callable[[Path], dict[str, Any]]) -> None:
    """Fill `folder` through `write`, which gets an empty folder and returns the manifest's content.

    The lock of the cache must be held. Raises StorageError when the disk is full; then nothing is left behind.
    """
    remove_unfinished(folder.parent)
    temporary = folder.parent / f"{TEMPORARY}{folder.name[:16]}-{os.getpid()}"
    try:
        temporary.mkdir()
        content = write(temporary)
        write_atomically(temporary / MANIFEST, _sealed(content))
        sync_folder(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise StorageError(
                f"{folder.parent}: no space left for the decoded data; free some and run again"
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(parent: Path) -> None:
    """Remove what killed processes left. The lock must be held."""
    for stale in parent.glob(f"{TEMPORARY}*"):
        shutil.rmtree(stale, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of a folder's manifest; DamagedError when it is missing or was changed."""
    try:
        sealed = json.loads((folder / MANIFEST).read_bytes())
        content: dict[str, Any] = sealed["content"]
        sha256 = sealed["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{folder / MANIFEST}: {error}") from error
    if sha256 != _digest(content):
        raise DamagedError(f"{folder / MANIFEST}: checksum differs")
    return content


def _sealed(content: dict[str, Any]) -> bytes:
    return json.dumps({"sha256": _digest(content), "content": content}, indent=1).encode()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_rows(
    path: Path, chunks: Iterable[Array], *, n_rows: int, row_shape: tuple[int, ...], dtype: Any
) -> dict[str, Any]:
    """Write rows as one .npy file, piece by piece, and return its FileRecord as JSON.

    Written, not memory-mapped: on a full disk a write fails, a mapped page kills the process.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": (n_rows, *row_shape),
    }
    hashed = hashlib.sha256()
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        n_written = 0
        for chunk in chunks:
            content = np.ascontiguousarray(chunk, dtype=dtype).data
            hashed.update(content)
            file.write(content)
            n_written += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if n_written != n_rows:
        raise AssertionError(f"{path}: {n_written} rows written, {n_rows} announced")
    return asdict(FileRecord(size_bytes=path.stat().st_size, sha256=hashed.hexdigest()))


def open_rows(path: Path, record: FileRecord, *, is_fresh: bool) -> torch.Tensor:
    """The rows of a file as a memory-mapped tensor; DamagedError when the file is not the one that was written.

    What this process wrote just now (`is_fresh`) is not hashed a second time.

    Mapped copy-on-write, as torch warns about read-only memory: pages are shared by all processes that do not write to
    them.
    """
    try:
        if path.stat().st_size != record.size_bytes:
            raise DamagedError(f"{path}: {path.stat().st_size} bytes; expected {record.size_bytes}")
        rows = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path}: {error}") from error
    is_hashed = not is_fresh and record.size_bytes <= VERIFIED_BYTES
    if is_hashed and hashlib.sha256(rows.data).hexdigest() != record.sha256:
        raise DamagedError(f"{path}: checksum differs")
    return torch.from_numpy(rows)
