"""What the attempts at a trial ran on, as far as the bits of their numbers depend on it."""

from __future__ import annotations

import json

from sqlalchemy import and_, inspect, select

from tuner.study import tables
from tuner.study.queries import StudyReader
from tuner.study.storage import storage_errors


def machines_of(reader: StudyReader, study_uid: str, uid: str, number: int) -> dict[int, dict[str, str]]:
    """Processor and versions by attempt, of a trial of ours; empty where an earlier version did not keep them."""
    attempts, sessions = tables.attempts.c, tables.sessions.c
    with storage_errors(reader.url), reader.engine.connect() as connection:
        if "machine" not in {column["name"] for column in inspect(connection).get_columns(tables.sessions.name)}:
            return {}
        query = (
            select(attempts.attempt, sessions.machine)
            .join_from(
                tables.attempts,
                tables.sessions,
                and_(sessions.uid == study_uid, sessions.session == attempts.session),
            )
            .where(attempts.uid == uid, attempts.trial == number)
        )
        return {row.attempt: json.loads(row.machine) for row in connection.execute(query)}
