"""An epoch of one run: training, validation, checkpoint.

Pausing costs nothing: everything that an epoch needs is in the checkpoint of the epoch before, or derived from (trial
seed, epoch). A run that was paused ten times gives, bit for bit, the weights of one that was not (CPU, same number of
threads).

B batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tuner.data.global_rng import seed_accelerators, seeded
from tuner.device import set_products
from tuner.optim.schedules import changes_within_epoch
from tuner.optim.unit_losses import told
from tuner.seeding import derive
from tuner.training import checkpoint as checkpoints
from tuner.training.checkpoint_files import retain
from tuner.training.evaluate import Own, Scored, evaluate
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome
from tuner.training.gradients import Weight
from tuner.training.job import TrainJob
from tuner.training.kept_details import keep_details
from tuner.training.metrics import recorded_for
from tuner.training.run import Run, in_precision
from tuner.training.steps import TrainStep

_log = logging.getLogger(__name__)


class AbortedError(Exception):
    """The driver wants the run to end at once, in the middle of an epoch."""


class TrialRun(Protocol):
    """A trial while it trains, by tuner's own loop or by the user's code."""

    job: TrainJob
    epoch: int
    """The last one that is over."""
    device: torch.device
    """Where its checkpoints are loaded to."""

    @property
    def is_over(self) -> bool: ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint."""


def outcome_of(run: TrialRun, end: EpochEnd, decision: Decision) -> Outcome | None:
    """How a run ends after an epoch and the driver's word on it; None when it goes on."""
    if end.checkpoint is None:
        return Outcome.UNDEFINED if end.undefined else Outcome.DIVERGED
    if decision is Decision.STOP:
        return Outcome.STOPPED
    if run.is_over:
        return over(run)
    return Outcome.PAUSED if decision is Decision.PAUSE else None


def without_value(job: TrainJob, metrics: Mapping[str, float], train_loss: float) -> tuple[str, ...]:
    """The objectives that are nan though the losses are finite."""
    if not all(map(math.isfinite, (train_loss, metrics["val/loss"]))):
        return ()
    several = job.goals.keys if job.goals and job.goals.are_several else ()
    return tuple(name for name in dict.fromkeys((job.metric, *several)) if math.isnan(metrics[name]))


def described(end: EpochEnd) -> str:
    """What is wrong with an epoch whose objectives are undefined; empty for all others."""
    if not end.undefined:
        return ""
    return (
        f"{' and '.join(end.undefined)} came to nan though the loss is finite: without a value for the rows that "
        "validate, or for what was predicted for them"
    )


def over(run: TrialRun) -> Outcome:
    """How a run ended that is over by itself."""
    return Outcome.COMPLETED if run.epoch >= run.job.config.train.epochs else Outcome.EARLY_STOPPED


def epoch_seed(run: Run, epoch: int) -> int:
    """The seed of dropout, and of whatever else a model draws in an epoch."""
    return derive(run.job.seed, "epoch", epoch)


def train_epoch_alone(run: Run, step: TrainStep, should_abort: Callable[[], bool]) -> EpochEnd:
    """The next epoch of a run. AbortedError when `should_abort` says so before a batch."""
    started = time.perf_counter()
    epoch = run.epoch + 1
    set_products(run.precision, run.device)
    with seeded(seed := epoch_seed(run, epoch)):
        seed_accelerators(seed)
        train_loss = _train_epoch(run, step, epoch, should_abort)
    if run.picked:
        run.picked["step"] = step.name
    return end_epoch(run, epoch, train_loss, started)


def end_epoch(run: Run, epoch: int, train_loss: float, started: float) -> EpochEnd:
    """Validate, follow the objective, and write the checkpoint of an epoch that was trained.

    `started` is when it began, as `time.perf_counter` has it.
    """
    run.set_mode(training=False)
    if run.averaged:
        with seeded(seed := epoch_seed(run, epoch)):
            seed_accelerators(seed)
            run.averaged.after_epoch(epoch, train_batches_of(run, epoch))
    scored = _validate(run)
    run.costs.add_epoch(time.perf_counter() - started)
    metrics = {"train/loss": told(run.loss, train_loss), **scored.metrics, **run.costs.metrics()}
    value = metrics[run.job.metric]
    values = [value, *(run.job.goals.vector(metrics) if run.job.goals else ())]
    is_finite = all(map(math.isfinite, (train_loss, metrics["val/loss"], *values)))
    undefined = () if is_finite else without_value(run.job, metrics, train_loss)
    saved = None
    kept: set[int] = set()
    run.epoch = epoch
    if is_finite:
        if run.plateau and not run.is_annealing(epoch):
            run.plateau.update(value)
        previous_best = run.best.epoch
        run.best.update(epoch, value)
        if run.best.epoch == epoch:
            keep_details(run.job.folder, epoch, scored.details())
        saved = checkpoints.save(run.job.folder, epoch, run.state())
        # What the driver has not acknowledged does not count: the file before it, and the best before it, must stay.
        kept = {epoch, epoch - 1, run.best.epoch, previous_best}
        retain(run.job.folder, kept)
    else:
        metrics[run.job.metric] = float("nan")  # however good it looks, a diverged epoch has no value
    picked, run.picked = run.picked, {}
    return EpochEnd(
        trial=run.job.trial,
        attempt=run.job.attempt,
        epoch=epoch,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        checkpoint=saved,
        kept=tuple(sorted(kept)),
        undefined=undefined,
        picked=picked,
    )


