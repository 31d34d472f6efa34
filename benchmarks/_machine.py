"""What every benchmark says at its top: machine, cores, versions, load, command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("tuner", "torch", "optuna", "numpy")


def n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def header() -> str:
    """Lines that belong above every number; the load is that of the last minute before the start."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    script = Path(sys.argv[0])
    return "\n".join(
        [
            f"machine   {cpu_name()}, {n_cores()} cores; load before the start {os.getloadavg()[0]:.2f}",
            f"versions  Python {platform.python_version()}, {versions}",
            f"command   python {script.parent.name}/{shlex.join([script.name, *sys.argv[1:]])}",
        ]
    )
