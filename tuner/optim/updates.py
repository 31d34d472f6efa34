"""How the weights of one run change: by the rules of `tuner.optim.rules`, or through an optimizer of torch.

States have torch.optim's layout, whichever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from tuner.optim.rules import Columns, Rule, State, Tensors, columns_of


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


@dataclass(slots=True, kw_only=True)
class DirectUpdate:
    """Implements `Update` with a rule."""

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
            self.states[index] = self.rule.new_state(self.options, self.params[index], self.lr)
        self.states = dict(sorted(self.states.items()))
        for indices, first in (([index for index in present if index not in new], False), (new, True)):
            if indices:
                params = [self.params[index] for index in indices]
                columns = columns_of([self.states[index] for index in indices])
                chosen = [present[index] for index in indices]
                self.rule.step(params, chosen, columns, self.lr, self.options, first=first)
        self._gather()

    def share(self, columns: Columns, step: Tensor) -> None:
        """Take states that live in tensors of several lanes: `columns` by name, and one counter."""
        self.states = {
            index: {
                **({"step": step} if "step" in self.rule.new_state(self.options, param, self.lr) else {}),
                **{name: column[index] for name, column in columns.items()},
            }
            for index, param in enumerate(self.params)
        }
        self._gather()

    def _gather(self) -> None:
        is_complete = len(self.states) == len(self.params)
        self._all = columns_of(list(self.states.values())) if is_complete else None
        steps = (self._all or {}).get("step") if self.rule.shares_counter else None
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
                fresh = self.rule.new_state(self.options, param, self.lr)
                # Into fresh tensors, which have the parameter's memory format: lanes store their states without it.
                self.states[index] = {name: like.copy_(found[name]) for name, like in fresh.items()}
        self._gather()


@dataclass(slots=True, kw_only=True)
class TorchUpdate:
    """Implements `Update` with torch.optim."""

    optimizer: torch.optim.Optimizer
    lr: float
    lr_scales: tuple[float, ...] = (1.0,)
    """One a parameter group."""

    @property
    def params(self) -> Tensors:
        return [param for group in self.optimizer.param_groups for param in group["params"]]

    def step(self, grads: Sequence[Tensor | None]) -> None:
        for param, grad in zip(self.params, grads, strict=True):
            param.grad = grad
        self.apply_lr()
        self.optimizer.step()

    def apply_lr(self) -> None:
        for group, scale in zip(self.optimizer.param_groups, self.lr_scales, strict=True):
            group["lr"] = self.lr * scale

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        groups = self.optimizer.state_dict()["param_groups"]
        load_exactly(self.optimizer, {"state": stored["state"], "param_groups": groups})


def load_exactly(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """Load a state with the types that it has: torch gives all of it, float32 counters too, that of the parameter."""
    optimizer.load_state_dict(stored)
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for index, state in stored["state"].items():
        loaded = optimizer.state[params[index]]
        for name, value in state.items():
            if isinstance(value, Tensor) and loaded[name].dtype != value.dtype:
                loaded[name] = value.to(loaded[name].device, copy=True)


@dataclass(slots=True, kw_only=True)
class GroupedUpdate:
    """Implements `Update` with one update a group of parameters, each with a factor of the learning rate."""

    parts: tuple[Update, ...]
    lr_scales: tuple[float, ...]
    base_lr: float

    @property
    def lr(self) -> float:
        return self.base_lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self.base_lr = lr
        for part, scale in zip(self.parts, self.lr_scales, strict=True):
            part.lr = lr * scale

    @property
    def params(self) -> Tensors:
        return [param for part in self.parts for param in part.params]

    def step(self, grads: Sequence[Tensor | None]) -> None:
        begin = 0
        for part in self.parts:
            n_params = len(part.params)
            part.step(grads[begin : begin + n_params])
            begin += n_params

    def state_dict(self) -> dict[str, Any]:
        """As one optimizer has it: parameters are numbered through all groups."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        begin = 0
        for part in self.parts:
            stored = part.state_dict()
            state |= {begin + index: item for index, item in stored["state"].items()}
            (group,) = stored["param_groups"]
            groups.append({**group, "params": [begin + index for index in group["params"]]})
            begin += len(part.params)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        begin = 0
        for part, group in zip(self.parts, stored["param_groups"], strict=True):
            end = begin + len(part.params)
            state = {index - begin: item for index, item in stored["state"].items() if begin <= index < end}
            params = [index - begin for index in group["params"]]
            part.load_state_dict({"state": state, "param_groups": [{**group, "params": params}]})
            begin = end


def torch_updates(update: Update) -> list[TorchUpdate]:
    """The optimizers of torch that an update consists of, for a GradScaler; AssertionError when there are others."""
    parts = update.parts if isinstance(update, GroupedUpdate) else (update,)
    found = [part for part in parts if isinstance(part, TorchUpdate)]
    if len(found) < len(parts):
        raise AssertionError("fp16 needs optimizers of torch")
    return found
