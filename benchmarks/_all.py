"""Run the benchmarks one after the other, keep what they print and their JSON, then draw the plots.

    python benchmarks/_all.py [NAME ...] [--results DIR] [-- OPTION ...]

Without names all of benchmarks/[!_]*.py, plots.py last. What follows `--` goes to each of them. A benchmark that fails
leaves its old results as they are; the others still run, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PLOTS = "plots"


def main() -> None:
    options, rest = _options()
    names = options.names or sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != PLOTS)
    options.results.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if not run(name, options.results.resolve(), rest)]
    plots = subprocess.run(
        [sys.executable, str(FOLDER / f"{PLOTS}.py"), "--results", str(options.results)], check=False
    )
    if plots.returncode != 0:
        failed.append(PLOTS)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _options() -> tuple[argparse.Namespace, list[str]]:
    arguments = sys.argv[1:]
    rest = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    mine = arguments[: arguments.index("--")] if "--" in arguments else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark, without .py (default: all)")
    parser.add_argument("--results", type=Path, default=FOLDER / "results")
    return parser.parse_args(mine), rest


def run(name: str, results: Path, rest: Sequence[str]) -> bool:
    """Run one, shown as it goes; whether it ended well."""
    script = FOLDER / f"{name}.py"
    print(f"== {script.relative_to(FOLDER.parent)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"{name}.json"
        keeps_json = "out_option(" in script.read_text(encoding="utf-8")
        command = [sys.executable, str(script), *rest, *(["--out", str(out)] if keeps_json else [])]
        text, code = _shown(command)
        if code != 0:
            return False
        if out.exists() or not keeps_json:  # neither is there when the data was not found
            (results / f"{name}.txt").write_text(text, encoding="utf-8")
        if out.exists():
            (results / out.name).write_bytes(out.read_bytes())
    return True


def _shown(command: Sequence[str]) -> tuple[str, int]:
    """What a command prints, shown as it comes, and its exit status."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), process.returncode


if __name__ == "__main__":
    main()
