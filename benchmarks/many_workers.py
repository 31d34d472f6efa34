"""How long 64 simulated workers wait for one driver, at one epoch a second each.

The real session, driver, adviser (`auto` sampler and pruner on README's example) and SQLite; the workers only sleep,
0.8 to 1.2 s an epoch, and report eleven metrics and a checkpoint. Trials end as the space and the median rule have it,
and are replaced. A worker waits from the moment its epoch is over to the driver's answer, and from the end of its trial
to the next job. Printed: the share of all worker time spent waiting, over the whole run and therefore over a study that
grows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from _machine import header, out_option, save
from _studies import SleepingExecutor, spec_of, url_in

from tuner.paths import StudyPaths
from tuner.workflows.progress import SilentReporter
from tuner.workflows.session import Session


def main() -> None:
    """Run some searches and print a line for each, and the median share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64, help="simulated workers (default: 64)")
    parser.add_argument("--seconds", type=int, default=40, help="length of a run (default: 40)")
    parser.add_argument("--runs", type=int, default=2, help="runs (default: 2)")
    out_option(parser)
    options = parser.parse_args()
    print(f"{header()}\nn         {options.runs} runs of {options.seconds} s, {options.workers} workers\n")
    print("epochs  epochs/s  trials  driver's CPU  waiting")
    shares = [_share(options.workers, options.seconds) for _ in range(options.runs)]
    waiting = 100 * statistics.median(shares)
    print(f"\nmedian share of the workers' time spent waiting for the driver: {waiting:.2f} %")
    save(options.out, rows=[{"waiting_percent": 100 * share} for share in shares], summary={"waiting_percent": waiting})


def _share(n_workers: int, seconds: int) -> float:
    spec = spec_of(workers=n_workers, trials=1_000_000, timeout=float(seconds))
    executor = SleepingExecutor(epoch_s=1.0, last_epoch_of=lambda job: job.config.train.epochs)
    with tempfile.TemporaryDirectory() as folder:
        url = url_in(Path(folder))
        Session(url, spec, StudyPaths.of(url, spec.study), executor, SilentReporter()).run()
        wall, cpu = time.perf_counter() - executor.first_at, time.process_time() - executor.first_cpu
    share = executor.waited_s / (n_workers * wall)
    rate = executor.n_epochs / wall
    counts = f"{executor.n_epochs:>6}  {rate:>8.1f}  {executor.n_trials:>6}"
    print(f"{counts}  {100 * cpu / wall:>10.1f} %  {100 * share:>5.2f} %", flush=True)
    return share


if __name__ == "__main__":
    main()
