"""What every benchmark says at its top (machine, cores, versions, load, command), and keeps as JSON with `--out`.

A benchmark adopts it in three lines:

    out_option(parser)                                    # --out FILE.json
    print(header())
    save(options.out, rows=[{"workers": 2, ...}, ...], summary={"ratio": 1.9})

`rows` are what was measured, one dict a line of the printed table; `summary` has the figures that a claim is judged by.
`benchmarks/plots.py` says which names it reads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("tuner", "torch", "optuna", "numpy")
LOAD_BEFORE = os.getloadavg()[0]
"""Of the last minute, read at the import: the benchmark's own load is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run of one benchmark, as it is kept in benchmarks/results/."""

    benchmark: str
    """The script's name, without .py."""
    header: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]


def n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def facts() -> dict[str, Any]:
    """The header as values."""
    script = Path(sys.argv[0])
    return {
        "machine": cpu_name(),
        "cores": n_cores(),
        "load": round(LOAD_BEFORE, 2),
        "versions": {"Python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
        "command": f"python {script.parent.name}/{shlex.join([script.name, *_shown_arguments()])}",
    }


def header() -> str:
    """Lines that belong above every number; the load is that of the last minute before the start."""
    known = facts()
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    return "\n".join(
        [
            f"machine   {known['machine']}, {known['cores']} cores; load before the start {known['load']:.2f}",
            f"versions  {versions}",
            f"command   {known['command']}",
        ]
    )


def _shown_arguments() -> list[str]:
    """The arguments without `--out FILE`, which changes no number, and without the folders of this machine."""
    arguments = sys.argv[1:]
    if "--out" in arguments:
        place = arguments.index("--out")
        arguments = arguments[:place] + arguments[place + 2 :]
    return [Path(argument).name if argument.startswith("/") else argument for argument in arguments]


def out_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also keep the figures as JSON")


def save(
    out: Path | None, *, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None = None
) -> Result | None:
    """Write header, rows and summary to `out`; nothing without it."""
    if out is None:
        return None
    result = Result(
        benchmark=Path(sys.argv[0]).stem, header=facts(), rows=[dict(row) for row in rows], summary=dict(summary or {})
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(asdict(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def load(path: Path) -> Result:
    """Read what `save` wrote."""
    return Result(**json.loads(path.read_text(encoding="utf-8")))
