"""Everything that changes while one trial trains, and what it trains on.

B batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tuner.config.schema import Plateau
from tuner.data.batches import Batch, eval_batches, n_batches
from tuner.data.feed import Feed
from tuner.data.global_rng import seeded
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared
from tuner.device import PrecisionPlan, precision_of, resolve
from tuner.errors import ConfigError
from tuner.models.build import build_model
from tuner.optim.groups import groups_of
from tuner.optim.losses import LossFunction, build_loss, check_counts, check_mixed_targets
from tuner.optim.optimizers import build_update
from tuner.optim.plateau import PlateauState
from tuner.optim.python_optimizer import PythonUpdate
from tuner.optim.schedules import lr_at
from tuner.optim.unit_losses import units_of
from tuner.optim.updates import Update
from tuner.seeding import derive
from tuner.training.averaging import AveragedModel, annealed
from tuner.training.costs import Costs, latency_ms, n_trainable
from tuner.training.early_stopping import BestEpoch
from tuner.training.gradients import Accumulator, Gradients, Weight, clip
from tuner.training.job import TrainJob
from tuner.training.own_state import Packed
from tuner.training.tape import Tape

IMAGE_NDIM = 3


@dataclass(slots=True, kw_only=True)
class Run:
    """A trial while it trains."""

    job: TrainJob
    prepared: Prepared
    feed: Feed
    device: torch.device
    precision: PrecisionPlan
    model: nn.Module
    loss: LossFunction
    update: Update
    scaler: torch.amp.GradScaler | None
    plateau: PlateauState | None
    best: BestEpoch
    steps_per_epoch: int
    """Batches an epoch; steps of the optimizer are fewer where it accumulates."""
    costs: Costs
    accumulator: Accumulator
    averaged: AveragedModel | None
    order: tuple[int, ...]
    """Where each parameter of the optimizer is among those of the model; () where the order is the same."""
    picked: dict[str, str]
    """What `auto` came to; told with the first epoch, and empty from then on."""
    epoch: int = 0
    tapes: dict[tuple[int, ...], Tape] = field(default_factory=dict)
    """Its recorded steps, by the shape of a batch's inputs."""

    @classmethod
    def build(cls, job: TrainJob, prepared: Prepared) -> Run:
        """Model, loss and optimizer of a job at epoch 0; ConfigError when they do not fit the data or each other."""
        config, info = job.config, prepared.info
        device = resolve(job.device)
        precision = precision_of(config.train.precision, device)
        dtype = torch.float64 if precision.is_double else torch.float32
        loss = build_loss(config.loss, info, base_dir=job.base_dir, device=device, dtype=dtype)
        check_counts(config.loss, prepared.train.targets)
        check_mixed_targets(config.data.augment, config.loss, info)
        model = _initial_model(job, info, loss).to(device)
        channels_last = is_channels_last(info, device)
        model = placed(model, precision, channels_last=channels_last)
        feed = Feed.of(
            prepared.in_units(units_of(loss)),
            config.data,
            device=device,
            n_cores=job.n_cores,
            channels_last=channels_last,
        )
        update = build_update(
            config.optimizer,
            groups_of(model, config.optimizer, config.model.lr_scales()),
            device,
            scales_gradients=precision.needs_scaler,
            base_dir=job.base_dir,
        )
        stopping, steps = config.train.early_stopping, _steps_per_epoch(job, info)
        return cls(
            job=job,
            prepared=prepared,
            feed=feed,
            device=device,
            precision=precision,
            model=model,
            loss=loss,
            update=update,
            scaler=torch.amp.GradScaler(device.type) if precision.needs_scaler else None,
            plateau=_plateau(job),
            best=BestEpoch(
                maximize=job.maximize,
                patience=stopping.patience if stopping else None,
                min_delta=stopping.min_delta if stopping else 0.0,
            ),
            steps_per_epoch=steps,
            costs=Costs(wanted=job.goals.costs if job.goals else frozenset(), n_params=n_trainable(model)),
            accumulator=Accumulator(every=config.train.accumulate, n_batches=steps, batch_size=config.data.batch_size),
            averaged=_averaged(job, model),
            order=_order(model, update),
            picked={"data": feed.picked, "precision": precision.name},
        )

    @property
    def is_over(self) -> bool:
        return self.epoch >= self.job.config.train.epochs or self.best.is_exhausted

    def state(self) -> dict[str, Any]:
        """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only."""
        return {
            "epoch": self.epoch,
            "model": _owned(self.evaluated.state_dict()),
            "optimizer": self._optimizer_state(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "plateau": self.plateau.state() if self.plateau else None,
            "best": self.best.state(),
            **({"costs": self.costs.state()} if self.costs.wanted else {}),
            **({"averaging": self._averaging_state()} if self.averaged else {}),
        }

    def _averaging_state(self) -> dict[str, Any]:
        """What training goes on from, where averages are what is kept as the model."""
        assert self.averaged is not None
        n_averaged = self.averaged.n_averaged
        return {"n_averaged": n_averaged, "trained": _owned(self.model.state_dict()) if n_averaged else None}

    def _optimizer_state(self) -> dict[str, Any]:
        state: dict[str, Any] = _owned(self.update.state_dict())
        return Packed.of(state).to_plain() if self._is_own_optimizer else state

    @property
    def _is_own_optimizer(self) -> bool:
        """Whether the optimizer is the user's, whose state need not load again without pickled code."""
        return isinstance(self.update, PythonUpdate)

    def set_mode(self, *, training: bool) -> None:
        """Make model and optimizer ready for an epoch of training, or for evaluation."""
        if isinstance(self.update, PythonUpdate):
            self.update.set_mode(training=training)
        self.model.train(training)

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        averaging = state.get("averaging")
        if self.averaged and averaging:
            self.averaged.model.load_state_dict(state["model"])
            self.averaged.n_averaged = averaging["n_averaged"]
        self.model.load_state_dict((averaging and averaging["trained"]) or state["model"])
        stored = state["optimizer"]
        self.update.load_state_dict(Packed.from_plain(stored).unpacked() if self._is_own_optimizer else stored)
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        if self.plateau:
            self.plateau.restore(state["plateau"])
        self.best.restore(state["best"])
        if self.costs.wanted:
            self.costs.restore(state["costs"])

    def measure(self) -> None:
        """Time what has to be timed before training: a batch of validation rows, of the size that the trial trains."""
        if not self.costs.needs_latency:
            return
        batches = eval_batches(
            self.prepared.val,
            self.prepared.preprocess,
            device=self.device,
            channels_last=is_channels_last(self.prepared.info, self.device),
            limit=1,
        )
        x_B, _ = next(in_precision(batches, self.precision))
        with seeded(0):  # what the model draws must not move what it trains with
            self.costs.latency_ms = latency_ms(self.model, x_B[: self.job.config.data.batch_size])

    def set_lr(self, batch: int) -> None:
        """Take the learning rate of a batch, counted over the whole trial."""
        epoch, index = divmod(batch, self.steps_per_epoch)
        step = index // self.accumulator.every
        if self.is_annealing(epoch + 1):
            assert self.averaged is not None
            first = self.averaged.start
            self.update.lr = annealed(self.averaged.config, self._scheduled(first - 1, 0), epoch + 1 - first)
        else:
            self.update.lr = self._scheduled(epoch, step)

    def _scheduled(self, epoch: int, step: int) -> float:
        """The schedule's learning rate, after so many whole epochs and steps of the next one."""
        config = self.job.config
        return lr_at(
            config.schedule,
            base_lr=self.plateau.lr if self.plateau else config.optimizer.lr,
            step=epoch * self.accumulator.n_steps + step,
            steps_per_epoch=self.accumulator.n_steps,
            epochs=config.train.epochs,
        )

    def is_annealing(self, epoch: int) -> bool:
        """Whether the learning rate of an epoch is that of swa, not of the schedule."""
        averaged = self.averaged
        if averaged is None or averaged.config.kind != "swa" or averaged.config.lr is None:
            return False
        return epoch >= averaged.start

    # -- a step --------------------------------------------------------------------------------------------------------

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that are trained, in the order of the model: groups of the optimizer have another."""
        return [param for param in self.model.parameters() if param.requires_grad]

    def weight_of(self, y_B: Tensor) -> Weight:
        """What the loss of a batch with these targets is the mean over."""
        weight = self.loss.batch_weight(y_B)
        return len(y_B) if weight is None else weight

    def take(self, grads: Gradients, y_B: Tensor) -> None:
        """Take in the gradients of `trained` for a batch: a step of the optimizer, when they are enough for one."""
        weight = self.weight_of(y_B) if self.accumulator.every > 1 else 1.0
        complete = self.accumulator.add([grads[index] for index in self.order] if self.order else grads, weight)
        if complete is not None:
            self.clip(complete)
            self.update.step(complete)
            self.after_step()

    def clip(self, grads: Gradients) -> None:
        train = self.job.config.train
        clip(grads, train.grad_clip, train.grad_clip_value)

    def after_step(self) -> None:
        if self.averaged:
            self.averaged.after_step(self.epoch + 1)

    @property
    def evaluated(self) -> nn.Module:
        """What is validated, kept and exported: the averages, where there are any."""
        return self.averaged.model if self.averaged and self.averaged.is_active else self.model


def _order(model: nn.Module, update: Update) -> tuple[int, ...]:
    trained = [id(param) for param in model.parameters() if param.requires_grad]
    place = {param: index for index, param in enumerate(trained)}
    order = tuple(place[id(param)] for param in update.params)
    return () if order == tuple(range(len(trained))) else order


def _averaged(job: TrainJob, model: nn.Module) -> AveragedModel | None:
    train = job.config.train
    return None if train.averaging.kind == "none" else AveragedModel.of(train.averaging, train.epochs, model)


def _owned(state: Any) -> Any:
    """A state whose tensors own their memory: a view of stacked lanes would be stored with all of them."""
    if isinstance(state, Tensor):
        return state.clone() if state.untyped_storage().nbytes() > state.nbytes else state
    if isinstance(state, dict):
        return {key: _owned(value) for key, value in state.items()}
    return state


def _plateau(job: TrainJob) -> PlateauState | None:
    schedule = job.config.schedule
    if not isinstance(schedule, Plateau):
        return None
    return PlateauState(config=schedule, maximize=job.maximize, lr=job.config.optimizer.lr)


def is_channels_last(info: DataInfo, device: torch.device) -> bool:
    """Whether images lie in memory with their channels last, which CUDA's convolutions want."""
    return device.type == "cuda" and len(info.input_shape) == IMAGE_NDIM


def placed(model: nn.Module, precision: PrecisionPlan, *, channels_last: bool) -> nn.Module:
    """The model in the arithmetic and the order of axes that it computes in."""
    model = model.double() if precision.is_double else model
    return model.to(memory_format=torch.channels_last) if channels_last else model


def in_precision(batches: Iterator[Batch], precision: PrecisionPlan) -> Iterator[Batch]:
    """Batches whose floats are in the arithmetic of the model."""
    if not precision.is_double:
        return batches
    return ((_doubled(x_B), _doubled(y_B)) for x_B, y_B in batches)


def _doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


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
