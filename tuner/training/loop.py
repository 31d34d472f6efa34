"""The training loop of one trial, as a generator: it yields at every epoch's end and is told whether to go on.

Pausing costs nothing: everything that an epoch needs is in the checkpoint of the epoch before, or derived from (trial
seed, epoch). A run that was paused ten times gives, bit for bit, the weights of one that was not (CPU, same number of
threads).

B batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tuner.config.schema import Plateau
from tuner.data.batches import n_batches
from tuner.data.feed import Feed
from tuner.data.global_rng import seeded
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared
from tuner.device import PrecisionPlan, precision_of, resolve
from tuner.errors import ConfigError
from tuner.models.build import build_model
from tuner.optim.losses import LossFunction, build_loss
from tuner.optim.optimizers import build_optimizer, set_lr
from tuner.optim.schedules import PlateauState, changes_within_epoch, lr_at
from tuner.seeding import derive
from tuner.training import checkpoint as checkpoints
from tuner.training.checkpoint_files import retain
from tuner.training.early_stopping import BestEpoch
from tuner.training.evaluate import evaluate
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome
from tuner.training.job import TrainJob
from tuner.training.metrics import recorded_for

_log = logging.getLogger(__name__)

IMAGE_NDIM = 3


class AbortedError(Exception):
    """The driver wants the run to end at once, in the middle of an epoch."""


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything that changes while a trial trains, and what it trains on."""

    job: TrainJob
    prepared: Prepared
    feed: Feed
    device: torch.device
    precision: PrecisionPlan
    model: nn.Module
    loss: LossFunction
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    plateau: PlateauState | None
    best: BestEpoch
    steps_per_epoch: int
    picked: dict[str, str]
    """What `auto` came to; told with the first epoch, and empty from then on."""
    epoch: int = 0

    @classmethod
    def build(cls, job: TrainJob, prepared: Prepared) -> Run:
        """Model, loss and optimizer of a job at epoch 0; ConfigError when they do not fit the data or each other."""
        config, info = job.config, prepared.info
        device = resolve(job.device)
        precision = precision_of(config.train.precision, device)
        loss = build_loss(config.loss, info)
        model = _initial_model(job, info, loss).to(device)
        channels_last = is_channels_last(info, device)
        model = in_memory_format(model, channels_last=channels_last)
        feed = Feed.of(prepared, config.data, device=device, n_cores=job.n_cores, channels_last=channels_last)
        stopping = config.train.early_stopping
        return cls(
            job=job,
            prepared=prepared,
            feed=feed,
            device=device,
            precision=precision,
            model=model,
            loss=loss,
            optimizer=build_optimizer(config.optimizer, model.parameters(), device),
            scaler=torch.amp.GradScaler(device.type) if precision.needs_scaler else None,
            plateau=_plateau(job),
            best=BestEpoch(
                maximize=job.maximize,
                patience=stopping.patience if stopping else None,
                min_delta=stopping.min_delta if stopping else 0.0,
            ),
            steps_per_epoch=_steps_per_epoch(job, info),
            picked={"data": feed.picked, "precision": precision.name},
        )

    @property
    def is_over(self) -> bool:
        return self.epoch >= self.job.config.train.epochs or self.best.is_exhausted

    def state(self) -> dict[str, Any]:
        """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "plateau": self.plateau.state() if self.plateau else None,
            "best": self.best.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        if self.plateau:
            self.plateau.restore(state["plateau"])
        self.best.restore(state["best"])


def train(
    job: TrainJob, prepared: Prepared, should_abort: Callable[[], bool]
) -> Generator[EpochEnd, Decision, Outcome]:
    """Train until the epochs are over, early stopping, divergence, or the driver's word.

    Resumes from the newest whole checkpoint of the job. `should_abort` is asked before every batch; AbortedError when
    it says so.
    """
    torch.set_num_threads(job.threads)
    run = Run.build(job, prepared)
    _resume(run)
    while not run.is_over:
        end = _run_epoch(run, should_abort)
        decision = yield end
        if end.checkpoint is None:
            return Outcome.DIVERGED
        if decision is Decision.STOP:
            return Outcome.STOPPED
        if decision is Decision.PAUSE and not run.is_over:
            return Outcome.PAUSED
    return Outcome.COMPLETED if run.epoch >= job.config.train.epochs else Outcome.EARLY_STOPPED


def _run_epoch(run: Run, should_abort: Callable[[], bool]) -> EpochEnd:
    started = time.perf_counter()
    epoch = run.epoch + 1
    with seeded(epoch_seed := derive(run.job.seed, "epoch", epoch)):  # dropout, and whatever else the model draws
        torch.manual_seed(epoch_seed)  # accelerators too
        train_loss = _train_epoch(run, epoch, should_abort)
    metrics = {"train/loss": train_loss, **_validate(run)}
    value = metrics[run.job.metric]
    is_finite = all(map(math.isfinite, (train_loss, metrics["val/loss"], value)))
    saved = None
    kept: set[int] = set()
    run.epoch = epoch
    if is_finite:
        if run.plateau:
            run.plateau.update(value)
        previous_best = run.best.epoch
        run.best.update(epoch, value)
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
        picked=picked,
    )


def _train_epoch(run: Run, epoch: int, should_abort: Callable[[], bool]) -> float:
    """One pass over the training part; the mean loss over its rows.

    Nothing in a step waits for the device: losses stay there until the epoch is over.
    """
    config = run.job.config
    run.model.train()
    dtype = run.precision.autocast_dtype
    autocast = torch.autocast(run.device.type, dtype=dtype, enabled=dtype is not None)
    changes_lr = changes_within_epoch(config.schedule)
    losses: list[Tensor] = []
    sizes: list[int] = []
    step = (epoch - 1) * run.steps_per_epoch
    set_lr(run.optimizer, _lr(run, step))
    for x_B, y_B in _train_batches(run, epoch):
        if should_abort():
            raise AbortedError
        if changes_lr:
            set_lr(run.optimizer, _lr(run, step))
        run.optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = run.loss(run.model(x_B), y_B)
        _backward_and_step(run, loss, config.train.grad_clip)
        losses.append(loss.detach())
        sizes.append(len(y_B))
        step += 1
    weights = torch.tensor(sizes, dtype=torch.float64)
    losses_T = torch.stack(losses).double().cpu()  # the epoch's one synchronisation
    return float((losses_T * weights).sum() / weights.sum())


def _backward_and_step(run: Run, loss: Tensor, grad_clip: float | None) -> None:
    if run.scaler is not None:
        run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        run.scaler.unscale_(run.optimizer)
    else:
        loss.backward()  # type: ignore[no-untyped-call]
    if grad_clip is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), grad_clip)
    if run.scaler is not None:
        run.scaler.step(run.optimizer)
        run.scaler.update()
    else:
        run.optimizer.step()


def _lr(run: Run, step: int) -> float:
    config = run.job.config
    base_lr = run.plateau.lr if run.plateau else config.optimizer.lr
    return lr_at(
        config.schedule,
        base_lr=base_lr,
        step=step,
        steps_per_epoch=run.steps_per_epoch,
        epochs=config.train.epochs,
    )


def _train_batches(run: Run, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    epoch_seed = derive(run.job.seed, "shuffle", epoch)
    return run.feed.train(epoch_seed=epoch_seed, limit=run.job.config.train.batches_per_epoch)


def _validate(run: Run) -> dict[str, float]:
    info = run.prepared.info
    names = recorded_for(info.task, run.job.metric.removeprefix("val/"))
    return evaluate(run.model, run.feed.val(), loss=run.loss, info=info, names=names, split="val")


def _resume(run: Run) -> None:
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


def _verify_best(run: Run, epoch: int, by_epoch: dict[int, Checkpoint]) -> None:
    if epoch not in by_epoch:
        raise checkpoints.CorruptCheckpointError(f"{run.job.folder}: the best epoch ({epoch}) has no checkpoint")
    checkpoints.verify(run.job.folder, by_epoch[epoch])


def _plateau(job: TrainJob) -> PlateauState | None:
    schedule = job.config.schedule
    if not isinstance(schedule, Plateau):
        return None
    return PlateauState(config=schedule, maximize=job.maximize, lr=job.config.optimizer.lr)


def is_channels_last(info: DataInfo, device: torch.device) -> bool:
    """Whether images lie in memory with their channels last, which CUDA's convolutions want."""
    return device.type == "cuda" and len(info.input_shape) == IMAGE_NDIM


