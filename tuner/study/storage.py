"""Opening the database: checks before anything is written, safe settings, errors in plain words."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tuner.errors import MissingError, NotFoundError, StorageError, UsageError
from tuner.paths import sqlite_file, sync_folder, write_atomically
from tuner.study import tables

BUSY_TIMEOUT_S = 60.0
SMALLEST_PAGE_BYTES = 512
"""No database is smaller; SQLite takes a few bytes of anything for an empty one."""
QUICK_SIZE_BYTES = 16 * 2**20
"""Files up to this size are looked through as a whole even by commands that only read."""


def check_sqlite_file(path: Path, *, is_whole: bool = True) -> None:
    """Refuse a file that is damaged or belongs to another program; nothing is written.

    Unless `is_whole`, the pages of a large file are counted and not looked at (70 ms for 75 MB; SQLite 3.40): what is
    damaged inside comes out as StorageError when it is read. Only a commit that a killed driver left half-written is
    undone, which any reader of SQLite has to do.
    Raises StorageError that says what to do.
    """
    try:
        if not path.exists() or (size := path.stat().st_size) == 0:
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}; name another database with --storage") from error
    if size < SMALLEST_PAGE_BYTES:
        raise _not_a_database(path)
    try:
        # Only SQLite opens the file: closing any other descriptor of it would drop the locks that this process has on
        # it, those of a search in another thread too (sqlite.org/howtocorrupt.html, 2.2).
        _undo_unfinished(path)
        with closing(_connect(path, "ro")) as connection:
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            damage = _damage(connection, path, is_whole=is_whole or path.stat().st_size <= QUICK_SIZE_BYTES)
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise _not_a_database(path) from error
        raise StorageError(f"{path}: {error}; restore a copy, or move it away and start anew") from error
    if damage != "ok":
        raise StorageError(f"{path}: damaged ({damage}); restore a copy, or rescue it with `sqlite3 {path} .recover`")
    if not {"studies", "trials", "alembic_version"} <= names:
        raise StorageError(f"{path}: belongs to another program (it has no Optuna tables); name another with --storage")


def _not_a_database(path: Path) -> StorageError:
    return StorageError(f"{path}: not a SQLite database; move it away or name another with --storage")


def _damage(connection: sqlite3.Connection, path: Path, *, is_whole: bool) -> str:
    """What is wrong with a database, "ok" for nothing."""
    if is_whole:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        return found
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    missing = pages * size - path.stat().st_size
    return "ok" if missing <= 0 else f"{missing} of {pages * size} bytes are missing"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(path.as_posix())}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S)


def connect_readonly(path: Path) -> sqlite3.Connection:
    """A plain connection to a SQLite file that changes nothing."""
    return _connect(path, "ro")


def _undo_unfinished(path: Path) -> None:
    """Roll back what the journal of a killed driver says: a read-only connection cannot, and refuses to read."""
    if not path.with_name(f"{path.name}-journal").exists():
        return
    try:
        with closing(_connect(path, "ro")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        with closing(_connect(path, "rw")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")


def open_optuna(url: str) -> Any:
    """Optuna's RDBStorage for writing, created when it is not there, with settings under which no commit is lost.

    A rollback journal and synchronous=FULL: a commit that returned survives a power loss, studies.db is one file, and
    the write-ahead log's corruption bug (SQLite before 3.51.3, several connections) cannot occur. A commit costs 0.7 ms
    against 0.2 ms (SQLite 3.40, one row, mean of 200), and epochs that end together share one.
    """
    path = sqlite_file(url)
    if path is None:
        _check_url(url)
    else:
        check_sqlite_file(path)
    with storage_errors(url):
        if path is not None:
            _create_whole(path)
        return _rdb_storage(url, skip_table_creation=path is not None)


@cache
def empty_database() -> bytes:
    """A SQLite file with all tables and no study.

    Made in memory, since Optuna commits a dozen times. The first call takes 0.85 s, most of it for Optuna's import of
    alembic; a driver makes it while its first worker loads torch (Optuna 5.0, 2-core x86 server).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage("sqlite://")
    tables.metadata.create_all(storage.engine)
    with closing(storage.engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        content: bytes = driver.serialize()
    storage.scoped_session.remove()
    storage.engine.dispose()
    return content


def _rdb_storage(url: str, *, skip_table_creation: bool = False) -> Any:
    import optuna  # 0.4 s, not needed to read

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = sqlite_file(url)
    engine_kwargs = {"connect_args": {"timeout": BUSY_TIMEOUT_S}} if path else {"pool_pre_ping": True}
    try:
        storage = optuna.storages.RDBStorage(
            _optuna_url(url),
            engine_kwargs=engine_kwargs,
            skip_table_creation=skip_table_creation,  # before it looks whether the schema is its own
        )
    except RuntimeError as error:  # the schema of another Optuna version
        raise StorageError(
            f"{path or shown(url)}: made by another version of Optuna; run "
            f"`optuna storage upgrade --storage {shown(url)}`, or name another database with --storage"
        ) from error
    if path:
        event.listen(storage.engine, "connect", _set_pragmas)
        storage.engine.dispose()  # connections made before the listener
    tables.metadata.create_all(storage.engine)
    _add_columns(storage.engine)
    return storage


def _add_columns(engine: Engine) -> None:
    """Bring the tables of an earlier version up to date."""
    for table, column, definition in tables.ADDED:
        if _has(engine, table.name, column):
            continue
        try:
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table.name} ADD COLUMN {column} {definition}"))
        except sqlalchemy.exc.DBAPIError:
            if not _has(engine, table.name, column):  # else another driver was faster
                raise


