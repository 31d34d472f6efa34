"""The process that trains: long-lived, torch loaded once, told what to do through one pipe.

A second thread reads the pipe, so that the worker notices within a batch that the run has to end, and at once that its
driver is gone: it then dies too, whatever it is doing.
"""

from __future__ import annotations

import faulthandler
import io
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from tuner.errors import DataError, StorageError, TunerError
from tuner.execution.failures import short
from tuner.execution.protocol import (
    Command,
    EvaluateRequest,
    LanesRequest,
    MeasureRequest,
    PrepareRequest,
    ProbeRequest,
    Refused,
    Start,
    TryRequest,
)
from tuner.execution.runner import Runner
from tuner.execution.watch import STACKS
from tuner.training.job import TrainJob


class Inbox:
    """What the driver sends, read by a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._abort = threading.Event()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):  # the driver is gone: nobody wants the result any more
                os._exit(1)
            if message is Command.ABORT:
                self._abort.set()
                continue
            if isinstance(message, Start):  # here, in the order of arrival: an abort may follow at once
                self._abort.clear()
            self._messages.put(message)

    def get(self) -> Any:
        return self._messages.get()

    def should_abort(self) -> bool:
        return self._abort.is_set()


def worker_main(connection: Connection) -> None:
    """Serve requests until told to exit, or until the driver dies."""
    _settle()
    inbox = Inbox(connection)
    runner = Runner(inbox.should_abort)
    connection.send(runner.machine())
    while True:  # until the driver is gone: see Inbox
        _serve(connection, inbox, runner, inbox.get())


def _settle() -> None:
    """Make this process a worker: whose signals, output and children are not those of an ordinary one."""
    # Ctrl-C reaches the whole process group; what happens then is the driver's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a killed worker had printed is in its log
    if STACKS is not None:
        faulthandler.register(STACKS, file=2)  # the log of the trial, while one trains
    os.dup2(2, 1)  # the driver's standard output is for data, whatever a user's dataset prints
    # It dies with its driver by itself, and its loader processes with it; Python forbids daemons to have children.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # noqa: SLF001


def _serve(connection: Connection, inbox: Inbox, runner: Runner, message: object) -> None:
    if isinstance(message, Start):
        with _output_to_log(message.jobs[0]):
            _train(connection, inbox, runner, message.jobs)
    elif isinstance(message, PrepareRequest):
        _answer(connection, runner.prepare, message)
    elif isinstance(message, TryRequest):
        connection.send(runner.try_out(message))
    elif isinstance(message, MeasureRequest):
        connection.send(runner.measure(message))
    elif isinstance(message, LanesRequest):
        connection.send(runner.measure_lanes(message))
    elif isinstance(message, ProbeRequest):
        with _output_to_log(message.job):
            probed = runner.probe(message)
        connection.send(probed)
    elif isinstance(message, EvaluateRequest):
        _answer(connection, runner.evaluate, message)


def _answer(connection: Connection, handle: Any, request: Any) -> None:
    try:
        connection.send(handle(request))
    except Exception as error:  # noqa: BLE001  the process edge: the driver says it, this worker can go on
        connection.send(refusal_of(error))


def refusal_of(error: BaseException) -> Refused:
    """What a request that raised is answered with; the user's own code can raise anything, whose place is told."""
    if isinstance(error, TunerError):
        return Refused(error=error)
    if isinstance(error, OSError):
        return Refused(error=StorageError(f"{error.filename or 'disk'}: {error.strerror or error}"))
    return Refused(error=DataError(short(error)))


def _train(connection: Connection, inbox: Inbox, runner: Runner, jobs: Sequence[TrainJob]) -> None:
    group = runner.run_group(jobs)
    try:
        events = next(group)
        while True:
            connection.send(events)
            # Decisions after the ends of epochs, jobs after those of trials; the driver sends nothing else but aborts.
            events = group.send(inbox.get())
    except StopIteration as stop:
        connection.send(stop.value)


class _output_to_log:  # noqa: N801  used as a function
    """While a trial runs, what it prints, from Python or from C, goes to its log and not to the driver's terminal."""

    def __init__(self, job: TrainJob) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        self._path = job.folder / "log.txt"

    def __enter__(self) -> None:
        self._redirect(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __exit__(self, *_: object) -> None:
        self._redirect(os.devnull, os.O_WRONLY)

    def _redirect(self, path: str, flags: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        descriptor = os.open(path, flags, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
