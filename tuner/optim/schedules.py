"""Learning rate schedules as pure functions of the step, so that resuming needs no state and is exact.

Steps count from 0 over the whole trial: step = epoch_index * steps_per_epoch + step_index; they are steps of the
optimizer, fewer than the batches where gradients are accumulated. The formulas are those of torch.optim.lr_scheduler;
what is different there is said here:

- Warm-up takes n = round(warmup_epochs * steps_per_epoch) steps and rises linearly to the first value of the schedule
  proper: (1, 2, ..., n) / (n + 1) of it. The schedule proper then runs over the steps that remain, as in torch's
  SequentialLR([LinearLR(start_factor=1 / (n + 1), total_iters=n), schedule], milestones=[n]).
- Values past the last step stay at the last one; cosine would rise again, OneCycleLR raises.
- Lengths are in epochs, and so is gamma: a space means the same for every batch size. With `per: epoch` a schedule has
  at all steps of an epoch what it has at the first one, which is torch's scheduler stepped once an epoch.
- inverse_sqrt, which torch has not, is that of Vaswani et al. 2017 (arXiv 1706.03762), section 5.3, without the model's
  width, so that lr is what it falls from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuner.config.schema import Cosine, Exponential, OneCycle, Schedule, Step
from tuner.config.schema.schedules import CosineRestarts, Cyclic, InverseSqrt, Linear, Multistep, Polynomial


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a trial is in the schedule proper, after warm-up."""

    step: int
    n_steps: int
    steps_per_epoch: int
    n_warmup: int

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch

    @property
    def epochs(self) -> float:
        """With the share of the epoch that is over."""
        return self.step / self.steps_per_epoch

    def by(self, per: str) -> Position:
        """The first step of the trial's epoch, for a schedule that changes once an epoch.

        A warm-up may end within one, of which the rest has the first value of the schedule.
        """
        if per == "step":
            return self
        in_trial = self.n_warmup + self.step
        first = max(0, in_trial - in_trial % self.steps_per_epoch - self.n_warmup)
        return Position(step=first, n_steps=self.n_steps, steps_per_epoch=self.steps_per_epoch, n_warmup=self.n_warmup)


def lr_at(config: Schedule, *, base_lr: float, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the learning rate of one optimizer step.

    `base_lr` is the optimizer's lr; for plateau it is `PlateauState.lr`, since that schedule depends on the objective.
    """
    n_warmup = round(config.warmup_epochs * steps_per_epoch)
    n_steps = max(1, epochs * steps_per_epoch - n_warmup)
    at = Position(step=max(0, step - n_warmup), n_steps=n_steps, steps_per_epoch=steps_per_epoch, n_warmup=n_warmup).by(
        getattr(config, "per", "step")
    )
    lr = SHAPES[config.kind](config, base_lr, at)
    return lr * (step + 1) / (n_warmup + 1) if step < n_warmup else lr


def changes_within_epoch(config: Schedule) -> bool:
    """Whether to ask `lr_at` at every step; otherwise once at the start of an epoch is enough."""
    if config.warmup_epochs > 0.0 or config.kind in {"one_cycle", "cyclic"}:
        return True
    return getattr(config, "per", "epoch") == "step"


def _constant(_config: Schedule, base_lr: float, _at: Position) -> float:
    return base_lr


def _linear(config: Linear, base_lr: float, at: Position) -> float:
    n_steps = at.n_steps if config.epochs is None else config.epochs * at.steps_per_epoch
    progress = min(1.0, at.step / n_steps)
    return base_lr * (config.start_factor + (config.end_factor - config.start_factor) * progress)


def _step(config: Step, base_lr: float, at: Position) -> float:
    return float(base_lr * config.gamma ** (at.epoch // config.step_size))


def _multistep(config: Multistep, base_lr: float, at: Position) -> float:
    return float(base_lr * config.gamma ** sum(at.epoch >= milestone for milestone in config.milestones))


def _exponential(config: Exponential, base_lr: float, at: Position) -> float:
    return float(base_lr * config.gamma ** (at.epochs if config.per == "step" else at.epoch))


def _polynomial(config: Polynomial, base_lr: float, at: Position) -> float:
    return float(base_lr * (1.0 - min(1.0, at.step / at.n_steps)) ** config.power)


def _cosine(config: Cosine, base_lr: float, at: Position) -> float:
    return _cosine_between(base_lr, config.eta_min, min(1.0, at.step / at.n_steps))


def _cosine_restarts(config: CosineRestarts, base_lr: float, at: Position) -> float:
    begin, length = 0, config.t_0 * at.steps_per_epoch
    if config.t_mult == 1:
        begin = at.step // length * length
    while at.step >= begin + length:
        begin, length = begin + length, length * config.t_mult
    return _cosine_between(base_lr, config.eta_min, (at.step - begin) / length)


def _one_cycle(config: OneCycle, base_lr: float, at: Position) -> float:
    # torch's phases in full: the peak is reached at step pct_start * n_steps - 1, which need not be a whole number.
    between = _cosine_between if config.anneal_strategy == "cos" else _line_between
    start = base_lr / config.div_factor
    peak, last = config.pct_start * at.n_steps - 1.0, at.n_steps - 1.0
    step, end = min(at.step, last), start / config.final_div_factor
    if step <= peak:
        return between(start, base_lr, step / peak if peak else 1.0)
    if not config.three_phase:
        return between(base_lr, end, (step - peak) / (last - peak))
    back = 2.0 * peak
    if step <= back:
        return between(base_lr, start, (step - peak) / peak)
    return between(start, end, (step - back) / (last - back))


def _cyclic(config: Cyclic, base_lr: float, at: Position) -> float:
    up = max(1, round(config.up_epochs * at.steps_per_epoch))
    down = up if config.down_epochs is None else max(1, round(config.down_epochs * at.steps_per_epoch))
    cycle, step = divmod(at.step, up + down)
    height = step / up if step <= up else (up + down - step) / down
    if config.mode == "triangular2":
        height /= 2.0**cycle
    elif config.mode == "exp_range":
        height *= config.gamma**at.epochs
    start = base_lr / config.div_factor
    return float(start + (base_lr - start) * height)


def _inverse_sqrt(config: InverseSqrt, base_lr: float, at: Position) -> float:
    named = None if config.timescale_epochs is None else config.timescale_epochs * at.steps_per_epoch
    timescale = named or at.n_warmup or at.steps_per_epoch
    return base_lr * math.sqrt(timescale / (timescale + at.step))


def _cosine_between(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * progress)) / 2.0


def _line_between(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


SHAPES: dict[str, Callable[[Any, float, Position], float]] = {
    "constant": _constant,
    "linear": _linear,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "one_cycle": _one_cycle,
    "cyclic": _cyclic,
    "inverse_sqrt": _inverse_sqrt,
    "plateau": _constant,
}
