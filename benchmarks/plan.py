"""Forecasts against what the searches then took: three searches of different kinds.

    python benchmarks/plan.py --out benchmarks/results/plan.json

A search is planned and then run, by the commands that users type, in a folder of its own. `within` is whether the time
that the study took lies in the planned range; `width` the high of that range relative to its low. Other processes make
both worse: a plan is measured in seconds, for a search that may run among others. Fashion-MNIST is looked for where
`tuner search` looks for it, and replaced by digits where it is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _machine import header, out_option, save

ROOT = Path(__file__).resolve().parent.parent
TABLE = """
version: 1
study: table
objective: {metric: roc_auc}
data: {kind: breast_cancer, batch_size: 16, split: {val: 0.2, test: 0.2}}
model: {kind: mlp, depth: 2, width: 64}
train: {epochs: 40}
space:
  model.depth: {low: 1, high: 4}
  model.width: {low: 16, high: 256, log: true}
  model.norm: [none, batch]
  data.batch_size: [8, 16, 32]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
search: {trials: 24, pruner: none, workers: 1}
"""
CONVNET = """
version: 1
study: convnet
objective: {metric: accuracy}
data: {kind: DATA, batch_size: 128}
model: {kind: convnet, depth: 2, width: 8, head_width: 32}
train: {epochs: 6, batches_per_epoch: 40}
space:
  model.width: {low: 4, high: 16}
  model.kernel: [3, 5]
  model.dropout: {low: 0.0, high: 0.4}
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 12, workers: 2, pruner: {kind: median, n_startup_trials: 3}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    space: str
    """A shipped file, or the text of one."""
    arguments: tuple[str, ...] = ()


def cases() -> list[Case]:
    images = "fashion_mnist" if Path("/usr/share/datasets/fashion-mnist").is_dir() else "digits"
    mlp = ("--trials", "40", "--set", "search.pruner=median")
    return [
        Case(name="mlp on digits, median, 2 workers", space="mlp.yaml", arguments=(*mlp, "--workers", "2")),
        Case(name="mlp on a table, nothing pruned, 1 worker", space=TABLE),
        Case(name=f"convnet on {images}, median, 2 workers", space=CONVNET.replace("DATA", images)),
    ]


def run(case: Case, seed: int) -> dict[str, Any]:
    """Plan and search; the figures of both."""
    with tempfile.TemporaryDirectory() as folder:
        space = case.space
        if "\n" in space:
            space = "case.yaml"
            (Path(folder) / space).write_text(case.space, encoding="utf-8")
        options = ["--space", space, *case.arguments, "--seed", str(seed)]
        started = time.perf_counter()
        planned = json.loads(_tuner(folder, "plan", *options, "--json"))
        plan_s = time.perf_counter() - started
        text = _tuner(folder, "search", *options)
        with closing(sqlite3.connect(Path(folder) / "studies.db")) as connection:
            seconds = connection.execute("SELECT sum(seconds) FROM tuner_sessions").fetchone()[0]
            epochs = connection.execute("SELECT count(*) FROM tuner_epochs").fetchone()[0]
    low, high = planned["seconds"]
    return {
        "search": case.name,
        "seed": seed,
        "plan_s": plan_s,
        "low_s": low,
        "high_s": high,
        "took_s": seconds,
        "within": low <= seconds <= high,
        "width": high / low,
        "low_epochs": planned["epochs"][0],
        "high_epochs": planned["epochs"][1],
        "epochs": epochs,
        "busy_share": planned["busy_share"],
        "said": next(line for line in text.splitlines() if line.startswith("planned ")),
    }


def _tuner(folder: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tuner", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each search, with other seeds")
    out_option(parser)
    options = parser.parse_args()
    print(header())
    print()
    ranges, epochs = f"{'planned':>17} {'took':>8} {'within':>6} {'width':>6}", f"{'epochs planned':>15} {'real':>6}"
    print(f"{'search':42} {ranges} {epochs} {'busy':>5}")
    rows = []
    for case in cases():
        for seed in range(options.seeds):
            row = run(case, seed)
            rows.append(row)
            planned = f"{row['low_s']:.1f} to {row['high_s']:.1f} s"
            epochs = f"{row['low_epochs']:.0f} to {row['high_epochs']:.0f}"
            print(
                f"{row['search']:42} {planned:>17} {row['took_s']:6.1f} s {'yes' if row['within'] else 'no':>6} "
                f"{row['width']:6.1f} {epochs:>15} {row['epochs']:6d} {row['busy_share']:5.0%}",
                flush=True,
            )
    summary = {
        "n": len(rows),
        "n_within": sum(row["within"] for row in rows),
        "largest_width": max(row["width"] for row in rows),
        "slowest_plan_s": max(row["plan_s"] for row in rows),
    }
    print(f"\n{summary['n_within']} of {summary['n']} within; a plan took at most {summary['slowest_plan_s']:.0f} s")
    save(options.out, rows=rows, summary=summary)


if __name__ == "__main__":
    main()
