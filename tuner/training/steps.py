"""One step of training: forward, backward, clipping, update. Which way is fastest depends on the model and the device.

B batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from tuner.config.schema.losses import PythonLoss
from tuner.models.experts import Mixture
from tuner.optim.updates import torch_updates
from tuner.training.gradients import Weight, divide
from tuner.training.program import Results, single_program
from tuner.training.run import Run
from tuner.training.tape import Tape, record, untouched


class TrainStep(Protocol):
    """Trains one batch and returns its mean loss, a scalar on the device."""

    needs_autograd: bool
    name: str
    """What `tuner show` calls it."""

    def __call__(self, x_B: Tensor, y_B: Tensor, /) -> Tensor: ...


def build_step(run: Run) -> TrainStep:
    """The fastest step that the run allows."""
    if run.scaler is not None:
        return ScaledStep(run)
    if can_be_recorded(run):
        return TapedStep(run)
    return EagerStep(run)


def can_be_recorded(run: Run) -> bool:
    """Whether model and loss do the same operations at every step, which the model's kind says; a user's loss may not.

    On the CPU in its own arithmetic only: elsewhere operations are queued, and Python is not what a step waits for.
    """
    config = run.job.config
    is_plain = run.device.type == "cpu" and run.precision.autocast_dtype is None
    return is_plain and config.model.is_recordable and not isinstance(config.loss, PythonLoss)


class EagerStep:
    """Autograd at every step: any model, any device."""

    needs_autograd = True
    name = "autograd"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._params = run.trained
        dtype = run.precision.autocast_dtype
        self._autocast = torch.autocast(run.device.type, dtype=dtype, enabled=dtype is not None)

    def __call__(self, x_B: Tensor, y_B: Tensor, /) -> Tensor:
        run = self._run
        for param in self._params:
            param.grad = None
        with self._autocast:
            loss = run.loss(run.model(x_B), y_B)
        loss.backward()  # type: ignore[no-untyped-call]
        run.take([param.grad for param in self._params], y_B)
        return loss.detach()


class ScaledStep:
    """fp16: gradients are scaled so that small ones do not vanish; a step with an overflow is left out."""

    needs_autograd = True
    name = "autograd, scaled"

    def __init__(self, run: Run) -> None:
        if run.scaler is None:
            raise AssertionError("fp16 needs a scaler")
        self._run, self._scaler, self._updates = run, run.scaler, torch_updates(run.update)
        self._autocast = torch.autocast(run.device.type, dtype=run.precision.autocast_dtype)
        self._mixtures = [module for module in run.model.modules() if isinstance(module, Mixture)]

    def __call__(self, x_B: Tensor, y_B: Tensor, /) -> Tensor:
        run, gathered = self._run, self._run.accumulator
        if gathered.is_empty:
            for update in self._updates:
                update.optimizer.zero_grad(set_to_none=True)
        share = gathered.share(run.weight_of(y_B)) if gathered.every > 1 else 1.0
        for mixture in self._mixtures:  # their own terms of the loss do not go through the scaler
            mixture.loss_scale = self._scaler.scale(torch.ones((), device=run.device)) * share
        with self._autocast:
            loss = run.loss(run.model(x_B), y_B)
        self._scaler.scale(loss * share if gathered.every > 1 else loss).backward()  # type: ignore[no-untyped-call]
        total = gathered.count(share)
        if total is not None:
            self._step(total)
        return loss.detach()

    def _step(self, total: Weight) -> None:
        run = self._run
        for update in self._updates:
            update.apply_lr()
            self._scaler.unscale_(update.optimizer)
        grads = [param.grad for param in run.update.params]
        if run.accumulator.every > 1:
            divide(grads, total)
        run.clip(grads)
        for update in self._updates:
            self._scaler.step(update.optimizer)
        self._scaler.update()
        run.after_step()


def record_step(run: Run, x_B: Tensor, y_B: Tensor) -> Tape:
    """The tape of forward and backward: it returns the loss and the gradients. Weights, buffers and generators stay.

    Its persistent inputs are `persistent_of(run)`. Raises TapeError when the step cannot be replayed.
    """
    params = run.trained

    def step() -> list[Tensor | None]:
        loss = run.loss(run.model(x_B), y_B)
        return [loss.detach(), *torch.autograd.grad(loss, params, allow_unused=True)]

    # Batches are made in inference mode, and autograd refuses what was.
    with torch.inference_mode(mode=False), torch.enable_grad():
        x_B, y_B = x_B.clone(), y_B.clone()
        with untouched(list(run.model.buffers())):
            tape, _ = record(step, persistent=persistent_of(run), changing=[x_B, y_B])
    return tape


def tape_of(run: Run, x_B: Tensor, y_B: Tensor) -> Tape:
    """The tape of the run's step for batches of this shape, which is recorded once."""
    shape = tuple(x_B.shape)
    if shape not in run.tapes:
        run.tapes[shape] = record_step(run, x_B, y_B)
    return run.tapes[shape]


def persistent_of(run: Run) -> list[Tensor]:
    """What stays at its place in memory: parameters, trained or not, buffers, and the constants of the loss."""
    return [*run.model.parameters(), *run.model.buffers(), *run.loss.constants]


class TapedStep:
    """The recorded operations of a step, without autograd; recorded once for each shape of a batch.

    Sequences are padded to the longest of their batch, so that there are several shapes.
    """

    needs_autograd = False
    name = "recorded"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._programs: dict[tuple[int, ...], Callable[..., Results]] = {}

    def __call__(self, x_B: Tensor, y_B: Tensor, /) -> Tensor:
        run = self._run
        program = self._programs.get(tuple(x_B.shape)) or self._record(x_B, y_B)
        results: Any = program(x_B, y_B)
        run.take(results[1:], y_B)
        loss: Tensor = results[0]
        return loss

    def _record(self, x_B: Tensor, y_B: Tensor) -> Callable[..., Results]:
        run = self._run
        tape = tape_of(run, x_B, y_B)
        program = single_program(tape, [tensor.detach() for tensor in persistent_of(run)])
        self._programs[tuple(x_B.shape)] = program
        return program
