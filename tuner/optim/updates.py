"""The update rules that training applies: torch's own fused kernels, called without torch.optim around them.

torch.optim costs 40 to 60 us a step in Python before its kernel runs, and its first step imports torch's compiler
(3.3 s of CPU time, torch 2.15). The rules here call the same kernels on the same state, so that weights are those of
torch.optim to the bit (tests/test_optim_updates.py), and keep torch.optim's layout of a state_dict. Kinds without a
kernel for a device go through torch.optim itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tuner.config.schema import Optimizer
from tuner.optim.optimizers import build_optimizer

Tensors = list[Tensor]
State = dict[str, Tensor]
"""What the rule remembers of one parameter."""
Columns = dict[str, Tensors]
"""The same of several parameters."""


class Update(Protocol):
    """Changes the weights of one run, given their gradients."""

    lr: float

    @property
    def params(self) -> Tensors:
        """The tensors that are changed, in place."""

    def step(self, grads: Sequence[Tensor | None]) -> None:
        """Take one step; a parameter without a gradient is left as it is, state included, as torch.optim does."""

    def state_dict(self) -> dict[str, Any]:
        """The state in torch.optim's layout."""

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Restore what `state_dict` gave, of this class or of another with the same kind."""


class Rule(Protocol):
    """One kind of optimizer: the state of a parameter, and one step of all parameters at once."""

    def new_state(self, options: dict[str, Any], param: Tensor) -> State: ...

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None: ...


def _columns(states: Sequence[State]) -> Columns:
    return {name: [state[name] for state in states] for name in states[0]}


def _count(steps: Tensors) -> None:
    """Add 1 to every counter; a counter that all parameters share is counted once."""
    if steps[0] is steps[-1]:
        steps[0].add_(1)
    else:
        torch._foreach_add_(steps, 1)


def _counter(device: torch.device) -> Tensor:
    return torch.zeros((), dtype=torch.float32, device=device)


class SgdRule:
    def new_state(self, options: dict[str, Any], param: Tensor) -> State:
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

    def new_state(self, options: dict[str, Any], param: Tensor) -> State:
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if options["amsgrad"] else ()))
        return {"step": _counter(param.device), **{name: torch.zeros_like(param) for name in names}}

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
    def new_state(self, options: dict[str, Any], param: Tensor) -> State:
        del options
        return {"step": _counter(param.device), "sum": torch.zeros_like(param)}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        _count(state["step"])
        torch._fused_adagrad_(params, grads, state["sum"], state["step"], lr=lr, maximize=False, **options)


class RmspropRule:
    """No fused kernel exists: torch's operations on lists of tensors, in the order of torch.optim."""

    def new_state(self, options: dict[str, Any], param: Tensor) -> State:
        names = ("square_avg", *(("momentum_buffer",) if options["momentum"] else ()))
        names = (*names, *(("grad_avg",) if options["centered"] else ()))
        return {"step": _counter(torch.device("cpu")), **{name: torch.zeros_like(param) for name in names}}

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


RULES: dict[str, Rule] = {
    "sgd": SgdRule(),
    "adam": AdamRule(torch._fused_adam_),
    "adamw": AdamRule(torch._fused_adamw_),
    "adagrad": AdagradRule(),
    "rmsprop": RmspropRule(),
}
DEVICES: dict[str, frozenset[str]] = {
    "sgd": frozenset({"cpu", "cuda"}),
    "adam": frozenset({"cpu", "cuda"}),
    "adamw": frozenset({"cpu", "cuda"}),
    "rmsprop": frozenset({"cpu", "cuda"}),
    "adagrad": frozenset({"cpu"}),  # the kernel for CUDA came after torch 2.11 (pytorch/pytorch#177672)
}
"""Where the kernels of torch >= 2.11 run; MPS has some too, untested."""


