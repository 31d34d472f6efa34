"""One driver a study, also where drivers run on several machines: a lock on the database's server.

PostgreSQL's advisory locks belong to a connection: the server lets go of one when its holder dies, or its machine. A
server that starts again has forgotten them, so that from then on the file lock of each machine is all there is. SQLite
has no server, and its file is on the machine whose lock file counts.
"""

from __future__ import annotations

import hashlib
import os
import socket
from types import TracebackType
from typing import Self

import sqlalchemy
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from tuner.errors import OwnedError
from tuner.study.storage import storage_errors

_TAKE = text("SELECT pg_try_advisory_lock(:high, :low)")
_OWNER = text(
    "SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND classid = :u_high AND objid = :u_low"
)
_INTRODUCE = text("SELECT set_config('application_name', :name, false)")
_UNSIGNED = 2**32


class ServerLock:
    """Held while a driver owns a study of a database on a server; does nothing for databases without such locks."""

    def __init__(self, url: str, study: str) -> None:
        self._url = url
        self._study = study
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        if not sqlalchemy.engine.make_url(self._url).get_backend_name().startswith("postgresql"):
            return self
        with storage_errors(self._url):
            engine = sqlalchemy.create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
            connection = engine.connect()
            try:
                self._take(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return self

    def _take(self, connection: Connection) -> None:
        connection.execute(_INTRODUCE, {"name": f"process {os.getpid()} on {socket.gethostname()}"[:63]})
        digest = hashlib.sha256(f"tuner {self._study}".encode()).digest()
        high, low = (int.from_bytes(digest[start : start + 4], signed=True) for start in (0, 4))
        if connection.execute(_TAKE, {"high": high, "low": low}).scalar():
            return
        unsigned = {"u_high": high % _UNSIGNED, "u_low": low % _UNSIGNED}
        owner = connection.execute(_OWNER, unsigned).first()
        who = f" ({owner.application_name}, since {owner.backend_start:%Y-%m-%d %H:%M:%S})" if owner else ""
        raise OwnedError(
            f"study {self._study!r} is owned by another running driver{who}; wait for it, stop it with Ctrl-C or "
            "`kill` there, or use another --study NAME"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlalchemy.exc.SQLAlchemyError:  # the server was away: the lock went with it
                connection.invalidate()
