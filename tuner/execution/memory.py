"""What a process has of the machine, as Linux counts it.

Memory of its own, without files that all workers map; and how long it waited for a core that others had.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc/self")


class OwnMemory:
    """The most that the process has had for itself since this was made."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        with suppress(OSError):
            (proc / "clear_refs").write_text("5")  # the peak counts anew from here
        self._private = _kib(proc / "smaps_rollup", "Private_Clean:", "Private_Dirty:")
        self._before = _kib(proc / "status", "VmRSS:", "RssFile:", "RssShmem:")

    def peak_bytes(self) -> int | None:
        """None where the system does not say."""
        after = _kib(self._proc / "status", "VmHWM:", "RssFile:", "RssShmem:")
        if self._private is None or self._before is None or after is None:
            return None
        rss, *mapped = self._before
        peak, *mapped_after = after
        growth = peak - rss - max(0, sum(mapped_after) - sum(mapped))
        return 1024 * (sum(self._private) + max(0, growth))


class Waiting:
    """How much of the time since this was made the calling thread, where it is the first, waited for a core."""

    def __init__(self, proc: Path = PROC) -> None:
        self._file = proc / "schedstat"
        self._waited = self._waited_s()
        self._started = time.perf_counter()

    def share(self) -> float:
        """0 where the system does not say."""
        elapsed = time.perf_counter() - self._started
        return min(1.0, max(0.0, (self._waited_s() - self._waited) / elapsed)) if elapsed > 0 else 0.0

    def _waited_s(self) -> float:
        try:
            return int(self._file.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0


def held_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """What another process has for itself now; None where the system does not say, or there is none of this number."""
    try:
        _, resident, shared, *_ = (proc / str(pid) / "statm").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _kib(path: Path, *names: str) -> list[int] | None:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    found = {line[0]: int(line[1]) for line in lines if line and line[0] in names}
    return [found[name] for name in names] if len(found) == len(names) else None
