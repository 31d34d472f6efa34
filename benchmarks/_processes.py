"""Time a command as its user sees it, with the CPU time of everything that it started."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Wall time from start to exit, and CPU time of the process and all its descendants, daemons too."""

    wall_s: float
    cpu_s: float


def timed(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Timed:
    """Run a command to its end; SystemExit with its last lines when it fails.

    A process whose parent is gone becomes a child of this one (Linux), so that worker servers and daemons, which nobody
    waits for, are counted. The wall time ends with the command itself, not with what it left behind.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            tail = log.read().decode(errors="replace")[-3000:]
            sys.exit(f"{' '.join(map(str, command))} exited {process.returncode}:\n{tail}")
        return Timed(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime + _cpu_of_orphans())


def _cpu_of_orphans() -> float:
    """CPU seconds of what the command left behind, once it has ended."""
    total = 0.0
    while True:
        try:
            _, _, usage = os.wait3(0)
        except ChildProcessError:
            return total
        total += usage.ru_utime + usage.ru_stime
