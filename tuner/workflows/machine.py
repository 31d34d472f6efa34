"""What this machine has for a search: cores and memory, as far as this process may use them.

The folders of the kernel are arguments, so that tests can write their own. Where one is missing (other systems), it
limits nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def n_cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Cores that this process may run on: its affinity, and the quota of its container."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _cgroups(proc, cgroups) for quota in _quota(folder / "cpu.max")]
    return max(1, int(min([own, *quotas])))


def free_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Memory that can still be had without swapping, in the machine and in the container; None when nothing says."""
    found = [free for folder in _cgroups(proc, cgroups) for free in _left_in(folder)]
    found += [1024 * int(text.split()[0]) for text in _fields(proc / "meminfo", "MemAvailable:").values()]
    return min(found, default=None)


def cpu_name(proc: Path = PROC) -> str:
    for line in _text(proc / "cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cgroups(proc: Path, root: Path) -> Iterator[Path]:
    """The control groups (version 2) that this process is in, from its own up to the root."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            own = root / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _quota(path: Path) -> Iterator[float]:
    with suppress(ValueError):  # "max 100000": none; an empty text: no such file
        quota, period = _text(path).split()
        yield float(quota) / float(period)


def _left_in(folder: Path) -> Iterator[int]:
    with suppress(ValueError):  # "max": no limit; an empty text: no such file
        limit, used = int(_text(folder / "memory.max")), int(_text(folder / "memory.current"))
        cached = _fields(folder / "memory.stat", "inactive_file").get("inactive_file", "0")
        yield max(0, limit - used + int(cached))  # what is cached of files makes room when somebody needs it


def _fields(path: Path, *names: str) -> Mapping[str, str]:
    lines = (line.partition(" ") for line in _text(path).splitlines())
    return {name: value.strip() for name, _, value in lines if name in names}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
