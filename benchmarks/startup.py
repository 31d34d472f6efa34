"""How long after a bare script could have imported torch the first epoch of a search is finished.

Four cases: the digits (mlp.yaml) and Fashion-MNIST (fashion_mlp.yaml), each in an empty folder (the data has to be
decoded) and in one where an earlier search decoded it. A round runs `python -c "import torch"` and then each case; the
excess of a case is its time, from starting the process to the first epoch event of `tuner search --json`, minus that of
the bare import in the same round. Medians over the rounds are printed last, with when the events before came.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _machine import header, out_option, save

SPACES = ("mlp.yaml", "fashion_mlp.yaml")
EVENTS = ("study", "trial", "epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start: seconds from starting the process to the first event of each kind."""

    case: str
    bare_s: float
    events_s: dict[str, float]
    first_epoch_s: float
    """How long the epoch itself took."""

    @property
    def excess_s(self) -> float:
        return self.events_s["epoch"] - self.bare_s


def main() -> None:
    """Run the rounds, print a line a start, and the medians last."""
    options = _options()
    print(f"{header()}\nn         {options.rounds} rounds, alternating; seconds\n")
    print(f"{'case':<28}  bare torch  study  trial  epoch  (itself)  excess")
    starts: list[Start] = []
    for _ in range(options.rounds):
        bare_s = _bare()
        for space in options.space or SPACES:
            starts += [_shown(start) for start in _cases(space, bare_s)]
    print("\nmedians")
    excess: dict[str, float] = {}
    for case in dict.fromkeys(start.case for start in starts):
        of_case = [start for start in starts if start.case == case]
        _print(case, of_case)
        excess[case] = statistics.median(start.excess_s for start in of_case)
    rows = [{"case": case, "excess_s": seconds} for case, seconds in excess.items()]
    summary = {
        key: max(seconds for case, seconds in excess.items() if case.startswith(space))
        for key, space in (("first_epoch_after_torch_s", SPACES[0]), ("first_epoch_after_torch_fashion_s", SPACES[1]))
        if any(case.startswith(space) for case in excess)
    }
    save(options.out, rows=rows, summary=summary)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--space", choices=SPACES, action="append", help="default: both")
    out_option(parser)
    return parser.parse_args()


def _bare() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - started


def _cases(space: str, bare_s: float) -> Iterator[Start]:
    with _folder() as folder:
        yield _start(f"{space}, empty folder", space, folder, bare_s)
        for path in folder.glob("*.db*"):  # another search: the same decoded data, no trials
            path.unlink()
        yield _start(f"{space}, decoded", space, folder, bare_s)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a worker that is ending may still write


def _start(case: str, space: str, folder: Path, bare_s: float) -> Start:
    """Search until the first epoch is over, then end everything."""
    command = [sys.executable, "-m", "tuner", "search", "--space", space, "--json"]
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            seconds.setdefault(str(event.get("event")), time.perf_counter() - started)
            if event.get("event") == "epoch":
                process.kill()
                return Start(case=case, bare_s=bare_s, events_s=seconds, first_epoch_s=float(event["seconds"]))
    sys.exit(f"{' '.join(command)} ended without an epoch")


def _shown(start: Start) -> Start:
    _print(start.case, [start])
    return start


def _print(case: str, starts: Sequence[Start]) -> None:
    bare = statistics.median(start.bare_s for start in starts)
    study, trial, epoch = (statistics.median(start.events_s[event] for start in starts) for event in EVENTS)
    itself = statistics.median(start.first_epoch_s for start in starts)
    excess = statistics.median(start.excess_s for start in starts)
    print(
        f"{case:<28}  {bare:>10.2f}  {study:>5.2f}  {trial:>5.2f}  {epoch:>5.2f}  {itself:>8.2f}  {excess:>6.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
