"""Averages of the weights over the steps (ema) or the epochs (swa) of a trial, by which it is evaluated and exported.

torch.optim.swa_utils' AveragedModel, kept as lists: with ema floating-point buffers are averaged too (its
`use_buffers`); with swa they are those of the last epoch, and the statistics of batch normalisation are measured anew
on the training part (its `update_bn`) after each epoch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tuner.config.schema.train import Averaging

SWA_SHARE = 0.75
"""Of the epochs, what comes before the first one that swa averages, as in torch's documentation."""


def start_of(config: Averaging, epochs: int) -> int:
    """The first epoch whose weights count, from 1."""
    if config.start_epoch is not None:
        return config.start_epoch
    return 1 if config.kind == "ema" else min(epochs, math.floor(SWA_SHARE * epochs) + 1)


def annealed(config: Averaging, lr: float, n_epochs: int) -> float:
    """The learning rate, `n_epochs` after the first epoch that swa averages, which began with `lr`.

    That of torch's SWALR stepped once an epoch.
    """
    if config.lr is None:
        return lr
    progress = min(1.0, n_epochs / config.anneal_epochs) if config.anneal_epochs else 1.0
    if config.anneal_strategy == "cos":
        progress = (1.0 - math.cos(math.pi * progress)) / 2.0
    return config.lr * progress + lr * (1.0 - progress)


@dataclass(slots=True, kw_only=True)
class AveragedModel:
    """A copy of the model with the averages."""

    config: Averaging
    start: int
    """The first epoch whose weights count."""
    model: nn.Module
    source: nn.Module
    n_averaged: int = 0
    _averages: list[Tensor] = field(default_factory=list)
    _sources: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, config: Averaging, epochs: int, source: nn.Module) -> AveragedModel:
        """Of a model that has not been trained yet."""
        averaged = cls(config=config, start=start_of(config, epochs), model=copy.deepcopy(source).eval(), source=source)
        averaged.rebind()
        return averaged

    def rebind(self) -> None:
        """Look the tensors up again: those of the model have been replaced."""
        self._averages, self._sources = [], []
        for own, theirs in zip(self._tensors(self.model), self._tensors(self.source), strict=True):
            if own.is_floating_point():
                self._averages.append(own.detach())
                self._sources.append(theirs.detach())

    def _tensors(self, model: nn.Module) -> list[Tensor]:
        return [*model.parameters(), *(model.buffers() if self.config.kind == "ema" else ())]

    @property
    def is_active(self) -> bool:
        return self.n_averaged > 0

    def after_step(self, epoch: int) -> None:
        """Take in the weights that a step of `epoch` has left."""
        if self.config.kind == "ema" and epoch >= self.start:
            n_steps = self.n_averaged
            ramp = (1 + n_steps) / (10 + n_steps) if self.config.warmup else 1.0
            self._take(1.0 - min(self.config.decay, ramp))

    def after_epoch(self, epoch: int, batches: Iterable[Any]) -> None:
        """Take in what an epoch has left; `batches` are read where batch normalisation needs them."""
        if epoch < self.start:
            return
        if self.config.kind == "swa":
            self._take(1.0 / (self.n_averaged + 1))
        for own, theirs in zip(self.model.buffers(), self.source.buffers(), strict=True):
            if self.config.kind == "swa" or not own.is_floating_point():
                own.copy_(theirs)
        if self.config.kind == "swa":
            update_bn(batches, self.model)
            self.model.eval()

    def _take(self, weight: float) -> None:
        with torch.no_grad():
            if self.n_averaged == 0:
                torch._foreach_copy_(self._averages, self._sources)
            else:
                torch._foreach_lerp_(self._averages, self._sources, weight)
        self.n_averaged += 1