def _train_epoch(run: Run, step: TrainStep, epoch: int, should_abort: Callable[[], bool]) -> float:
    """One pass over the training part; the mean loss over its rows.

    Nothing in a step waits for the device: losses stay there until the epoch is over.
    """
    run.set_mode(training=True)
    changes_lr = changes_within_epoch(run.job.config.schedule)
    losses: list[Tensor] = []
    weights: list[Weight] = []
    number = (epoch - 1) * run.steps_per_epoch
    run.set_lr(number)
    with torch.inference_mode(mode=not step.needs_autograd):
        for x_B, y_B in train_batches_of(run, epoch):
            if should_abort():
                raise AbortedError
            if changes_lr:
                run.set_lr(number)
            losses.append(step(x_B, y_B))
            weights.append(run.weight_of(y_B))
            number += 1
    return mean_loss(losses, weights)


def mean_loss(losses: Sequence[Tensor], weights: Sequence[Weight]) -> float:
    """The mean over an epoch, from the means over its batches and what those are over; waits for the device."""
    means, over_what = torch.stack(list(losses)).double().cpu(), _gathered(weights)
    return float((means * over_what).sum() / over_what.sum())


def _gathered(weights: Sequence[Weight]) -> Tensor:
    tensors = [weight for weight in weights if isinstance(weight, Tensor)]
    if len(tensors) == len(weights):
        return torch.stack(tensors).double().cpu()
    return torch.tensor([float(weight) for weight in weights], dtype=torch.float64)


def train_batches_of(run: Run, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    limit = run.job.config.train.batches_per_epoch
    return in_precision(run.feed.train(epoch_seed=shuffle_seed(run, epoch), limit=limit), run.precision)


def shuffle_seed(run: Run, epoch: int) -> int:
    """The seed of the order of rows, and of augmentation, in an epoch."""
    return derive(run.job.seed, "shuffle", epoch)


def _validate(run: Run) -> Scored:
    info = run.prepared.info
    batches = in_precision(run.feed.val(), run.precision)
    names = recorded_by(run.job, info.task)
    own = own_of(run.job)
    return evaluate(run.evaluated, batches, loss=run.loss, info=info, names=names, split="val", own=own)


def recorded_by(job: TrainJob, task: str, chosen: Sequence[str] | None = None) -> tuple[str, ...]:
    """The metrics that a job records, besides functions of the user's: `chosen`, or what its file names."""
    objective = job.metric.removeprefix("val/")
    if job.goals is None:
        return recorded_for(task, objective, chosen=chosen)
    recorded = job.goals.recorded
    others = {objective, *job.goals.metrics} - set(recorded.own)
    return recorded_for(task, "loss", others, recorded.chosen if chosen is None else chosen)


def own_of(job: TrainJob) -> Own:
    """The metrics of the user's own."""
    return Own(functions=job.goals.recorded.own if job.goals else {}, base_dir=job.base_dir)


def resume(run: TrialRun) -> None:
    """Restore the newest checkpoint that is whole, together with the best epoch's; from scratch when there is none."""
    by_epoch = {item.epoch: item for item in run.job.checkpoints}
    for item in run.job.checkpoints:
        try:
            state = checkpoints.load(run.job.folder, item, run.device)
            _verify_best(run, state["best"]["epoch"], by_epoch)
        except checkpoints.CorruptCheckpointError as error:
            _log.warning("%s; trying the one before it", error)
            continue
        run.restore(state)
        _log.info("resumed after epoch %d", run.epoch)
        return
    if run.job.checkpoints:
        _log.warning("no checkpoint is whole; training from scratch")


def _verify_best(run: TrialRun, epoch: int, by_epoch: dict[int, Checkpoint]) -> None:
    if epoch not in by_epoch:
        raise checkpoints.CorruptCheckpointError(f"{run.job.folder}: the best epoch ({epoch}) has no checkpoint")
    checkpoints.verify(run.job.folder, by_epoch[epoch])