@dataclass(slots=True, kw_only=True)
class DirectUpdate:
    """Implements `Update` with the kernels."""

    rule: Rule
    params: Tensors
    options: dict[str, Any]
    lr: float
    states: dict[int, State] = field(default_factory=dict)
    """By the parameter's index; a parameter that has not been changed yet has none."""
    _all: Columns | None = None
    """The states of all parameters, when all have one."""

    def step(self, grads: Sequence[Tensor | None]) -> None:
        present = [grad for grad in grads if grad is not None]
        with torch.no_grad():
            if self._all is not None and len(present) == len(self.params):
                self.rule.step(self.params, present, self._all, self.lr, self.options, first=False)
            else:
                self._step_some(grads)

    def _step_some(self, grads: Sequence[Tensor | None]) -> None:
        """The first step, and steps in which parameters have no gradient."""
        for state in self.states.values():  # from here on each has its own counter
            if "step" in state:
                state["step"] = state["step"].clone()
        present = {index: grad for index, grad in enumerate(grads) if grad is not None}
        new = [index for index in present if index not in self.states]
        for index in new:
            self.states[index] = self.rule.new_state(self.options, self.params[index])
        self.states = dict(sorted(self.states.items()))
        for indices, first in (([index for index in present if index not in new], False), (new, True)):
            if indices:
                params = [self.params[index] for index in indices]
                columns = _columns([self.states[index] for index in indices])
                chosen = [present[index] for index in indices]
                self.rule.step(params, chosen, columns, self.lr, self.options, first=first)
        self._gather()

    def share(self, columns: Columns, step: Tensor) -> None:
        """Take states that live in tensors of several lanes: `columns` by name, and one counter."""
        self.states = {
            index: {
                **({"step": step} if "step" in self.rule.new_state(self.options, param) else {}),
                **{name: column[index] for name, column in columns.items()},
            }
            for index, param in enumerate(self.params)
        }
        self._gather()

    def _gather(self) -> None:
        is_complete = len(self.states) == len(self.params)
        self._all = _columns(list(self.states.values())) if is_complete else None
        steps = (self._all or {}).get("step")
        if steps and all(step.device.type == "cpu" for step in steps) and len({step.item() for step in steps}) == 1:
            # One counter for all: 6 us less a step for 6 parameters.
            assert self._all is not None
            self._all["step"] = [steps[0]] * len(steps)
            for state in self.states.values():
                state["step"] = steps[0]

    def state_dict(self) -> dict[str, Any]:
        group = {"lr": self.lr, **self.options, "params": list(range(len(self.params)))}
        state = {
            # A counter of its own for each parameter, as torch.optim wants it.
            index: {name: tensor.clone() if name == "step" else tensor for name, tensor in state.items()}
            for index, state in self.states.items()
        }
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        self.states = {}
        for index, param in enumerate(self.params):
            found = stored["state"].get(index)
            if found is not None:
                fresh = self.rule.new_state(self.options, param)
                # Into fresh tensors, which have the parameter's memory format: lanes store their states without it.
                self.states[index] = {name: like.copy_(found[name]) for name, like in fresh.items()}
        self._gather()


@dataclass(slots=True, kw_only=True)
class TorchUpdate:
    """Implements `Update` with torch.optim."""

    optimizer: torch.optim.Optimizer
    lr: float

    @property
    def params(self) -> Tensors:
        return [param for group in self.optimizer.param_groups for param in group["params"]]

    def step(self, grads: Sequence[Tensor | None]) -> None:
        for param, grad in zip(self.params, grads, strict=True):
            param.grad = grad
        self.apply_lr()
        self.optimizer.step()

    def apply_lr(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": stored["state"], "param_groups": groups})


def build_update(
    config: Optimizer, parameters: Iterable[nn.Parameter], device: torch.device, *, scales_gradients: bool = False
) -> Update:
    """Build the update of all parameters that are trained (`requires_grad`).

    `scales_gradients` (fp16) takes torch.optim, which a GradScaler needs. Raises ConfigError when there is nothing to
    train.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    is_plain = all(parameter.is_floating_point() for parameter in trained)
    if not trained or scales_gradients or not is_plain or device.type not in DEVICES[config.kind]:
        return TorchUpdate(optimizer=build_optimizer(config, trained, device), lr=config.lr)
    options = config.model_dump(exclude={"kind", "lr"})
    return DirectUpdate(rule=RULES[config.kind], params=list(trained), options=options, lr=config.lr)
