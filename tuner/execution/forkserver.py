"""The process that workers are forked from: it loads torch once, while the command that wants it is still waking up.

Imports nothing heavy, so that `tuner search` can call `begin` before it has read its own modules: they and the space
file take it 1.5 s of CPU time, torch takes 3.2 s (torch 2.15, 2-core x86 server).
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PRELOAD = "tuner.execution.preload"
FOLDER_VARIABLE = "TUNER_SERVER_FOLDER"
"""Names, to the server alone, the folder of its socket."""
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def context() -> Any:
    """The start method of workers: forked from a server that has torch loaded, or spawned where there is no fork."""
    return multiprocessing.get_context(METHOD)


def begin() -> None:
    """Have torch loaded in the background; returns at once, and does nothing when that has begun already."""
    # OpenMP threads that wait by spinning fight over busy cores: a step of a small MLP with 2 threads took 4.5 ms, with
    # a passive wait 1.1 ms; with 1 thread 0.95 and 0.92 ms (torch 2.15, 2 cores, mean of 300).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if METHOD == "forkserver":
        context().set_forkserver_preload([PRELOAD])
        os.environ[FOLDER_VARIABLE] = multiprocessing.util.get_temp_dir()
        try:
            with _without_interrupts():
                multiprocessing.forkserver.ensure_running()
        finally:
            del os.environ[FOLDER_VARIABLE]


def cancel() -> None:
    """End a server that still loads, so that a command that was refused leaves nothing behind that holds its output."""
    pid = getattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - no public name
    if pid is not None:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitid(
                os.P_PID, pid, os.WEXITED | os.WNOWAIT
            )  # multiprocessing asks for its exit code when it is next used


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A child ignores Ctrl-C when its parent does: importing torch would end in a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
