"""Losses of classes.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from tuner.data.info import DataInfo
from tuner.optim.loss_function import LossFunction, Unsmoothed, given

N_BINARY = 2
LEAST_WEIGHT = 1e-30
"""Of a batch, to divide by."""
LEAST_DOUBT = 1e-7
"""Focal loss takes no smaller one: below 1, the power of 0 has no gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropyLoss:
    """Softmax cross entropy over K logits; targets are classes, or the share of each class [B, K] (mixup)."""

    label_smoothing: float = 0.0
    weight_K: Tensor | None = field(default=None, compare=False)
    leaves_out: bool = False
    """Whether the weight of some class is 0, so that a batch may have nothing to take the mean over: its loss is 0."""

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.weight_K)

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, logits_BK: Tensor, y_B: Tensor, /) -> Tensor:
        of_batch = partial(F.cross_entropy, logits_BK, y_B, self.weight_K, label_smoothing=self.label_smoothing)
        total = self.batch_weight(y_B) if self.leaves_out else None
        return of_batch() if total is None else _mean(of_batch(reduction="sum"), total)

    def smoothed(self, logits_BK: Tensor, y_B: Tensor, smoothing: Tensor, /) -> Tensor:
        surprise_BK = -logits_BK.log_softmax(dim=1)
        if self.weight_K is not None:
            return self._weighted(surprise_BK * self.weight_K, y_B, smoothing, self.weight_K)
        if y_B.is_floating_point():
            own_B = (surprise_BK * y_B).sum(dim=1)
            return ((1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)).mean()
        own_B = surprise_BK.gather(1, y_B.unsqueeze(1)).squeeze(1)
        return ((1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)).mean()

    def _weighted(self, surprise_BK: Tensor, y_B: Tensor, smoothing: Tensor, weight_K: Tensor) -> Tensor:
        """As torch has it: the mean over the rows where targets are shares, else over the weights of the rows."""
        if y_B.is_floating_point():
            own_B = (surprise_BK * y_B).sum(dim=1)
            return ((1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)).mean()
        own_B = surprise_BK.gather(1, y_B.unsqueeze(1)).squeeze(1)
        total = (1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)
        return _mean(total.sum(), weight_K.index_select(0, y_B).sum())

    def batch_weight(self, y_B: Tensor, /) -> Tensor | None:
        return None if y_B.is_floating_point() else _weight_of(y_B, self.weight_K)

    def probabilities(self, logits_BK: Tensor, /) -> Tensor:
        return logits_BK.float().softmax(dim=1)

    def for_evaluation(self) -> LossFunction:
        return CrossEntropyLoss()


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    """0, and no gradient, for what weighs nothing: smoothing has a sum even there."""
    return torch.where(weight > 0.0, loss / weight.clamp(min=LEAST_WEIGHT), 0.0)