def _has(engine: Engine, table: str, column: str) -> bool:
    return column in {found["name"] for found in sqlalchemy.inspect(engine).get_columns(table)}


def _optuna_url(url: str) -> str:
    """The URL for RDBStorage, which takes it for a template; SQLAlchemy 2.1 takes `%41` in a file's name for `A`."""
    parsed = sqlalchemy.engine.make_url(url)
    path = sqlite_file(url)
    plain = parsed.set(database=str(path)) if path else parsed
    return plain.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def _create_whole(path: Path) -> None:
    """Make a new database appear with all of its tables or not at all.

    Optuna creates its schema in a dozen transactions: a death between two, or a second process doing the same, would
    leave a database that nothing can open.
    """
    if path.exists() and path.stat().st_size > 0:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write_atomically(temporary, empty_database())
        if path.exists() and path.stat().st_size == 0:  # `touch studies.db`
            temporary.replace(path)
        else:
            _appear(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _appear(temporary: Path, path: Path) -> None:
    """Give a new file its name, unless another process was faster: its database is as good, and may have trials."""
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if not path.exists():  # a file system without hard links: here two processes could still race
            temporary.replace(path)


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=FULL")


def open_readonly(url: str) -> Engine:
    """An engine that cannot create or change anything; NotFoundError when there is no database."""
    path = sqlite_file(url)
    if path is None:
        _check_url(url)
        return sqlalchemy.create_engine(url, pool_pre_ping=True)
    if not path.is_file():
        raise NotFoundError(
            f"{path}: no database here; start a search with `tuner search --space mlp.yaml`, or name one with --storage"
        )
    check_sqlite_file(path, is_whole=False)
    return sqlalchemy.create_engine("sqlite://", creator=lambda: _connect(path, "ro"))


def _check_url(url: str) -> None:
    """Refuse a URL that no engine can be made for, before anything connects."""
    try:
        sqlalchemy.create_engine(url).dispose()
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UsageError(
            f"--storage: not a database URL ({error}); expected sqlite:///studies.db or postgresql://user@host/name"
        ) from error
    except ImportError as error:
        raise MissingError(f"{shown(url)}: its driver is not installed ({error}); install it with pip") from error


def shown(url: str) -> str:
    """A database URL as messages show it: without its password."""
    return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what the database and its disk raise, as they are or wrapped by Optuna, into StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{shown(url)}: {error}") from error
    except KeyError as error:
        if "Record does not exist" not in str(error):
            raise
        raise StorageError(f"{shown(url)}: the study was deleted while it was used") from error
    except Exception as error:
        cause = error if isinstance(error, sqlalchemy.exc.DBAPIError) else error.__cause__
        if not isinstance(cause, sqlalchemy.exc.DBAPIError):
            raise
        raise StorageError(f"{shown(url)}: {cause.orig}") from error