def in_memory_format(model: nn.Module, *, channels_last: bool) -> nn.Module:
    return model.to(memory_format=torch.channels_last) if channels_last else model


def _initial_model(job: TrainJob, info: DataInfo, loss: LossFunction) -> nn.Module:
    seed = derive(job.seed, "init")
    with seeded(seed):  # a user's model may draw its weights from NumPy
        model = build_model(
            job.config.model, info=info, n_outputs=loss.n_outputs(info), base_dir=job.base_dir, seed=seed
        )
    norms = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the base of all of them has no public name
    if job.config.data.batch_size == 1 and any(isinstance(part, norms) for part in model.modules()):
        raise ConfigError(
            "data.batch_size: 1 row has no variance for batch normalisation; use at least 2, or another norm"
        )
    return model


def _steps_per_epoch(job: TrainJob, info: DataInfo) -> int:
    data = job.config.data
    n_steps = n_batches(
        info.n_train,
        batch_size=data.batch_size,
        drop_last=data.drop_last,
        limit=job.config.train.batches_per_epoch,
    )
    if n_steps == 0:
        raise ConfigError(
            f"data.drop_last: {info.n_train} rows for training make no full batch of data.batch_size "
            f"{data.batch_size}; lower it, or set drop_last to false"
        )
    return n_steps
