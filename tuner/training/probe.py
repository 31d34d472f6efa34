"""A few training steps of the base config, before any trial: what they take with some numbers of threads, or of a GPU.

They are the steps of a single trial on one batch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from tuner.data.global_rng import seeded
from tuner.data.prepare import Prepared
from tuner.training.job import TrainJob
from tuner.training.loop import train_batches_of
from tuner.training.run import Run
from tuner.training.steps import build_step

BUDGET_S = 0.3
ROUNDS = 3
SPIN_CYCLES = 50_000_000
"""How long a GPU is kept waiting while steps are queued for it: some 30 ms."""
N_QUEUED = 10


class Probe:
    """A run at its beginning, and one batch for it."""

    def __init__(self, job: TrainJob, prepared: Prepared) -> None:
        run = Run.build(job, prepared)
        run.model.train()
        run.set_lr(0)
        self._step = build_step(run)
        self._batch = next(train_batches_of(run, 1))

    def step(self) -> None:
        with torch.inference_mode(mode=not self._step.needs_autograd):
            self._step(*self._batch)


def step_seconds(job: TrainJob, prepared: Prepared, thread_choices: Sequence[int]) -> dict[int, float]:
    """Seconds of one step on the CPU by number of threads: the best of some rounds, in which they alternate.

    Takes `BUDGET_S`, or two steps of each number when those take longer. The number of threads is left at the last one.
    """
    with seeded(0):
        probe = Probe(job, prepared)
        probe.step()  # makes the optimizer's state
        return alternating(probe.step, thread_choices, torch.set_num_threads)


def alternating(
    step: Callable[[], None],
    settings: Sequence[int],
    apply: Callable[[int], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Seconds of a step under each setting."""
    best: dict[int, float] = {}
    end = clock() + BUDGET_S
    for _ in range(ROUNDS):
        for setting in settings:
            if setting in best and clock() >= end:
                continue
            apply(setting)
            step()  # threads start, caches fill
            measured = _median_step(step, BUDGET_S / (ROUNDS * len(settings)), clock)
            best[setting] = min(measured, best.get(setting, measured))
    return best


def _median_step(step: Callable[[], None], seconds: float, clock: Callable[[], float]) -> float:
    times: list[float] = []
    while not times or sum(times) < seconds:
        started = clock()
        step()
        times.append(clock() - started)
    return statistics.median(times)


def gpu_use(job: TrainJob, prepared: Prepared) -> tuple[int, int, float]:
    """Free bytes of a card before, bytes that a trial takes, and the share of a step in which the card is busy.

    The card's own time is that of steps which were queued while it was kept waiting: between two events there is then
    no gap in which it waits for Python.
    """
    device = torch.device(job.device)
    free_bytes, _ = torch.cuda.mem_get_info(device)
    with seeded(0), torch.cuda.device(device):
        torch.cuda.reset_peak_memory_stats(device)
        probe = Probe(job, prepared)
        for _ in range(3):
            probe.step()
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        for _ in range(N_QUEUED):
            probe.step()
        torch.cuda.synchronize(device)
        wall_s = time.perf_counter() - started
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda._sleep(SPIN_CYCLES)  # type: ignore[no-untyped-call]  # noqa: SLF001 - torch's own tests wait so
        before.record()
        for _ in range(N_QUEUED):
            probe.step()
        after.record()
        torch.cuda.synchronize(device)
        busy_s = before.elapsed_time(after) / 1000.0
    return free_bytes, torch.cuda.max_memory_allocated(device), min(1.0, busy_s / wall_s)
