"""A transaction that outlives a database that is away for a moment: a full disk, a file that others lock, a server.

What was executed is kept until it is committed. When the database fails in between, it is waited for, and all of it is
executed again on a new connection: what fails has been rolled back. Nobody outside notices but by the time it takes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.engine import CursorResult, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from tuner.errors import StorageError
from tuner.study.storage import shown

T = TypeVar("T")

MOST_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
"""SQLite's errors that can be over in a minute: room is made, a disk comes back, another program is done."""
PRIMARY = 0xFF
"""Of an extended error code, the part that says of which kind it is."""


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long a database is waited for, and who hears of it."""

    most_s: float = MOST_S
    tell: Callable[[str], None] = lambda _: None
    gives_up: Callable[[], bool] = lambda: False
    """Whether nobody wants to wait any more."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Retrying:
    """One transaction, with `execute` and `commit` of an SQLAlchemy connection."""

    engine: Engine
    url: str
    patience: Patience
    _connection: Connection | None = None
    _done: list[tuple[Any, Any, Any]] = field(default_factory=list)
    """Statement, parameters and, for one new row, its key."""

    def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        result = self._patiently(lambda connection: connection.execute(statement, parameters))
        self._done.append((statement, parameters, _key(result)))
        return result

    def commit(self) -> None:
        """Make it last. A server that goes away in the middle may have done so: that is not tried again."""
        if not self._done:
            return
        if self.engine.dialect.name == "sqlite":
            self._patiently(lambda connection: connection.commit())
        else:
            self._ready().commit()
        self._done.clear()
        self.close()

    def close(self) -> None:
        """Let go of the connection; what is not committed is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _patiently(self, action: Callable[[Connection], T]) -> T:
        patience = self.patience
        began: float | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                found = action(self._ready())
            except DBAPIError as error:
                self._drop()
                now = patience.clock()
                began = now if began is None else began
                if not _passes(error) or now - began >= patience.most_s or patience.gives_up():
                    raise
                if pause_s == FIRST_PAUSE_S:
                    said = str(error.orig).partition("\n")[0].strip()
                    patience.tell(f"{shown(self.url)}: {said}; waiting up to {patience.most_s:.0f} s for it")
                patience.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if began is not None:
                patience.tell(f"{shown(self.url)}: it is back; nothing was lost")
            return found

    def _ready(self) -> Connection:
        """A connection on which all that was done so far is done."""
        if self._connection is None:
            self._connection = self.engine.connect()
            for statement, parameters, key in self._done:
                if _key(self._connection.execute(statement, parameters)) != key:
                    raise StorageError(f"{shown(self.url)}: it came back with other numbers; the same command goes on")
        return self._connection

    def _drop(self) -> None:
        """Forget a connection that has failed: even rolling back may fail on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()


def _key(result: CursorResult[Any]) -> Any:
    """The key of a row that was just inserted: later statements name it, so that it has to be the same again."""
    if not result.context.isinsert or result.context.executemany:
        return None
    with suppress(sqlalchemy.exc.InvalidRequestError):
        return tuple(result.inserted_primary_key or ())
    return None


def _passes(error: DBAPIError) -> bool:
    """Whether it may be over in a moment."""
    if isinstance(error.orig, sqlite3.Error):
        code: int = getattr(error.orig, "sqlite_errorcode", 0)
        return code & PRIMARY in PASSING
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
