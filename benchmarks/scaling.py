"""How many more epochs two workers train in a second than one.

Real `tuner search` runs in temporary folders: the same trials (random sampler, no pruning, early stopping off), each
trial with the same number of epochs on the same network, so that every epoch costs about the same. One worker and two
workers alternate (A B A B ...); each B is divided by the A before it, and the median of these ratios is printed last.

The clock runs from the moment at which every worker has finished its first epoch to the last epoch of the search:
loading torch and decoding the data are not in it. The time of an epoch is when its event arrives here. A single worker
has as many threads as there are cores, as `tuner search --workers 1` gives it; with --pin it has one core and one
thread, and shares the core with the driver.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _machine import header, out_option, save

from tuner.config.schema import ImageData
from tuner.data.sources import SOURCES
from tuner.errors import NotFoundError

COMMON = ("search.sampler=random", "search.pruner=none", "train.early_stopping=off", "train.device=cpu", "confirm=off")
SEARCHES = {
    "fashion_mlp.yaml": (
        "data.batch_size=128",
        "model.depth=2",
        "model.width=256",
        "model.norm=none",
        "optimizer.kind=adamw",
    ),
    "mlp.yaml": ("data.batch_size=16", "model.depth=2", "model.width=256", "optimizer.kind=adamw"),
}
"""Space file: what is pinned, so that trials differ in nothing that changes their speed."""
EPOCHS = {"fashion_mlp.yaml": 3, "mlp.yaml": 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One search: epochs inside the clock, its seconds, and how it was run."""

    workers: int
    threads: int
    n_epochs: int
    seconds: float

    @property
    def epochs_per_s(self) -> float:
        return self.n_epochs / self.seconds


def main() -> None:
    """Alternate the two, print a line each, and the median ratio last."""
    options = _options()
    space = options.space or _default_space()
    print(f"{header()}\nsearch    {space}, {options.trials} trials of {EPOCHS[space]} epochs, {_pins(space)}")
    print(f"n         {options.pairs} pairs, alternating\n\nworkers  threads  epochs  seconds  epochs/s  ratio")
    ratios = []
    rows: list[dict[str, float]] = []
    for _ in range(options.pairs):
        one = _shown(_run(space, options.trials, workers=1, pin=options.pin))
        two = _shown(_run(space, options.trials, workers=2), one)
        ratios.append(two.epochs_per_s / one.epochs_per_s)
        rows += [{"workers": run.workers, "epochs_per_s": run.epochs_per_s} for run in (one, two)]
    save(options.out, rows=rows, summary={"ratio": statistics.median(ratios)})
    print(f"\nmedian ratio {statistics.median(ratios):.2f} (2 workers over 1, {len(ratios)} pairs)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs (default: 3)")
    parser.add_argument("--trials", type=int, default=6, help="trials of a run, an even number (default: 6)")
    parser.add_argument("--space", choices=SEARCHES, help="default: fashion_mlp.yaml where the data is on disk")
    parser.add_argument("--pin", action="store_true", help="give the single worker one core and one thread")
    out_option(parser)
    return parser.parse_args()


def _default_space() -> str:
    try:
        SOURCES["fashion_mnist"].files(ImageData(kind="fashion_mnist", download=False), Path.cwd())
    except NotFoundError:
        return "mlp.yaml"
    return "fashion_mlp.yaml"


def _pins(space: str) -> str:
    return " ".join((*COMMON, *SEARCHES[space]))


def _run(space: str, trials: int, *, workers: int, pin: bool = False) -> Measured:
    sets = (*COMMON, *SEARCHES[space], f"train.epochs={EPOCHS[space]}")
    command = [sys.executable, "-m", "tuner", "search", "--space", space, "--json"]
    command += ["--workers", str(workers), "--trials", str(trials)]
    command += [part for text in sets for part in ("--set", text)]
    with tempfile.TemporaryDirectory() as folder:
        events = _events(command, folder, _pinned if pin else None)
    return _measured(events, workers)


def _pinned() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _events(
    command: Sequence[str], folder: str, first: Callable[[], None] | None
) -> list[tuple[float, dict[str, object]]]:
    """Every event of a search with the time at which it arrived."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=first) as process:  # noqa: PLW1509 - this process has one thread
        assert process.stdout is not None
        events = [(time.perf_counter(), json.loads(line)) for line in process.stdout]
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} exited {process.returncode}: {events[-1:]}")
    return events


def _measured(events: Sequence[tuple[float, dict[str, object]]], workers: int) -> Measured:
    started = next(event for _, event in events if event["event"] == "study")
    epochs = [(moment, event["trial"]) for moment, event in events if event["event"] == "epoch"]
    seen: set[object] = set()
    for index, (moment, trial) in enumerate(epochs):
        seen.add(trial)
        if len(seen) == workers:  # every worker is at work from here on
            return Measured(
                workers=workers,
                threads=int(str(started["threads"])),
                n_epochs=len(epochs) - index - 1,
                seconds=epochs[-1][0] - moment,
            )
    sys.exit(f"only {len(seen)} of {workers} workers trained; give more --trials")


def _shown(run: Measured, base: Measured | None = None) -> Measured:
    ratio = f"{run.epochs_per_s / base.epochs_per_s:>5.2f}" if base else ""
    rate = f"{run.n_epochs:>6}  {run.seconds:>7.1f}  {run.epochs_per_s:>8.3f}"
    print(f"{run.workers:>7}  {run.threads:>7}  {rate}  {ratio}".rstrip(), flush=True)
    return run


if __name__ == "__main__":
    main()
