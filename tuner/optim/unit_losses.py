"""Losses of regression whose training targets are scaled (`tuner.data.target_units`).

T target columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuner.data.info import DataInfo
from tuner.data.target_units import TargetUnits
from tuner.optim.loss_function import LossFunction

POWERS = {"mse": 2, "l1": 1, "huber": 2}
"""By which power of a column's deviation a loss grows, for the losses that scaled targets make sense for.

Others see targets as they are: counts must stay counts, and a user's own loss is written for the user's units.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledTargetLoss:
    """A loss on scaled targets and the outputs for them, whose value is told in the units of the data."""

    inner: LossFunction
    units: TargetUnits
    power: int

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return self.inner.constants

    def n_outputs(self, info: DataInfo) -> int:
        return self.inner.n_outputs(info)

    def __call__(self, outputs_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return self.inner(outputs_BT, y_BT)

    def smoothed(self, outputs_BT: Tensor, y_BT: Tensor, smoothing: Tensor, /) -> Tensor:
        return self.inner.smoothed(outputs_BT, y_BT, smoothing)

    def batch_weight(self, y_BT: Tensor, /) -> Tensor | None:
        return self.inner.batch_weight(y_BT)

    def probabilities(self, outputs_BT: Tensor, /) -> Tensor:
        return self.units.restored(self.inner.probabilities(outputs_BT))

    def for_evaluation(self) -> LossFunction:
        return UnscaledTargetLoss(inner=self.inner.for_evaluation(), units=self.units, power=self.power)

    def in_units(self, value: float) -> float:
        """A training loss in the units of the data: with several columns as if all had the same mean error."""
        return value * sum(std**self.power for std in self.units.stds) / len(self.units.stds)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnscaledTargetLoss(ScaledTargetLoss):
    """The same on targets as the data has them, as those of validation and test are."""

    def __call__(self, outputs_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        scaled_BT = self.units.scaled(y_BT)
        columns = [
            self.inner(outputs_BT[:, t : t + 1], scaled_BT[:, t : t + 1]) * std**self.power
            for t, std in enumerate(self.units.stds)
        ]
        total = columns[0]
        for column in columns[1:]:
            total = total + column
        return total / len(columns)

    def for_evaluation(self) -> LossFunction:
        return self


def in_target_units(loss: LossFunction, kind: str, info: DataInfo) -> LossFunction:
    """The loss for the targets that training sees."""
    units = TargetUnits.of(info)
    if units is None or kind not in POWERS:
        return loss
    return ScaledTargetLoss(inner=loss, units=units, power=POWERS[kind])


def units_of(loss: LossFunction) -> TargetUnits | None:
    """How training targets are to be scaled for a loss; None for as they are."""
    return loss.units if isinstance(loss, ScaledTargetLoss) else None


def told(loss: LossFunction, value: float) -> float:
    """A training loss as it is recorded: in the units of the data, as that of validation is."""
    return loss.in_units(value) if isinstance(loss, ScaledTargetLoss) else value
