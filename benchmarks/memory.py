"""What a further worker costs in memory: a real search on Fashion-MNIST with 1, 2 and 3 workers.

While every worker trains, the processes of the search (the driver, the fork server, the workers) are read from
/proc/<pid>/smaps_rollup. RSS counts a page in every process that maps it; PSS divides it by their number, so that the
sum over the tree is what the machine pays; private is what would be free if that process alone ended. What a further
worker costs is the difference of the tree's PSS, and that line is printed last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from _machine import header, out_option, save

SPACE = "fashion_mlp.yaml"
SETS = (
    "search.sampler=random",
    "search.pruner=none",
    "train.early_stopping=off",
    "train.device=cpu",
    "train.epochs=15",
)
KEYS = {"rss": ("Rss",), "pss": ("Pss",), "private": ("Private_Clean", "Private_Dirty")}
KB = 1024
MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MB of one process, or of several together."""

    rss: float
    pss: float
    private: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        sums = {name: sum(kilobytes[key] for key in keys) * KB / MB for name, keys in KEYS.items()}
        return cls(**sums)

    @classmethod
    def total(cls, parts: Sequence[Memory]) -> Memory:
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in KEYS})


def main() -> None:
    """Print every process of each search, and the differences last."""
    options = _options()
    print(f"{header()}\nsearch    {SPACE}, {' '.join(SETS)}; after {options.epochs} epochs of every worker; MB\n")
    print("workers  process          rss     pss  private")
    totals = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for n_workers in range(1, options.workers + 1):
            processes = _measured(n_workers, options.epochs, Path(folder))
            for name, memory in processes:
                _print(n_workers, name, memory)
            totals.append(Memory.total([memory for _, memory in processes]))
            _print(n_workers, "all", totals[-1])
    print()
    further = [more.pss - fewer.pss for fewer, more in pairwise(totals)]
    rows = [{"workers": n, "rss_mb": total.pss} for n, total in enumerate(totals, start=1)]
    save(options.out, rows=rows, summary={"further_worker_mb": max(further)} if further else {})
    for n_workers, (fewer, more) in enumerate(pairwise(totals), start=2):
        print(
            f"worker {n_workers} costs {more.pss - fewer.pss:.0f} MB (PSS of the tree), "
            f"{more.private - fewer.private:.0f} MB private, {more.rss - fewer.rss:.0f} MB RSS"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=3, help="most workers (default: 3)")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of every worker before the look (default: 2)")
    out_option(parser)
    return parser.parse_args()


def _measured(n_workers: int, n_epochs: int, folder: Path) -> list[tuple[str, Memory]]:
    """Every process of a search whose workers have all trained for `n_epochs`."""
    command = [sys.executable, "-m", "tuner", "search", "--space", SPACE, "--json", "--study", f"workers-{n_workers}"]
    command += ["--workers", str(n_workers), "--trials", str(n_workers)]
    command += [part for text in SETS for part in ("--set", text)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen: dict[int, int] = {}
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "epoch":
                seen[event["trial"]] = event["epoch"]
            if len(seen) == n_workers and min(seen.values()) >= n_epochs:
                found = list(_processes(process.pid))
                process.kill()
                _wait_for_end([pid for _, pid, _ in found])
                return [(name, memory) for name, _, memory in found]
    sys.exit(f"{' '.join(command)} ended too early; give fewer --epochs")


def _processes(root: int) -> Iterator[tuple[str, int, Memory]]:
    """Name, id and memory of a search's processes: its children that run Python, and the fork server's children."""
    yield "driver", root, Memory.of(root)
    for child in _children(root):
        workers = _children(child)
        yield ("fork server" if workers else "tracker"), child, Memory.of(child)
        for number, worker in enumerate(workers, start=1):
            yield f"worker {number}", worker, Memory.of(worker)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]


def _wait_for_end(pids: Sequence[int]) -> None:
    """Workers die with their driver; the next search should find the machine empty."""
    while any(_is_alive(pid) for pid in pids):
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _print(n_workers: int, name: str, memory: Memory) -> None:
    print(f"{n_workers:>7}  {name:<12} {memory.rss:>7.0f} {memory.pss:>7.0f}  {memory.private:>7.0f}", flush=True)


if __name__ == "__main__":
    main()
