"""Where things are kept: everything but exports lies beside the database.

studies.db                     Optuna's tables and ours
runs/<study>/driver.lock       who owns the study
runs/<study>/data/             decoded data, shared by all workers
runs/<study>/<trial>/          checkpoints, log.txt, metrics.jsonl, details.json (classes, at the best epoch)
runs/<study>/confirm/<trial>-<repeat>/   the same of a trial's config on a fresh seed
runs/<study>/test/             scores on the test part, one file for each export's weights
exports/<study>-<trial>/       what `tuner best` wrote
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tuner.errors import UsageError

DEFAULT_STORAGE = "sqlite:///studies.db"


def sqlite_file(url: str) -> Path | None:
    """The database file of a SQLite URL (`sqlite:///relative` or `sqlite:////absolute`), None for other databases.

    Raises UsageError for one in memory, which nothing could be resumed from.
    """
    if url.partition(":")[0] not in ("sqlite", "sqlite+pysqlite"):
        return None
    file = url.partition(":///")[2].partition("?")[0]
    if file in ("", ":memory:"):
        raise UsageError(f"--storage {url}: a study needs a file; expected sqlite:///studies.db")
    return Path(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPaths:
    """The folders of one study."""

    root: Path

    @classmethod
    def of(cls, storage_url: str, study: str) -> StudyPaths:
        """The folders beside the database; one that is not called studies.db has its own `<name>-runs`."""
        database = sqlite_file(storage_url)
        if database is None:
            return cls(root=Path.cwd() / "runs" / study)
        name = "runs" if database.stem == "studies" else f"{database.stem}-runs"
        return cls(root=database.resolve().parent / name / study)

    @property
    def lock(self) -> Path:
        return self.root / "driver.lock"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def trial(self, number: int) -> Path:
        return self.root / str(number)

    def confirm(self, trial: int, repeat: int) -> Path:
        """Of the run that trains a trial's config on the fresh seed of this number, from 1."""
        return self.root / "confirm" / f"{trial}-{repeat}"

    @property
    def test(self) -> Path:
        return self.root / "test"

    def log(self, number: int) -> Path:
        return self.trial(number) / "log.txt"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a machine that lost power, sees the old content or the new, never a part."""
    with written_atomically(path) as file:
        file.write(content)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends well; else `path` stays as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new files in `folder` survive a power loss (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
