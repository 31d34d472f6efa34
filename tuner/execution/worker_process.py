"""One worker process as its executor sees it: how it begins, what it is doing, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from tuner.execution.protocol import Machine
from tuner.execution.slot import Slot
from tuner.execution.watch import STACKS, Watch

STACKS_S = 0.5
"""What a worker is given to write where its threads are."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process and what it is doing."""

    process: BaseProcess
    connection: Connection
    machine: Machine | None = None
    is_prepared: bool = False
    """It has been given the data."""
    has_data: bool = False
    """It has said so."""
    slot: Slot = field(default_factory=Slot)
    watch: Watch = field(default_factory=Watch)
    abort_by: float | None = None
    """When it is killed unless its jobs have ended; None while nobody wants that."""
    ran_out_of_memory: bool = False
    """That may have left the device in pieces: before its next job a fresh process takes its place."""

    @classmethod
    def begin(cls, context: Any) -> Worker:
        """A fresh process; typeshed has no type for a context of any kind."""
        ours, theirs = context.Pipe()
        process: BaseProcess = context.Process(target=_worker_entry, args=(theirs,), daemon=True, name="tuner-worker")
        with _hidden_main():
            process.start()
        theirs.close()
        return cls(process=process, connection=ours)

    @property
    def is_free(self) -> bool:
        return not self.slot.jobs

    @property
    def death(self) -> str:
        """How it ended."""
        code = self.process.exitcode
        if code is None:
            return "stopped answering"
        if code < 0:
            name = signal.Signals(-code).name
            return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"ended with exit code {code}"

    def send(self, *messages: object) -> None:
        with suppress(OSError):  # it died: `wait` reports its job as lost
            for message in messages:
                self.connection.send(message)

    def write_stacks(self) -> None:
        """Have it write where each of its threads hangs, into the log of its trial."""
        if STACKS is not None and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, STACKS)
            self.process.join(timeout=STACKS_S)  # it does not end by that: the time to write

    def kill(self) -> None:
        if self.process.pid is not None and self.process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self.connection.close()


def _worker_entry(connection: Connection) -> None:
    from tuner.execution.worker import worker_main  # imports torch: not in the driver

    worker_main(connection)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep multiprocessing from importing the user's script in every worker, so that it needs no `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
