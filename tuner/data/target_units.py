"""Regression targets in units of their own: training sees mean 0 and deviation 1, people never do.

A network starts with outputs around 0 and takes steps of about its learning rate: targets around 150 with a deviation
of 80 are many epochs away, and gradients of their squared error 80 times those that a learning rate was chosen for. So
the batches of the training part have scaled targets, and outputs are scaled back before anybody looks at them. With
several targets each counts alike, whatever its units.

N rows, T target columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tuner.data.info import DataInfo
from tuner.data.scaling import Array

CONSTANT = 1e-9
"""A column whose deviation is less of its mean than this has rounding errors only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetUnits:
    """y -> (y - mean) / std, with one mean and std a column, measured on the training part."""

    means: tuple[float, ...]
    stds: tuple[float, ...]

    @classmethod
    def of(cls, info: DataInfo) -> TargetUnits | None:
        """None where targets are not scaled."""
        return cls(means=info.target_means, stds=info.target_stds) if info.target_stds else None

    @classmethod
    def fit(cls, targets_NT: Array) -> TargetUnits:
        """Sums are exactly rounded, so that every machine gets the same bits; a constant column has deviation 1."""
        columns = targets_NT.astype(np.float64).T
        measured = [_moments(column) for column in columns]
        return cls(means=tuple(mean for mean, _ in measured), stds=tuple(std for _, std in measured))

    def scaled(self, y_NT: Tensor) -> Tensor:
        """Targets as training sees them; computed in float64, as a large mean would leave few digits in float32."""
        return ((y_NT.double() - self._row(self.means, y_NT)) / self._row(self.stds, y_NT)).float()

    def restored(self, outputs_NT: Tensor) -> Tensor:
        """Outputs in the units of the data."""
        return (outputs_NT.double() * self._row(self.stds, outputs_NT) + self._row(self.means, outputs_NT)).float()

    @staticmethod
    def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=like.device)


def _moments(column: Array) -> tuple[float, float]:
    mean = math.fsum(column) / len(column)
    std = math.sqrt(math.fsum((column - mean) ** 2) / len(column))
    return mean, std if std > abs(mean) * CONSTANT else 1.0
