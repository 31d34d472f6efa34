"""Kill a search N times at random, its driver or its worker, resume it each time, and compare it with an unbroken one.

    python benchmarks/random_kills.py [--kills 20] [--seed 0]

One worker, so that the sequence of trials is defined. Prints what was killed and when, then the invariants: as many
trials as the budget, none left running, none twice, database whole, the same params and values as the unbroken
search, the best one exportable. Exits 1 when one does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TUNER = [sys.executable, "-m", "tuner"]
SEARCH = [*TUNER, "search", "--space", "mlp.yaml", "--trials", "30", "--workers", "1", "--json"]
SEARCH += ["--set", "train.epochs=60", "--set", "search.pruner=median", "--set", "train.early_stopping=off"]
SEARCH += ["--set", "confirm=off"]
LONGEST_S = 4.0
"""A kill comes up to that long after the first event of a session."""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(SEARCH, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def kill_once(folder: Path, rng: random.Random) -> str:
    """Start the search and kill its driver, or its worker, at a random moment; what happened, in words."""
    process = start(folder)
    assert process.stdout is not None
    process.stdout.readline()  # the study is there
    after = rng.uniform(0.0, LONGEST_S)
    time.sleep(after)
    workers = (
        [worker for server in children(process.pid) for worker in children(server)] if process.poll() is None else []
    )
    victim = rng.choice(["driver", "worker"]) if workers else "driver"
    if process.poll() is None:
        os.kill(process.pid if victim == "driver" else workers[0], signal.SIGKILL)
        if victim == "worker":  # the search goes on; stop it too, so that the next run resumes both
            time.sleep(rng.uniform(0.0, 1.0))
            process.kill()
    process.stdout.read()
    return f"{victim} after {after:.2f} s"


def trials(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run([*TUNER, "trials", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in json.loads(done.stdout)]


def check(name: str, *, holds: bool) -> bool:
    print(f"{'ok  ' if holds else 'FAIL'}  {name}")
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as parent:
        unbroken, killed = Path(parent, "unbroken"), Path(parent, "killed")
        unbroken.mkdir()
        killed.mkdir()
        start(unbroken).communicate()
        for number in range(options.kills):
            what = kill_once(killed, rng)
            states = [row["state"] for row in trials(killed)]
            print(
                f"kill {number + 1:2d}: {what}; {len(states)} trials, {states.count('complete')} complete", flush=True
            )
        code = start(killed)
        code.communicate()
        rows = trials(killed)
        with sqlite3.connect(killed / "studies.db") as connection:
            damage = connection.execute("PRAGMA integrity_check").fetchone()[0]
        best = subprocess.run([*TUNER, "best"], cwd=killed, capture_output=True, check=False).returncode
        held = [
            check("the last run exits 0", holds=code.returncode == 0),
            check("trials = budget, each number once", holds=[row["number"] for row in rows] == list(range(30))),
            check("none left running or paused", holds={row["state"] for row in rows} <= {"complete", "pruned"}),
            check("the same trials as the unbroken search", holds=rows == trials(unbroken)),
            check("the database is whole", holds=damage == "ok"),
            check("the best trial is exportable", holds=best == 0),
        ]
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
