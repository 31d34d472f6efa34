"""How good a model a search finds with how much training, on learning curves that are looked up.

`tuner.Controller`, the decision-maker of `tuner search`, against random search and Optuna's TPE with the median rule
(both through the same Controller), on the tasks of benchmarks/_tasks.py: those of the folder `--tables` where there is
one, else synthetic ones. A budget is a number of full trainings, counted in epochs; a trial that goes on pays for its
new epochs only. Regret is 0 for the best loss of the table and 1 for the median configuration; printed is that of the
best validation loss seen. Seeds differ in everything that is random.

`--workers 8` simulates so many workers in virtual time, one epoch of each a tick, at equal total epochs.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _machine import header, n_cores, out_option, save
from _tasks import Task, load_all

import tuner

BUDGETS = (5, 10, 20, 50)
METHODS: dict[str, Mapping[str, Any]] = {
    "auto": {},
    "asha, random": {"sampler": "random", "pruner": "asha"},
    "tpe + median": {"sampler": "tpe", "pruner": "median"},
    "random, full": {"sampler": "random", "pruner": "none"},
}
RECORDED = {
    "BOHB's rule with promotion": (0.360, 0.247, 0.162, 0.100),
    "ASHA, promote, random": (0.365, 0.294, 0.215, 0.142),
    "Optuna 5 TPE + Hyperband": (0.551, 0.317, 0.285, 0.270),
    "Optuna 5 TPE + SuccessiveHalving": (0.441, 0.417, 0.391, 0.391),
    "Optuna 5 TPE + Median": (0.652, 0.362, 0.311, 0.303),
    "Optuna 5 TPE, no pruning": (0.652, 0.445, 0.311, 0.255),
}
"""Of the five development tables, 8 seeds, as their README has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One search."""

    method: str
    task: str
    seed: int
    regrets: tuple[float, ...]
    n_trials: int
    ask_ms: float
    """Mean processor time of an ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run."""

    method: str
    task: int
    seed: int
    workers: int
    tables: Path | None


def main() -> None:
    """Score the methods and print a line for each."""
    options = _options()
    tasks = load_all(options.tables)
    print(f"{header()}\ntasks     {', '.join(task.name for task in tasks)}\nn         {options.seeds} seeds a task\n")
    print(f"{'mean regret +- standard error':<34}" + "".join(f"{f'@{budget}x':>14}" for budget in BUDGETS) + "  ask ms")
    rows = []
    for workers in options.workers:
        for method in options.methods:
            runs = _run_all(method, workers, tasks, options)
            rows += [_row(method, workers, kind, runs) for kind in _kinds(runs)]
            for row in rows[-len(_kinds(runs)) :]:
                print(_line(row), flush=True)
    if tasks[0].name.startswith("mlp"):
        for name, regrets in RECORDED.items():
            print(f"{name + ' (recorded)':<34}" + "".join(f"{regret:>14.3f}" for regret in regrets))
    save(options.out, rows=rows, summary=_summary(rows))


def _options() -> argparse.Namespace:
    beside = Path(__file__).resolve().parents[2] / "shared" / "bench"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=beside, help="folder of curves.py (default: ../shared/bench)")
    parser.add_argument("--seeds", type=int, default=10, help="searches a task (default: 10)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8], help="simulated workers (default: 1 8)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    out_option(parser)
    return parser.parse_args()


def _run_all(method: str, workers: int, tasks: Sequence[Task], options: argparse.Namespace) -> list[Run]:
    orders = [
        Order(method=method, task=index, seed=seed, workers=workers, tables=options.tables)
        for seed in range(options.seeds)
        for index in range(len(tasks))
    ]
    with multiprocessing.get_context("spawn").Pool(n_cores()) as pool:
        return pool.map(run, orders, chunksize=1)


_TASKS: dict[Path | None, list[Task]] = {}


def run(order: Order) -> Run:
    """Search one task once."""
    if order.tables not in _TASKS:
        _TASKS[order.tables] = load_all(order.tables)
    task = _TASKS[order.tables][order.task]
    search = Search(task, METHODS[order.method], order.seed)
    regrets = search.run(order.workers)
    return Run(
        method=order.method,
        task=task.name,
        seed=order.seed,
        regrets=tuple(regrets),
        n_trials=search.n_trials,
        ask_ms=1000 * search.ask_s / max(1, search.n_asks),
    )


class Search:
    """One search, of any number of workers, in virtual time."""

    def __init__(self, task: Task, settings: Mapping[str, Any], seed: int) -> None:
        self._task = task
        space = {
            name: {
                **{key: entry[key] for key in ("low", "high", "log")},
                "type": "int" if entry["integer"] else "float",
            }
            for name, entry in task.space.items()
        }
        self._controller = tuner.Controller(space, settings, epochs=task.epochs, direction="minimize", seed=seed)
        self._curves: dict[int, Sequence[float]] = {}
        self.ask_s, self.n_asks = 0.0, 0

    @property
    def n_trials(self) -> int:
        return len(self._curves)

    def run(self, n_workers: int) -> list[float]:
        """The regret at each of the budgets."""
        marks = [budget * self._task.epochs for budget in BUDGETS]
        found: list[float] = []
        used, best = 0, math.inf
        running: list[tuple[int, int]] = []
        while used < marks[-1]:
            running += [self._next() for _ in range(n_workers - len(running))]
            going = []
            for trial, epoch in running:
                value, used = float(self._curves[trial][epoch - 1]), used + 1
                best = min(best, value) if math.isfinite(value) else best
                found += [self._task.regret(best)] * (used in marks)
                if self._controller.report(trial, epoch, value) == "continue":
                    going.append((trial, epoch + 1))
            running = going
        return found[: len(BUDGETS)]

    def _next(self) -> tuple[int, int]:
        started = time.process_time()
        job = self._controller.ask()
        self.ask_s, self.n_asks = self.ask_s + time.process_time() - started, self.n_asks + 1
        assert job is not None
        if job.trial not in self._curves:
            self._curves[job.trial] = self._task.curve(dict(job.params))
        return job.trial, job.first_epoch


def _kinds(runs: Sequence[Run]) -> list[str]:
    """`all`, and the first words of the tasks' names where they differ."""
    found = list(dict.fromkeys(run.task.partition("-")[0] for run in runs))
    return ["all", *found] if len(found) > 1 else ["all"]


