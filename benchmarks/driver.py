"""What a search costs on the driver's side: epoch events, asking, resuming, looking.

Four parts, on README's example (`mlp.yaml`: 10 parameters and more, with conditions) with `auto` sampler and pruner:

    events   the real session, driver and SQLite file, with 1, 8 and 64 workers in this process that cost nothing;
             trials end and are asked for on the way; CPU is all of this process, the pretended workers included
    ask      the mean time of an ask with 100, 1000 and 5000 trials told, for `auto` and for Optuna's TPE in turns;
             `stored` adds the transaction that records it
    resume   a study of 5000 trials of 20 epochs, 8 of them unfinished: opening, history, adviser, open trials, weights
    look     `tuner status` and `tuner trials` on it, whole processes, after one that compiles the modules
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from _machine import header, out_option, save
from _studies import SleepingExecutor, accuracy, advisor_of, fill, random_advisor, spec_of, url_in

from tuner.config import schema
from tuner.control.controller import TrialState
from tuner.paths import StudyPaths
from tuner.study.advisor import StudyAdvisor
from tuner.study.records import StoredTrial, distribution_of
from tuner.study.store import StudyStore
from tuner.workflows.progress import SilentReporter
from tuner.workflows.retention import Finished, Retention
from tuner.workflows.session import Session

Found = tuple[list[dict[str, Any]], dict[str, float]]
"""Rows and summary of the JSON."""
N_TRIALS = 5000
SIZES = (100, 1000, 5000)


def main() -> None:
    """Measure the four parts, or those that are named."""
    parts: dict[str, Callable[[argparse.Namespace], Found]] = {
        "events": _events,
        "ask": _asks,
        "resume": _resume,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)} (look comes with resume); default: all")
    parser.add_argument("--seconds", type=int, default=8, help="length of a run of events (default: 8)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of asks, resumes and looks (default: 5)")
    out_option(parser)
    options = parser.parse_args()
    print(f"{header()}\ndisk      one commit of SQLite takes {1000 * _commit_s():.1f} ms (median of 50)")
    rows: list[dict[str, Any]] = []
    summary: dict[str, float] = {}
    for name in options.parts or parts:
        found_rows, found = parts[name](options)
        rows += found_rows
        summary |= found
    save(options.out, rows=rows, summary=summary)


def _commit_s() -> float:
    """What a durable transaction costs here at least; a disk that others use takes ten times longer."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder, "probe.db"))) as connection:
        connection.execute("CREATE TABLE probe (n INTEGER)")

        def commit() -> None:
            connection.execute("INSERT INTO probe VALUES (1)")
            connection.commit()

        return _median(50, commit)


# --------------------------------------------------------------------------------------------------------------- events


def _events(options: argparse.Namespace) -> Found:
    print(f"\nevents: one run of {options.seconds} s each\nworkers  events  trials  events/s  CPU ms/event")
    rows: list[dict[str, Any]] = []
    for n_workers in (1, 8, 64):
        spec = spec_of(workers=n_workers, trials=1_000_000, timeout=float(options.seconds))
        executor = SleepingExecutor(epoch_s=0.0, last_epoch_of=lambda job: job.config.train.epochs)
        with tempfile.TemporaryDirectory() as folder:
            url = url_in(folder)
            Session(url, spec, StudyPaths.of(url, spec.study), executor, SilentReporter()).run()
            wall, cpu = time.perf_counter() - executor.first_at, time.process_time() - executor.first_cpu
        rate, cost = executor.n_epochs / wall, 1000 * cpu / executor.n_epochs
        print(
            f"{n_workers:>7}  {executor.n_epochs:>6}  {executor.n_trials:>6}  {rate:>8.0f}  {cost:>12.2f}", flush=True
        )
        rows.append({"workers": n_workers, "events_per_s": rate, "cpu_ms": cost})
    return rows, {"events_per_s": rows[-1]["events_per_s"], "events_per_s_alone": rows[0]["events_per_s"]}


# ------------------------------------------------------------------------------------------------------------------ ask


