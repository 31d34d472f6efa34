"""Learning rate schedules as pure functions of the step, so that resuming needs no state and is exact.

Steps count from 0 over the whole trial: step = epoch_index * steps_per_epoch + batch_index. The formulas are those of
torch.optim.lr_scheduler; what is different there is said here:

- Warm-up takes n = round(warmup_epochs * steps_per_epoch) steps and rises linearly to the first value of the schedule
  proper: (1, 2, ..., n) / (n + 1) of it. The schedule proper then runs over the steps that remain, as in torch's
  SequentialLR([LinearLR(start_factor=1 / (n + 1), total_iters=n), schedule], milestones=[n]).
- Values past the last step stay at the last one; cosine would rise again, OneCycleLR raises.
- Plateau's margin is a share of |best|. torch takes a share of best, which for negative values, such as a bad r2,
  counts values that got slightly worse as better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuner.config.schema import Cosine, Exponential, OneCycle, Plateau, Schedule, Step

PLATEAU_THRESHOLD = 1e-4
"""Relative improvement that counts, torch's default."""
PLATEAU_EPS = 1e-8
"""Smallest change of the learning rate that is made, torch's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a trial is in the schedule proper, after warm-up."""

    step: int
    n_steps: int
    steps_per_epoch: int

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch


def lr_at(config: Schedule, *, base_lr: float, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the learning rate of one optimizer step.

    `base_lr` is the optimizer's lr; for plateau it is `PlateauState.lr`, since that schedule depends on the objective.
    """
    n_warmup = round(config.warmup_epochs * steps_per_epoch)
    n_steps = max(1, epochs * steps_per_epoch - n_warmup)
    position = Position(step=max(0, step - n_warmup), n_steps=n_steps, steps_per_epoch=steps_per_epoch)
    lr = SHAPES[config.kind](config, base_lr, position)
    return lr * (step + 1) / (n_warmup + 1) if step < n_warmup else lr


def changes_within_epoch(config: Schedule) -> bool:
    """Whether to ask `lr_at` at every step; otherwise once at the start of an epoch is enough."""
    return config.kind in {"cosine", "one_cycle"} or config.warmup_epochs > 0.0


def _constant(_config: Schedule, base_lr: float, _at: Position) -> float:
    return base_lr


def _cosine(config: Cosine, base_lr: float, at: Position) -> float:
    progress = min(1.0, at.step / at.n_steps)
    return _anneal(base_lr, config.eta_min, progress)


def _step(config: Step, base_lr: float, at: Position) -> float:
    return float(base_lr * config.gamma ** (at.epoch // config.step_size))


def _exponential(config: Exponential, base_lr: float, at: Position) -> float:
    return float(base_lr * config.gamma**at.epoch)


def _one_cycle(config: OneCycle, base_lr: float, at: Position) -> float:
    # torch's phases in full: the peak is reached at step pct_start * n_steps - 1, which need not be a whole number.
    start = base_lr / config.div_factor
    peak, last = config.pct_start * at.n_steps - 1.0, at.n_steps - 1
    if at.step <= peak:
        return _anneal(start, base_lr, at.step / peak if peak else 1.0)
    return _anneal(base_lr, start / config.final_div_factor, (min(at.step, last) - peak) / (last - peak))


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * progress)) / 2.0


SHAPES: dict[str, Callable[[Any, float, Position], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "step": _step,
    "exponential": _exponential,
    "one_cycle": _one_cycle,
    "plateau": _constant,
}


@dataclass(slots=True, kw_only=True)
class PlateauState:
    """ReduceLROnPlateau as plain numbers: its learning rate falls when the objective has stopped improving.

    Epochs of warm-up count like others.
    """

    config: Plateau
    maximize: bool
    lr: float
    best: float | None = None
    waited: int = 0

    def update(self, value: float) -> None:
        """Take in the objective of an epoch; nan and inf are no improvement."""
        if self._improves(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited > self.config.patience:
            self.waited = 0
            reduced = max(self.lr * self.config.factor, self.config.min_lr)
            if self.lr - reduced > PLATEAU_EPS:
                self.lr = reduced

    def state(self) -> dict[str, float | int | None]:
        return {"lr": self.lr, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, float | int | None]) -> None:
        self.lr = float(state["lr"] or 0.0)
        self.best = state["best"]
        self.waited = int(state["waited"] or 0)

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        margin = PLATEAU_THRESHOLD * abs(self.best)
        return value > self.best + margin if self.maximize else value < self.best - margin
