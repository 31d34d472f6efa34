"""Transactions of the writing side: one for each step, or one for several steps that happen together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.engine import Engine

from tuner.errors import SearchFailedError
from tuner.study.retrying import Patience, Retrying
from tuner.study.storage import storage_errors


class Transactions:
    """Begins transactions on one database; raises StorageError for what the database raises."""

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._shared: Connection | None = None
        self._afterwards: list[Callable[[], None]] = []
        self.patience = Patience()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction of its own, or the one that is shared at the moment."""
        with storage_errors(self._url):
            if self._shared is not None:
                yield self._shared
                return
            with closing(Retrying(self._engine, self._url, self.patience)) as transaction:
                # All that is done with it is to execute statements.
                yield cast("Connection", transaction)
                transaction.commit()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make everything inside one transaction: what ends and begins at about the same time needs one commit.

        A commit waits for the disk: 0.7 ms on a quiet one (SQLite 3.40), 20 ms on one that others use. A search that is
        given up keeps what was recorded; any other error undoes it, as a death would.
        """
        failure: SearchFailedError | None = None
        afterwards: list[Callable[[], None]] = []
        retrying = Retrying(self._engine, self._url, self.patience)
        with storage_errors(self._url), closing(retrying) as transaction:
            self._shared = cast("Connection", transaction)
            try:
                yield
            except SearchFailedError as error:
                failure = error
            finally:
                self._shared = None
                afterwards, self._afterwards = self._afterwards, []
            transaction.commit()  # not reached with any other error: closing undoes what is not committed
        for action in afterwards:
            action()
        if failure is not None:
            raise failure

    def settle(self) -> None:
        """Commit what was shared so far: before what takes time, in which others want to write to the database."""
        if self._shared is not None:
            self._shared.commit()
            afterwards, self._afterwards = self._afterwards, []
            for action in afterwards:
                action()

    def once_durable(self, action: Callable[[], None]) -> None:
        """Do something once the transaction of this moment is committed; at once when there is none."""
        if self._shared is None:
            action()
        else:
            self._afterwards.append(action)