def _asks(options: argparse.Namespace) -> Found:
    rows: list[dict[str, Any]] = []
    n_asks = 4 * options.rounds
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"\nask: mean ms of {n_asks} asks, the two in turns\ntrials  auto  auto, stored  Optuna's TPE  ratio")
    for size in SIZES:
        history, config = _history(size), spec_of().base.model_dump_json()
        auto = advisor_of(spec_of(), history=history)
        tpe = advisor_of(spec_of(), schema.Search(sampler=schema.TpeSampler()), history)
        times: dict[str, list[float]] = {"auto": [], "stored": [], "tpe": []}
        with tempfile.TemporaryDirectory() as folder:
            store = _store_with(folder, size)
            for trial in range(size, size + n_asks):
                start = time.perf_counter()
                auto.suggest(trial)
                asked = time.perf_counter()
                store.record_ask(auto.record_of(trial), config=config, seed=trial)
                times["stored"].append(time.perf_counter() - start)
                times["auto"].append(asked - start)
                start = time.perf_counter()
                tpe.suggest(trial)
                times["tpe"].append(time.perf_counter() - start)
                for advisor in (auto, tpe):
                    advisor.finish(trial, TrialState.COMPLETE, 0.5)
            store.close()
        own, stored, optunas = (1000 * statistics.mean(times[name]) for name in ("auto", "stored", "tpe"))
        print(f"{size:>6}  {own:>4.1f}  {stored:>12.1f}  {optunas:>12.1f}  {optunas / own:>5.1f}", flush=True)
        rows += [
            {"trials": size, "sampler": "auto", "ask_ms": own},
            {"trials": size, "sampler": "tpe", "ask_ms": optunas},
        ]
    own_ms = {row["trials"]: row["ask_ms"] for row in rows if row["sampler"] == "auto"}
    return rows, {"ask_ms_1000": own_ms[1000], "ask_ms_5000": own_ms[5000]}


def _history(size: int) -> list[StoredTrial]:
    """Random trials, a third of them pruned at their fifth epoch."""
    spec, noise = spec_of(), random.Random(1)
    advisor = random_advisor(spec)
    distributions = {parameter.name: distribution_of(parameter.domain) for parameter in spec.space.parameters}
    found = []
    for trial in range(size):
        params = advisor.suggest(trial)
        assert params is not None
        is_complete = trial % 3 > 0
        level = noise.random()
        curve = {epoch: accuracy(params, epoch, level) for epoch in range(1, 16 if is_complete else 6)}
        found.append(
            StoredTrial(
                number=trial,
                state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
                value=max(curve.values()) if is_complete else curve[5],
                params=params,
                distributions={name: distributions[name] for name in params},
                curve=curve,
                best_epoch=1,
                system_attrs={},
            )
        )
    return found


def _store_with(folder: str, size: int) -> StudyStore:
    url = url_in(folder)
    fill(url, size, n_epochs=1, n_open=0)
    store = StudyStore.open(url, spec_of().study)
    store.find()
    store.begin_session()
    store.history()
    return store


# ------------------------------------------------------------------------------------------------------ resume and look


def _resume(options: argparse.Namespace) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        url = url_in(folder)
        fill(url, N_TRIALS, n_epochs=20, n_open=8)
        size = Path(folder, "studies.db").stat().st_size
        print(f"\nresume and look: {N_TRIALS} trials of 20 epochs, {size / 1e6:.0f} MB; median s of {options.rounds}")
        summary = {"resume_s_5000": _median(options.rounds, lambda: _reopen(url))}
        print(f"resume         {summary['resume_s_5000']:.2f}")
        for command in ("status", "trials"):
            _look(command, url)
            seconds = summary[f"{command}_s_5000"] = _median(options.rounds, lambda name=command: _look(name, url))
            print(f"tuner {command}   {seconds:.2f}", flush=True)
    return [], summary


def _reopen(url: str) -> None:
    spec = spec_of()
    store = StudyStore.open(url, spec.study)
    store.find()
    store.begin_session()
    history = store.history()
    retention = Retention(store, StudyPaths.of(url, spec.study).trial, maximize=spec.maximize)
    finished = {
        trial.number: Finished(value=trial.value, best_epoch=trial.best_epoch) for trial in history if trial.is_finished
    }
    retention.restore(finished)
    advisor: StudyAdvisor = advisor_of(spec, history=history)
    left = store.open_trials("val/accuracy", history)
    assert len(left) == 8, "the open trials"  # noqa: PLR2004
    assert advisor.suggest(len(history)) is not None
    store.close()


def _look(command: str, url: str) -> None:
    """Run a command as an installed Python does: modules are compiled once, beside the study here."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(url.removeprefix("sqlite:///")).parent)}
    subprocess.run(
        [sys.executable, "-m", "tuner", command, "--storage", url],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **compiled},
    )


def _median(rounds: int, run: Callable[[], None]) -> float:
    return statistics.median(_timed(run) for _ in range(rounds))


def _timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
