"""A user's own optimizer: a torch.optim.Optimizer class, or a function that returns one."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner.config.schema.optimizers import PythonOptimizer
from tuner.errors import ConfigError, Place
from tuner.optim.groups import Group
from tuner.optim.updates import TorchUpdate, load_exactly
from tuner.registry import load_target


def build_python_optimizer(config: PythonOptimizer, groups: Sequence[Group], base_dir: Path) -> torch.optim.Optimizer:
    """Call the target with the parameters, `lr` where its signature has it, and its options.

    Parameters come as a list, or as torch's parameter groups where the trial has some. Raises ConfigError when the
    target cannot be called so, returns no Optimizer, or one whose step needs a closure.
    """
    target = load_target(config.target, base_dir)
    if not callable(target):
        raise _error(f"{config.target!r} must be an Optimizer class or a function that returns an Optimizer")
    parameters: Any = [_as_dict(group, config.lr) for group in groups]
    if len(groups) == 1 and set(parameters[0]) == {"params"}:
        parameters = groups[0].params
    optimizer = target(parameters, **_arguments(config, target))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise _error(f"{config.target!r} must return a torch.optim.Optimizer, got {type(optimizer).__name__}")
    needed = [item.name for item in inspect.signature(optimizer.step).parameters.values() if _is_needed(item)]
    if needed:
        raise _error(f"{config.target!r}: its step needs {', '.join(needed)}; tuner calls step() after backward")
    return optimizer


def lr_scales_of(optimizer: torch.optim.Optimizer, lr: float) -> tuple[float, ...]:
    """The factor of `lr` that each of its parameter groups was built with, whoever made the groups."""
    return tuple(float(group.get("lr", lr)) / lr for group in optimizer.param_groups)


def _as_dict(group: Group, lr: float) -> dict[str, Any]:
    """A parameter group as torch has it."""
    own_lr = {} if group.lr_scale == 1.0 else {"lr": lr * group.lr_scale}
    return {"params": group.params, **own_lr, **({} if group.decays else {"weight_decay": 0.0})}


def _arguments(config: PythonOptimizer, target: Any) -> dict[str, Any]:
    signature = inspect.signature(target)
    takes_all = any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values())
    own = {"lr": config.lr} if takes_all or "lr" in signature.parameters else {}
    arguments = {**own, **config.options}
    try:
        signature.bind([], **arguments)
    except TypeError as error:
        message = f"{config.target!r} cannot be called: {error}; its signature is {signature}"
        raise _error(
            f"{message}. Give under optimizer.options what it needs, besides lr", "optimizer.options"
        ) from error
    return arguments


def _is_needed(item: inspect.Parameter) -> bool:
    return item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)


def _error(message: str, path: str = "optimizer.target") -> ConfigError:
    return ConfigError.of([Place(path=path, message=message)])


@dataclass(slots=True, kw_only=True)
class PythonUpdate(TorchUpdate):
    """A user's own: what it keeps in its parameter groups is part of its state, and it may have two modes."""

    def step(self, grads: Sequence[Tensor | None]) -> None:
        # Its code expects the tensors of ordinary training, which those of inference mode are not.
        with torch.inference_mode(mode=False), torch.enable_grad():
            ordinary = [grad.clone() if grad is not None and grad.is_inference() else grad for grad in grads]
            super(PythonUpdate, self).step(ordinary)

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        load_exactly(self.optimizer, stored)

    def set_mode(self, *, training: bool) -> None:
        """Call its `train` or `eval`, which schedule-free optimizers have: they change the weights for evaluation."""
        method = getattr(self.optimizer, "train" if training else "eval", None)
        if callable(method):
            with torch.inference_mode(mode=False):
                method()
