"""Whether a database is whole, of this version, and has its weights beside it; nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from tuner.control.controller import TrialState
from tuner.errors import StorageError
from tuner.paths import StudyPaths, sqlite_file
from tuner.study import tables
from tuner.study.ownership import owner_of
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow
from tuner.study.storage import connect_readonly, empty_database, storage_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHealth:
    """One study that tuner made."""

    name: str
    n_unfinished: int
    """Trials that are running, paused or waiting."""
    owner: str
    """The driver that searches it now; empty for none."""
    n_weights: int
    missing: tuple[Path, ...]
    """Recorded checkpoints that are not there, or have another size."""


def check_database(url: str) -> str:
    """What a whole look finds wrong with a SQLite file; empty for nothing, and for other databases.

    Raises StorageError where it cannot be opened at all.
    """
    path = sqlite_file(url)
    if path is None:
        return ""
    try:
        with closing(connect_readonly(path)) as connection:
            found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
    return "" if found == "ok" else found


def versions_of(url: str) -> tuple[str, str]:
    """The version of Optuna's tables in a SQLite file, and that of the Optuna which is installed."""
    path = sqlite_file(url)
    if path is None:
        return "", ""
    with closing(connect_readonly(path)) as connection, closing(sqlite3.connect(":memory:")) as ours:
        ours.deserialize(empty_database())
        return _version(connection), _version(ours)


def _version(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def studies_of(reader: StudyReader, url: str) -> list[StudyHealth]:
    """All studies that tuner made, the oldest first."""
    return [_study(reader, study, StudyPaths.of(url, study.name)) for study in reader.studies() if study.uid]


def _study(reader: StudyReader, study: StudyRow, paths: StudyPaths) -> StudyHealth:
    counts, _ = reader.outline(study)
    weights = list(_weights(reader, study, paths))
    return StudyHealth(
        name=study.name,
        n_unfinished=sum(counts.get(state, 0) for state in (TrialState.RUNNING, TrialState.PAUSED, TrialState.WAITING)),
        owner=owner_of(paths.lock),
        n_weights=len(weights),
        missing=tuple(path for path, size in weights if not path.is_file() or path.stat().st_size != size),
    )


def _weights(reader: StudyReader, study: StudyRow, paths: StudyPaths) -> Iterator[tuple[Path, int]]:
    columns = tables.checkpoints.c
    query = select(columns.trial, columns.file, columns.size_bytes).where(columns.uid == study.uid)
    with storage_errors(reader.url), reader.engine.connect() as connection:
        for trial, file, size in connection.execute(query).all():
            yield paths.trial(trial) / file, size


def folders_without_study(url: str, names: frozenset[str]) -> list[Path]:
    """Folders of trials beside the database that belong to no study in it."""
    root = StudyPaths.of(url, "any").root.parent
    if not root.is_dir():
        return []
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in names]
    return [folder for folder in folders if any(item.name.isdigit() and item.is_dir() for item in folder.iterdir())]
