"""The names of the studies of a database, for the completion of shells: fast, silent, and it creates nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from urllib.parse import quote

from tuner.errors import TunerError
from tuner.paths import sqlite_file

PATIENCE_S = 0.5
"""A person waits behind the Tab; a database that is busy for longer offers nothing."""


def study_names(url: str) -> list[str]:
    """The latest first; none where there is no database, or one that cannot be read now."""
    try:
        path = sqlite_file(url)
        if path is None:
            return _of_server(url)
        if not path.is_file():
            return []
        with closing(sqlite3.connect(f"file:{quote(path.as_posix())}?mode=ro", uri=True, timeout=PATIENCE_S)) as found:
            return [row[0] for row in found.execute("SELECT study_name FROM studies ORDER BY study_id DESC")]
    except (TunerError, sqlite3.Error):
        return []


def _of_server(url: str) -> list[str]:
    from tuner.study.queries import StudyReader  # SQLAlchemy takes 0.3 s to import, which a file does not need

    return [study.name for study in reversed(StudyReader.open(url).studies())]