def _row(method: str, workers: int, kind: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Means over tasks and seeds; the standard error is that of the seeds, tasks being fixed."""
    of_kind = [run for run in runs if kind in ("all", run.task.partition("-")[0])]
    tasks = list(dict.fromkeys(run.task for run in of_kind))
    row: dict[str, Any] = {"method": method, "workers": workers, "tasks": kind}
    for place, budget in enumerate(BUDGETS):
        by_task = [[run.regrets[place] for run in of_kind if run.task == task] for task in tasks]
        row[f"regret_{budget}x"] = statistics.fmean(statistics.fmean(values) for values in by_task)
        variance = sum(statistics.variance(values) / len(values) if len(values) > 1 else 0.0 for values in by_task)
        row[f"error_{budget}x"] = math.sqrt(variance) / len(tasks)
    row["ask_ms"] = statistics.fmean(run.ask_ms for run in of_kind)
    row["trials"] = statistics.fmean(run.n_trials for run in of_kind)
    return row


def _line(row: Mapping[str, Any]) -> str:
    name = row["method"] + (f", {row['workers']} workers" if row["workers"] > 1 else "")
    name += "" if row["tasks"] == "all" else f" ({row['tasks']} tasks)"
    cells = "".join(f"{row[f'regret_{budget}x']:>7.3f}{row[f'error_{budget}x']:>7.3f}" for budget in BUDGETS)
    return f"{name:<34}{cells}  {row['ask_ms']:>6.1f}"


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        if row["method"] == "auto":
            prefix = f"{row['tasks']}_{row['workers']}_workers"
            found |= {f"{prefix}_{budget}x": row[f"regret_{budget}x"] for budget in BUDGETS}
    one, many = found.get("all_1_workers_20x"), found.get("all_8_workers_20x")
    if one and many:
        found["loss_of_8_workers_20x"] = many / one - 1.0
    return found


if __name__ == "__main__":
    main()
