"""Transactions on a database that is away for a moment, or for longer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tuner.errors import StorageError
from tuner.study.transactions import Transactions

CREATE = "CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB)"
LARGE = b"x" * 200_000


Statement = tuple[sqlalchemy.TextClause, dict[str, object]]


class Disk:
    """A database whose size is limited, and the time that passes while somebody waits for room."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_pages = 10
        self.now = 0.0
        self.said: list[str] = []
        self.makes_room_at = 3.0
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(CREATE)
            connection.commit()
        self.engine: Engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        event.listen(self.engine, "connect", self._limit)
        self.transactions = Transactions(self.engine, f"sqlite:///{path}")
        patience = self.transactions.patience
        patience.tell, patience.clock, patience.sleep = self.said.append, lambda: self.now, self._sleep

    def _limit(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={self.n_pages}")

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.makes_room_at:
            self.n_pages = 10_000

    def record(self, *statements: Statement) -> None:
        with self.transactions.begin() as connection:
            for statement in statements:
                connection.execute(*statement)

    def rows(self) -> list[tuple[int, int]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return list(connection.execute("SELECT id, length(content) FROM rows ORDER BY id"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "studies.db")
    yield found
    found.engine.dispose()


def insert(number: int, content: bytes) -> Statement:
    return sqlalchemy.text("INSERT INTO rows VALUES (:id, :content)"), {"id": number, "content": content}


def test_a_full_disk_is_waited_for_and_the_whole_transaction_is_done_again(disk: Disk) -> None:
    disk.record(insert(1, b"small"), insert(2, LARGE), insert(3, b"small"))
    assert disk.rows() == [(1, 5), (2, len(LARGE)), (3, 5)]
    assert disk.now == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6)
    waits, is_back = disk.said
    assert waits == f"sqlite:///{disk.path}: database or disk is full; waiting up to 120 s for it"
    assert is_back.endswith("it is back; nothing was lost")


def test_steps_that_share_a_transaction_are_all_done_again(disk: Disk) -> None:
    done: list[str] = []
    with disk.transactions.together():
        disk.record(insert(1, b"small"))
        disk.transactions.once_durable(lambda: done.append("durable"))
        disk.record(insert(2, LARGE))
        assert done == []
    assert disk.rows() == [(1, 5), (2, len(LARGE))]
    assert done == ["durable"]


def test_after_two_minutes_the_error_names_the_database(disk: Disk) -> None:
    disk.makes_room_at = 1e9
    with pytest.raises(StorageError, match=r"studies\.db: database or disk is full"):
        disk.record(insert(1, b"small"), insert(2, LARGE))
    assert 120.0 <= disk.now < 130.0
    assert disk.rows() == []


def test_who_interrupts_does_not_wait(disk: Disk) -> None:
    disk.transactions.patience.gives_up = lambda: True
    with pytest.raises(StorageError, match="database or disk is full"):
        disk.record(insert(1, LARGE))
    assert disk.now == 0.0


def test_a_mistake_of_ours_is_not_tried_again(disk: Disk) -> None:
    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        disk.record(insert(1, b"small"), insert(1, b"small"))
    assert disk.now == 0.0
    assert disk.rows() == []
