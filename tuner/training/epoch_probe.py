"""What a trial of some config takes: a few epochs of it where those are short, else the parts of one.

Nothing is kept but what a checkpoint leaves in the job's folder.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from tuner.data.batches import Batch
from tuner.data.global_rng import seeded
from tuner.data.prepare import Prepared
from tuner.training import checkpoint as checkpoints
from tuner.training.costs import Costs
from tuner.training.job import TrainJob
from tuner.training.loop import end_epoch, train_batches_of, train_epoch_alone
from tuner.training.own import OwnRun
from tuner.training.run import Run
from tuner.training.steps import TrainStep, build_step

N_WARM = 3
"""Steps before the ones that count: the first is recorded, the second fills caches."""
MAX_EPOCHS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was measured."""

    setup_s: float
    epoch_s: float
    n_params: int
    gpu_bytes: int | None
    curve: tuple[float, ...]
    """The objective after each whole epoch that was trained."""
    is_over: bool
    """Whether it stopped early by itself within that curve."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Those that the job's goals name."""


def take(job: TrainJob, prepared: Prepared, budget_s: float) -> Taken:
    """Measure a job for about `budget_s`; raises whatever a trial of it would."""
    device = torch.device(job.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    run = Run.build(job, prepared)
    run.measure()
    built_s = time.perf_counter() - started
    step = build_step(run)
    curve: tuple[float, ...] = ()
    with seeded(0):
        first_s, step_s = _warm(run, step)
        if step_s * run.steps_per_epoch < budget_s / 2:
            epoch_s, curve = _epochs(run, step, budget_s)
        else:
            epoch_s = _parts(run, step, budget_s)
    return Taken(
        setup_s=built_s + max(0.0, first_s - step_s),
        epoch_s=epoch_s,
        n_params=sum(parameter.numel() for parameter in run.model.parameters()),
        gpu_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        curve=curve,
        is_over=run.best.is_exhausted,
        costs=_costs(run.costs, epoch_s),
    )


def _costs(costs: Costs, epoch_s: float) -> dict[str, float]:
    """What is known of a trial's costs, whose epochs may have been measured by their parts."""
    found = costs.metrics()
    return {**found, **({"epoch_seconds": epoch_s} if "epoch_seconds" in costs.wanted else {})}


def take_own(run: OwnRun, budget_s: float) -> Taken:
    """Measure own training code by its first epochs: at least one, since part of one cannot be had."""
    times: list[float] = []
    curve: list[float] = []
    try:
        while not times or (sum(times) < budget_s and len(times) < MAX_EPOCHS and not run.is_over):
            end = run.train_epoch(lambda: False)
            if end is None:  # it returned
                break
            times.append(end.seconds)
            curve.append(end.metrics[run.job.metric])
            if end.checkpoint is None:  # it diverged
                break
    finally:
        run.close()
    epoch_s = statistics.median(times[1:] or times)
    return Taken(
        setup_s=times[0] - epoch_s if times[0] > epoch_s else 0.0,
        epoch_s=epoch_s,
        n_params=0,
        gpu_bytes=torch.cuda.max_memory_allocated(run.job.device) if run.job.device.startswith("cuda") else None,
        curve=tuple(curve),
        is_over=run.best.is_exhausted or run.has_returned,
        costs=_costs(run.costs, epoch_s),
    )


def _warm(run: Run, step: TrainStep) -> tuple[float, float]:
    """Seconds of the first step, and of one of the next."""
    batches = _endless(run)
    run.model.train()
    run.set_lr(0)
    first_s = _timed(step, batches, 1)
    return first_s, min(_timed(step, batches, 1) for _ in range(N_WARM))


def _timed(step: TrainStep, batches: Iterator[Batch], n_steps: int) -> float:
    started = time.perf_counter()
    with torch.inference_mode(mode=not step.needs_autograd):
        for _ in range(n_steps):
            loss = step(*next(batches))
        loss.item()  # waits for the device
    return time.perf_counter() - started


def _endless(run: Run) -> Iterator[Batch]:
    while True:
        yield from train_batches_of(run, 1)


def _epochs(run: Run, step: TrainStep, budget_s: float) -> tuple[float, tuple[float, ...]]:
    """Seconds of a whole epoch, the median of as many as fit; and how the objective went."""
    times: list[float] = []
    curve: list[float] = []
    most = min(MAX_EPOCHS, run.job.config.train.epochs)
    while not times or (sum(times) < budget_s and len(times) < most and not run.is_over):
        end = train_epoch_alone(run, step, lambda: False)
        times.append(end.seconds)
        curve.append(end.metrics[run.job.metric])
        if end.checkpoint is None:  # it diverged
            break
    return statistics.median(times[1:] or times), tuple(curve)


def _parts(run: Run, step: TrainStep, budget_s: float) -> float:
    """Seconds of an epoch that is too long to be tried: some of its steps, and all that comes after them."""
    batches = _endless(run)
    times: list[float] = []
    while len(times) < N_WARM or sum(times) < budget_s:
        times.append(_timed(step, batches, 1))
    after_s = _after(run, 1)
    if after_s < budget_s:  # the first time finds no buffers and no plans of its shapes, the next ones do
        after_s = min(after_s, _after(run, 2))
    return statistics.median(times) * run.steps_per_epoch + after_s


def _after(run: Run, epoch: int) -> float:
    """Seconds of what comes after the steps of an epoch."""
    started = time.perf_counter()
    end = end_epoch(run, epoch, 0.0, started)
    if end.checkpoint is None:  # it diverged within those steps, and so was not saved
        checkpoints.save(run.job.folder, epoch, run.state())
    return time.perf_counter() - started
