"""One driver a study: a file lock that the system releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tuner.errors import OwnedError, StorageError


class StudyLock:
    """Held while a driver owns a study; taking it twice raises OwnedError that names the first holder."""

    def __init__(self, path: Path, study: str) -> None:
        self._path = path
        self._study = study
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be made or opened: {error.strerror}") from error
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _describe(os.pread(descriptor, 4096, 0))
            raise OwnedError(
                f"study {self._study!r} is owned by another running driver ({owner}); "
                "wait for it, stop it with Ctrl-C or `kill`, or use another --study NAME"
            ) from error
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be locked: {error.strerror}; use a local disk") from error
        if not self._path.exists() or os.fstat(descriptor).st_ino != self._path.stat().st_ino:
            raise OwnedError(f"study {self._study!r}: its folder was replaced just now; run the same command again")
        owner_json = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started_at": time.time()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner_json.encode(), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def is_owned(path: Path) -> bool | None:
    """Whether a driver that lives owns the study of this lock; None where this machine does not know the lock.

    It is only read: taking it, for however short, could turn a driver away.
    """
    try:
        owner = json.loads(path.read_bytes() or b"null")
    except OSError:
        return None
    except ValueError:
        return True  # it is just being written
    if owner is None:
        return False
    return owner["host"] != socket.gethostname() or _is_alive(owner["pid"])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _describe(content: bytes) -> str:
    try:
        owner = json.loads(content)
    except ValueError:
        return "it has just started"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["started_at"]))
    return f"process {owner['pid']} on {owner['host']}, since {since}"


def owner_of(path: Path) -> str:
    """Who owns the study of this lock, as far as this machine knows; empty for nobody."""
    return _describe(path.read_bytes()) if is_owned(path) else ""
