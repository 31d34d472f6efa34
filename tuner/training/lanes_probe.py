"""How fast a model trains alone and in lanes, by a few real steps whose weights are thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tuner.data.prepare import Prepared
from tuner.training.job import TrainJob
from tuner.training.lanes import LaneGroup, is_stacked, stacked_batches
from tuner.training.loop import train_batches_of
from tuner.training.run import Run
from tuner.training.steps import build_step

ROUNDS = 2
ROUND_S = 0.008
LARGE_STEP_S = 0.00035
"""A step on the CPU that takes longer is arithmetic, which lanes do not save: they gained at most 1.2 times there."""
FIXED_S = 0.004
"""What a lane's epoch takes besides its steps: validation, checkpoint, a line in the log (small MLP, AMD EPYC)."""
EPOCHS_A_GROUP = 2.0
"""Epochs that a group trains before a lane leaves or joins, and its program is made again."""

SHARE_OF_DEVICE = 0.8
"""Of the free memory of a GPU, what lanes may take."""

Step = Callable[[], object]


def lane_seconds(job: TrainJob, prepared: Prepared, sizes: Sequence[int]) -> dict[int, float]:
    """Seconds of a step of one lane, by the number of lanes; 1 is a run alone. Other sizes may be left out.

    A step has its share in what is done once an epoch, and once a group.
    """
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    alone, build_s = _alone(job, prepared)
    seconds = {1: _seconds(alone, device)}
    if job.device == "cpu" and seconds[1] > LARGE_STEP_S:
        return seconds
    groups = _groups(job, prepared, sizes)
    best = dict.fromkeys([1, *groups], float("inf"))
    for _ in range(ROUNDS):  # alternating, so that a busy moment of the machine hits both
        best[1] = min(best[1], _seconds(alone, device))
        for size, (step, _) in groups.items():
            best[size] = min(best[size], _seconds(step, device) / size)
    n_steps = Run.build(job, prepared).steps_per_epoch
    best[1] += (FIXED_S + build_s / job.config.train.epochs) / n_steps
    for size, (_, made_s) in groups.items():
        best[size] += (FIXED_S + made_s / EPOCHS_A_GROUP / size) / n_steps
    return best


def _groups(job: TrainJob, prepared: Prepared, sizes: Sequence[int]) -> dict[int, tuple[Step, float]]:
    """A step of a group of each size, and what making it took; sizes that do not fit into the device are left out."""
    device = torch.device(job.device)
    groups: dict[int, tuple[Step, float]] = {}
    most = float("inf")
    for size in sorted(sizes):
        if size > most:
            break
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            groups[size] = _together(job, prepared, size)
        except torch.OutOfMemoryError:
            break
        if device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(device)
            lane_bytes = torch.cuda.max_memory_allocated(device) / size
            most = SHARE_OF_DEVICE * free_bytes / lane_bytes
    return groups


def _alone(job: TrainJob, prepared: Prepared) -> tuple[Step, float]:
    run = Run.build(job, prepared)
    if is_stacked([run]):
        return _together(job, prepared, 1)
    run.model.train()
    step = build_step(run)
    batches = _endless(lambda: train_batches_of(run, 1))

    def once() -> None:
        with torch.inference_mode(mode=not step.needs_autograd):
            step(*next(batches))

    return once, _first(once, run.device)


def _together(job: TrainJob, prepared: Prepared, size: int) -> tuple[Step, float]:
    runs = [Run.build(replace(job, seed=job.seed ^ lane), prepared) for lane in range(size)]
    started = time.perf_counter()
    group = LaneGroup(runs)
    for run in runs:
        run.model.train()
    batches = _endless(lambda: stacked_batches(runs))

    def once() -> None:
        with torch.inference_mode(mode=group.is_recorded):
            group.step(*next(batches))

    once()
    return once, time.perf_counter() - started


def _endless(epoch: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        batches = epoch()
        first = next(batches)
        yield first
        for batch in batches:
            if batch[1].shape == first[1].shape:  # the last one may be smaller
                yield batch


def _first(step: Step, device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    step()
    _wait_for(device)
    return time.perf_counter() - started


def _seconds(step: Step, device: torch.device) -> float:
    """The mean over as many steps as fit into a round."""
    _wait_for(device)
    started = time.perf_counter()
    n_steps = 0
    while n_steps == 0 or time.perf_counter() - started < ROUND_S:
        step()
        n_steps += 1
    _wait_for(device)  # what was asked for may still be done
    return (time.perf_counter() - started) / n_steps


def _wait_for(device: torch.device) -> None:
    """Until all that was asked of it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        torch.accelerator.synchronize(device)
