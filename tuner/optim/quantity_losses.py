"""Losses of quantities: the mean over rows and target columns.

Shapes: B batch, T target columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from tuner.optim.loss_function import LossFunction, Unsmoothed


class OfQuantities(Unsmoothed):
    """What they share: a prediction a column, and nothing that evaluation leaves out."""

    __slots__ = ()

    def probabilities(self, predictions_BT: Tensor, /) -> Tensor:
        return predictions_BT.float()

    def for_evaluation(self) -> LossFunction:
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredErrorLoss(OfQuantities):
    def __call__(self, predictions_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return F.mse_loss(predictions_BT, y_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsoluteErrorLoss(OfQuantities):
    def __call__(self, predictions_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return F.l1_loss(predictions_BT, y_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class HuberLoss(OfQuantities):
    delta: float

    def __call__(self, predictions_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return F.huber_loss(predictions_BT, y_BT, delta=self.delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonLoss(OfQuantities):
    """Predictions are expected counts, of which the model may return the logarithm."""

    log_input: bool
    full: bool

    def __call__(self, outputs_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return F.poisson_nll_loss(outputs_BT, y_BT, log_input=self.log_input, full=self.full)

    def probabilities(self, outputs_BT: Tensor, /) -> Tensor:
        outputs = outputs_BT.float()
        return outputs.exp() if self.log_input else outputs