def _weight_of(y_B: Tensor, weight_K: Tensor | None) -> Tensor | None:
    """What torch divides a weighted mean by."""
    return None if weight_K is None else weight_K.index_select(0, y_B).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryCrossEntropyLoss:
    """Binary cross entropy on one logit, that of class 1; smoothed as cross entropy over two classes is."""

    label_smoothing: float = 0.0
    pos_weight_1: Tensor | None = field(default=None, compare=False)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.pos_weight_1)

    def n_outputs(self, info: DataInfo) -> int:  # noqa: ARG002 - the Protocol's
        return 1

    def __call__(self, logits_B1: Tensor, y_B: Tensor, /) -> Tensor:
        return self._smoothed(logits_B1, y_B, self.label_smoothing)

    def smoothed(self, logits_B1: Tensor, y_B: Tensor, smoothing: Tensor, /) -> Tensor:
        return self._smoothed(logits_B1, y_B, smoothing)

    def _smoothed(self, logits_B1: Tensor, y_B: Tensor, smoothing: Tensor | float) -> Tensor:
        target_B = y_B.to(logits_B1.dtype) * (1.0 - smoothing) + smoothing / N_BINARY
        return F.binary_cross_entropy_with_logits(logits_B1.squeeze(1), target_B, pos_weight=self.pos_weight_1)

    def batch_weight(self, y_B: Tensor, /) -> None:
        """The mean is over the rows, weighted or not."""

    def probabilities(self, logits_B1: Tensor, /) -> Tensor:
        logits = logits_B1.float()
        return torch.cat([(-logits).sigmoid(), logits.sigmoid()], dim=1)

    def for_evaluation(self) -> LossFunction:
        return BinaryCrossEntropyLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class NllLoss(Unsmoothed):
    """Negative log-likelihood of K log-probabilities, or of K logits: log_softmax leaves the former as they are."""

    weight_K: Tensor | None = field(default=None, compare=False)
    leaves_out: bool = False
    """As that of cross entropy."""

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.weight_K)

    def __call__(self, logs_BK: Tensor, y_B: Tensor, /) -> Tensor:
        of_batch = partial(F.nll_loss, logs_BK.log_softmax(dim=1), y_B, self.weight_K)
        total = self.batch_weight(y_B) if self.leaves_out else None
        return of_batch() if total is None else _mean(of_batch(reduction="sum"), total)

    def batch_weight(self, y_B: Tensor, /) -> Tensor | None:
        return _weight_of(y_B, self.weight_K)

    def probabilities(self, logs_BK: Tensor, /) -> Tensor:
        return logs_BK.float().softmax(dim=1)

    def for_evaluation(self) -> LossFunction:
        return NllLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalLoss(Unsmoothed):
    """Softmax cross entropy times (1 - p) ** gamma (Lin et al. 2017, arXiv 1708.02002), the mean over the rows."""

    gamma: float
    alpha_K: Tensor | None = field(default=None, compare=False)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.alpha_K)

    def __call__(self, logits_BK: Tensor, y_B: Tensor, /) -> Tensor:
        own_B = logits_BK.log_softmax(dim=1).gather(1, y_B.unsqueeze(1)).squeeze(1)
        doubt_B = (1.0 - own_B.exp()).clamp(min=LEAST_DOUBT)
        loss_B = -(doubt_B**self.gamma) * own_B
        return (loss_B if self.alpha_K is None else loss_B * self.alpha_K.index_select(0, y_B)).mean()

    def probabilities(self, logits_BK: Tensor, /) -> Tensor:
        return logits_BK.float().softmax(dim=1)

    def for_evaluation(self) -> LossFunction:
        return CrossEntropyLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsFocalLoss(Unsmoothed):
    """The same of each of K labels on a logit of its own: torchvision's sigmoid_focal_loss."""

    gamma: float
    alpha: float | None = None

    def __call__(self, logits_BK: Tensor, y_BK: Tensor, /) -> Tensor:
        own_BK = F.binary_cross_entropy_with_logits(logits_BK, y_BK.to(logits_BK.dtype), reduction="none")
        doubt_BK = (1.0 - (-own_BK).exp()).clamp(min=LEAST_DOUBT)
        loss_BK = own_BK * doubt_BK**self.gamma
        if self.alpha is None:
            return loss_BK.mean()
        return (loss_BK * (self.alpha * y_BK + (1.0 - self.alpha) * (1.0 - y_BK))).mean()

    def probabilities(self, logits_BK: Tensor, /) -> Tensor:
        return logits_BK.float().sigmoid()

    def for_evaluation(self) -> LossFunction:
        return LabelsFocalLoss(gamma=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HingeLoss(Unsmoothed):
    """Multi-class margin loss of K scores. Their softmax stands for probabilities, which they do not promise to be."""

    p: int
    margin: float
    weight_K: Tensor | None = field(default=None, compare=False)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.weight_K)

    def __call__(self, scores_BK: Tensor, y_B: Tensor, /) -> Tensor:
        return F.multi_margin_loss(scores_BK, y_B, self.p, self.margin, self.weight_K)

    def probabilities(self, scores_BK: Tensor, /) -> Tensor:
        return scores_BK.float().softmax(dim=1)

    def for_evaluation(self) -> LossFunction:
        return HingeLoss(p=self.p, margin=self.margin)
