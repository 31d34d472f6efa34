"""A user's own loss: a class whose objects, or a function which, is called with outputs and targets."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuner.config.schema.losses import PythonLoss
from tuner.errors import ConfigError, Place
from tuner.optim.loss_function import LossFunction, Unsmoothed
from tuner.registry import load_target

NUMBERS = ("regression", "autoencoding")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLoss(Unsmoothed):
    """What it returns is neither smoothed nor weighted otherwise when it evaluates."""

    config: PythonLoss
    task: str
    outputs: str
    """logits, log_probabilities, probabilities or values."""
    function: Callable[..., Any] = field(compare=False)

    @classmethod
    def build(
        cls, config: PythonLoss, task: str, base_dir: Path, *, device: torch.device, dtype: torch.dtype
    ) -> OwnLoss:
        """ConfigError when the target cannot be called so, or `outputs` does not fit the task."""
        values = task in NUMBERS
        outputs = ("values" if values else "logits") if config.outputs == "auto" else config.outputs
        if values != (outputs == "values"):
            raise _error(f"{outputs} are not what models for {task} return; use auto", "outputs")
        function = _function(config, load_target(config.target, base_dir))
        if isinstance(function, nn.Module):
            function = function.to(device=device, dtype=dtype)
        return cls(config=config, task=task, outputs=outputs, function=function)

    def __call__(self, outputs_BO: Tensor, y: Tensor, /) -> Tensor:
        loss = self.function(outputs_BO, y)
        if isinstance(loss, Tensor) and loss.ndim == 0:
            return loss
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise _error(f"{self.config.target!r} must return one number, a tensor of shape (); got {got}: take the mean")

    def probabilities(self, outputs_BO: Tensor, /) -> Tensor:
        outputs = outputs_BO.float()
        if self.outputs == "logits":
            return outputs.sigmoid() if self.task == "multilabel" else outputs.softmax(dim=-1)
        return outputs.exp() if self.outputs == "log_probabilities" else outputs

    def for_evaluation(self) -> LossFunction:
        return self


def _function(config: PythonLoss, target: Any) -> Callable[..., Any]:
    """Options go to a class when it is made, to a function at every call."""
    if not callable(target):
        raise _error(f"{config.target!r} must be a class or a function, got {type(target).__name__}")
    is_class = isinstance(target, type)
    try:
        signature = inspect.signature(target)
        signature.bind(*(() if is_class else (None, None)), **config.options)
    except TypeError as error:
        message = f"{config.target!r} cannot be called: {error}; its signature is {signature}"
        raise _error(f"{message}. Give under loss.options what it needs", "options") from error
    if not is_class:
        return functools.partial(target, **config.options)
    made: Callable[..., Any] = target(**config.options)
    if not callable(made):
        raise _error(f"{config.target!r}: its objects cannot be called with (outputs, targets)")
    return made


def _error(message: str, option: str = "target") -> ConfigError:
    return ConfigError.of([Place(path=f"loss.{option}", message=message)])
