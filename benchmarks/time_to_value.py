"""How soon the default search finds what TPE with the median rule finds, on the real Fashion-MNIST.

The shipped search_spaces/fashion_mlp.yaml without a limit of trials, in turns: `sampler: tpe, pruner: median` for
`--minutes`, and the default (`auto`) until it has as good a validation accuracy or half of that time is over, each in
an empty folder with a seed of its own. A value counts from the moment its epoch is reported; time begins with the first
epoch of the search.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _fashion import ABSENT, torchvision_root
from _machine import header, out_option, save

SPACE = Path(__file__).resolve().parent.parent / "search_spaces" / "fashion_mlp.yaml"
PEER = ("search.sampler=tpe", "search.pruner=median")


@dataclass(slots=True)
class Curve:
    """The best value so far, and when it was reached, in seconds from the first epoch."""

    steps: list[tuple[float, float]] = field(default_factory=list)
    n_trials: int = 0
    n_epochs: int = 0

    @property
    def best(self) -> float:
        return self.steps[-1][1] if self.steps else 0.0

    def reached(self, value: float) -> float | None:
        return next((seconds for seconds, best in self.steps if best >= value), None)


def main() -> None:
    """Run the searches in turns and print a line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the peer's search (default: 10)")
    parser.add_argument("--seeds", type=int, default=3, help="pairs of searches (default: 3)")
    out_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if torchvision_root(Path(folder) / "torchvision") is None:
            print(ABSENT)
            return
        print(f"{header()}\n")
        print("seed  tpe + median: best  epochs  auto: best  epochs  reached it after  share of the time")
        rows = [_pair(Path(folder), seed, 60.0 * options.minutes) for seed in range(options.seeds)]
    shares = [row["share"] for row in rows]
    print(f"\nmedian share of the time that auto took: {statistics.median(shares):.2f}")
    save(options.out, rows=rows, summary={"time_share": statistics.median(shares)})


def _pair(folder: Path, seed: int, seconds: float) -> dict[str, float]:
    peer = _search(folder / f"peer-{seed}", seed, seconds, PEER)
    own = _search(folder / f"auto-{seed}", seed, seconds / 2, (), target=peer.best)
    reached = own.reached(peer.best)
    share = 1.0 if reached is None else reached / seconds
    when = "not in half of it" if reached is None else f"{reached:.0f} s"
    left = f"{seed:>4}  {peer.best:>18.4f}  {peer.n_epochs:>6}"
    print(f"{left}  {own.best:>10.4f}  {own.n_epochs:>6}  {when:>16}  {share:>17.2f}", flush=True)
    return {"seed": seed, "peer_best": peer.best, "auto_best": own.best, "share": share}


def _search(folder: Path, seed: int, seconds: float, sets: Sequence[str], target: float | None = None) -> Curve:
    """A search that runs for this long, or until it has a value as good as `target`."""
    folder.mkdir()
    command = [sys.executable, "-m", "tuner", "search", "--space", str(SPACE), "--json", "--seed", str(seed)]
    command += ["--timeout", f"{seconds + 30:.0f}s", "--set", "search.trials=null", "--set", "confirm=off"]
    command += [part for item in sets for part in ("--set", item)]
    found, started = Curve(), 0.0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "trial":
                found.n_trials += 1
            if event["event"] != "epoch":
                continue
            started = started or time.monotonic() - event["seconds"]
            found.n_epochs += 1
            now, value = time.monotonic() - started, event["value"]
            if now > seconds:
                break
            if value is not None and value > found.best:
                found.steps.append((now, value))
            if target is not None and found.best >= target:
                break
        process.terminate()
    return found


if __name__ == "__main__":
    main()
