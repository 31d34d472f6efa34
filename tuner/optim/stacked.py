"""Update rules for many lanes in a few operations: one row of weights a lane, one number a lane of each option.

For devices on which a call costs more than its arithmetic. The formulas are those of torch.optim
(tests/test_optim_stacked.py compares every one); what a lane's own rule has as numbers are tensors [T, 1] here, so that
nothing waits for the host and a step can be captured in a CUDA graph.

T lanes, P parameters of a lane, all in one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Numbers = dict[str, Tensor]
"""Options of every lane, [T, 1] each."""

FLAGS: dict[str, tuple[str, ...]] = {
    "sgd": ("nesterov",),
    "adam": ("amsgrad",),
    "adamw": ("amsgrad",),
    "rmsprop": ("centered",),
}
"""Options that all lanes share; besides them, whether there is momentum."""


@dataclass(slots=True, kw_only=True)
class StackedUpdate:
    """The weights and the optimizer states of all lanes of one kind, and how they change."""

    kind: str
    weights_TP: Tensor
    states_TP: dict[str, Tensor]
    """By torch.optim's names."""
    steps_T1: Tensor
    """Steps that each lane has taken."""
    numbers: Numbers
    flags: dict[str, bool]
    lr_T1: Tensor
    clip_T1: Tensor | None
    """Largest norms of the lanes' gradients, inf for none; None when no lane has one."""
    clip_value_T1: Tensor | None = None
    """The same of the largest values."""

    def step(self, grads_TP: Tensor) -> None:
        """Change all weights; may be captured in a CUDA graph."""
        if self.clip_value_T1 is not None:
            grads_TP = torch.clamp(grads_TP, -self.clip_value_T1, self.clip_value_T1)
        if self.clip_T1 is not None:
            norm_T1 = torch.linalg.vector_norm(grads_TP, dim=1, keepdim=True)
            grads_TP = grads_TP * torch.clamp(self.clip_T1 / (norm_T1 + 1e-6), max=1.0)
        self.steps_T1.add_(1)
        RULES[self.kind](self, grads_TP)


def _decayed(update: StackedUpdate, grads: Tensor) -> Tensor:
    return torch.addcmul(grads, update.weights_TP, update.numbers["weight_decay"])


def _sgd(update: StackedUpdate, grads: Tensor) -> None:
    numbers = update.numbers
    grads = _decayed(update, grads)
    if "momentum_buffer" in update.states_TP:
        buffer = update.states_TP["momentum_buffer"]
        is_first = update.steps_T1 == 1  # the first step takes the gradient as it is
        share = torch.where(is_first, torch.ones_like(numbers["dampening"]), 1.0 - numbers["dampening"])
        buffer.mul_(torch.where(is_first, torch.zeros_like(share), numbers["momentum"])).addcmul_(grads, share)
        grads = torch.addcmul(grads, buffer, numbers["momentum"]) if update.flags["nesterov"] else buffer
    update.weights_TP.addcmul_(grads, update.lr_T1, value=-1.0)


def _adam(update: StackedUpdate, grads: Tensor) -> None:
    _moments(update, _decayed(update, grads))


def _adamw(update: StackedUpdate, grads: Tensor) -> None:
    update.weights_TP.mul_(1.0 - update.lr_T1 * update.numbers["weight_decay"])
    _moments(update, grads)


def _moments(update: StackedUpdate, grads: Tensor) -> None:
    numbers, states = update.numbers, update.states_TP
    mean, square = states["exp_avg"], states["exp_avg_sq"]
    mean.lerp_(grads, numbers["1 - beta1"])
    square.mul_(numbers["beta2"]).addcmul_(grads * numbers["1 - beta2"], grads)
    if update.flags["amsgrad"]:
        square = torch.maximum(states["max_exp_avg_sq"], square, out=states["max_exp_avg_sq"])
    steps = update.steps_T1.double()
    step_size = (update.lr_T1 / (1.0 - numbers["beta1, exactly"] ** steps)).to(mean.dtype)
    scale = (1.0 - numbers["beta2, exactly"] ** steps).sqrt().to(mean.dtype)
    update.weights_TP.sub_(step_size * mean / ((square.sqrt() / scale) + numbers["eps"]))


def _rmsprop(update: StackedUpdate, grads: Tensor) -> None:
    numbers, states = update.numbers, update.states_TP
    grads = _decayed(update, grads)
    square = states["square_avg"].mul_(numbers["alpha"]).addcmul_(grads * numbers["1 - alpha"], grads)
    if update.flags["centered"]:
        mean = states["grad_avg"].lerp_(grads, numbers["1 - alpha"])
        square = square - mean * mean
    change = grads / (square.sqrt() + numbers["eps"])
    if "momentum_buffer" in states:
        change = states["momentum_buffer"].mul_(numbers["momentum"]).add_(change)
    update.weights_TP.addcmul_(change, update.lr_T1, value=-1.0)


RULES: dict[str, Callable[[StackedUpdate, Tensor], None]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
}


def numbers_of(options: Sequence[dict[str, Any]], like: Tensor) -> Numbers:
    """The numeric options of all lanes as tensors; `betas` become beta1 and beta2.

    With what is left to 1 of those near 1, taken in double precision: in single, 1 - 0.999 is right to five digits.
    """
    lanes = [_spread(lane) for lane in options]
    numbers = {name: like.new_tensor([[lane[name]] for lane in lanes]) for name in lanes[0]}
    for name in ("beta1", "beta2"):
        if name in numbers:
            exactly = [[lane[name]] for lane in lanes]
            numbers[f"{name}, exactly"] = torch.tensor(exactly, dtype=torch.float64, device=like.device)
    return numbers


def _spread(options: dict[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in options.items() if name != "betas" and not isinstance(value, bool)}
    numbers |= dict(zip(("beta1", "beta2"), options.get("betas", ()), strict=False))
    return numbers | {f"1 - {name}": 1.0 - numbers[name] for name in ("beta1", "beta2", "alpha") if name in numbers}
