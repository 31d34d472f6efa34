"""Rules with a kernel of their own: one step of all parameters at once, by torch's fused kernels.

torch.optim costs 40 to 60 us a step in Python before its kernel runs, and its first step imports torch's compiler
(3.3 s of CPU time, torch 2.15). The rules here call the same kernels on the same state, so that weights are those of
torch.optim to the bit (tests/test_optim_updates.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

CPU = torch.device("cpu")

Tensors = list[Tensor]
State = dict[str, Tensor]
"""What the rule remembers of one parameter."""
Columns = dict[str, Tensors]
"""The same of several parameters."""


class Rule(Protocol):
    """One kind of optimizer: the state of a parameter, and one step of all parameters at once."""

    shares_counter: bool
    """Whether parameters that have taken as many steps may share the tensor that counts them."""

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State: ...

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None: ...


def columns_of(states: Sequence[State]) -> Columns:
    """None stands for what the rule does not remember of a parameter, as Adafactor does of vectors."""
    names = dict.fromkeys(name for state in states for name in state)
    columns: Any = {name: [state.get(name) for state in states] for name in names}
    return dict(columns)


def _count(steps: Tensors) -> None:
    """Add 1 to every counter; a counter that all parameters share is counted once."""
    if steps[0] is steps[-1]:
        steps[0].add_(1)
    else:
        torch._foreach_add_(steps, 1)


def counter(device: torch.device = CPU) -> Tensor:
    """Of steps. A kernel wants it where its parameters are; on the CPU, whatever the device, it costs no launch."""
    return torch.zeros((), dtype=torch.float32, device=device)


class SgdRule:
    shares_counter = True

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del lr
        return {"momentum_buffer": torch.empty_like(param)} if options["momentum"] else {}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        buffers = state["momentum_buffer"] if options["momentum"] else []
        is_first = first and bool(buffers)  # the first step sets the buffer to the gradient
        torch._fused_sgd_(params, grads, buffers, lr=lr, maximize=False, is_first_step=is_first, **options)


@dataclass(frozen=True, slots=True)
class AdamRule:
    """Adam and AdamW, which differ in the kernel."""

    kernel: Callable[..., Any]
    shares_counter = True

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del lr
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if options["amsgrad"] else ()))
        return {"step": counter(param.device), **{name: torch.zeros_like(param) for name in names}}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        beta1, beta2 = options["betas"]
        largest = state["max_exp_avg_sq"] if options["amsgrad"] else []
        _count(state["step"])
        self.kernel(
            params,
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            largest,
            state["step"],
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=options["weight_decay"],
            eps=options["eps"],
            amsgrad=options["amsgrad"],
            maximize=False,
        )


class AdagradRule:
    shares_counter = True

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del lr
        filled = torch.full_like(param, options["initial_accumulator_value"]).detach()
        return {"step": counter(param.device), "sum": filled}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        _count(state["step"])
        named = {name: value for name, value in options.items() if name != "initial_accumulator_value"}
        torch._fused_adagrad_(params, grads, state["sum"], state["step"], lr=lr, maximize=False, **named)


class RmspropRule:
    """No fused kernel exists: torch's operations on lists of tensors, in the order of torch.optim."""

    shares_counter = True

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del lr
        names = ("square_avg", *(("momentum_buffer",) if options["momentum"] else ()))
        names = (*names, *(("grad_avg",) if options["centered"] else ()))
        return {"step": counter(), **{name: torch.zeros_like(param) for name in names}}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        _count(state["step"])
        alpha, momentum = options["alpha"], options["momentum"]
        if options["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=options["weight_decay"]))  # noqa: SLF001
        squares = state["square_avg"]
        torch._foreach_mul_(squares, alpha)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - alpha)
        if options["centered"]:
            means = state["grad_avg"]
            torch._foreach_lerp_(means, grads, 1 - alpha)
            spread = torch._foreach_addcmul(squares, means, means, value=-1)  # noqa: SLF001
            torch._foreach_sqrt_(spread)
        else:
            spread = torch._foreach_sqrt(squares)  # noqa: SLF001
        torch._foreach_add_(spread, options["eps"])
        if momentum:
            buffers = state["momentum_buffer"]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_addcdiv_(buffers, grads, spread)
            torch._foreach_add_(params, buffers, alpha=-lr)
        else:
            torch._foreach_addcdiv_(params, grads, spread, value=-lr)


KERNEL_RULES: dict[str, Rule] = {
    "sgd": SgdRule(),
    "adam": AdamRule(torch._fused_adam_),
    "adamw": AdamRule(torch._fused_adamw_),
    "adagrad": AdagradRule(),
    "rmsprop": RmspropRule(),
}
FUSED_DEVICES: dict[str, frozenset[str]] = {
    "sgd": frozenset({"cpu", "cuda"}),
    "adam": frozenset({"cpu", "cuda"}),
    "adamw": frozenset({"cpu", "cuda"}),
    "adagrad": frozenset({"cpu"}),  # CUDA came after torch 2.11 (pytorch/pytorch#177672)
}
"""Where torch >= 2.11 updates all parameters in one kernel; MPS has some too, untested.

One step of an MLP 784-128-128-10 on one CPU core with torch 2.15 (mean of 300), its default -> fused, in us:
sgd with momentum 95 -> 53, adam 396 -> 163, adamw 418 -> 165, adagrad 200 -> 98.
"""
KERNEL_DEVICES: dict[str, frozenset[str]] = {**FUSED_DEVICES, "rmsprop": frozenset({"cpu", "cuda"})}
"""Where the rules above run."""
