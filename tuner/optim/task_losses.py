"""Losses of tasks whose targets are neither one class nor quantities: several labels at once, and tokens.

Shapes: B batch, K labels, L positions, V tokens of the vocabulary, M positions of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from tuner.data.info import DataInfo
from tuner.data.targets import IGNORED
from tuner.optim.loss_function import given

N_BINARY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsLoss:
    """Binary cross entropy of each of K labels on a logit of its own: torch's BCEWithLogitsLoss."""

    label_smoothing: float = 0.0
    pos_weight_K: Tensor | None = field(default=None, compare=False)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return given(self.pos_weight_K)

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, logits_BK: Tensor, y_BK: Tensor, /) -> Tensor:
        return _binary(logits_BK, y_BK, self.label_smoothing, self.pos_weight_K)

    def smoothed(self, logits_BK: Tensor, y_BK: Tensor, smoothing: Tensor, /) -> Tensor:
        return _binary(logits_BK, y_BK, smoothing, self.pos_weight_K)

    def batch_weight(self, y_BK: Tensor, /) -> None:
        """The mean is over all labels of all rows."""

    def probabilities(self, logits_BK: Tensor, /) -> Tensor:
        return logits_BK.float().sigmoid()

    def for_evaluation(self) -> LabelsLoss:
        return LabelsLoss()


def _binary(logits_BK: Tensor, y_BK: Tensor, smoothing: Tensor | float, pos_weight_K: Tensor | None) -> Tensor:
    target_BK = y_BK.to(logits_BK.dtype) * (1.0 - smoothing) + smoothing / N_BINARY
    return F.binary_cross_entropy_with_logits(logits_BK, target_BK, pos_weight=pos_weight_K)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCrossEntropyLoss:
    """Softmax cross entropy of each position over V tokens; the mean over those that count, 0 where none does."""

    label_smoothing: float = 0.0
    padding: int | None = None

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return ()

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, logits_BLV: Tensor, y_BL: Tensor, /) -> Tensor:
        y_M = self._counted(y_BL).flatten()
        loss = F.cross_entropy(
            logits_BLV.flatten(0, 1), y_M, ignore_index=IGNORED, label_smoothing=self.label_smoothing
        )
        return torch.where((y_M != IGNORED).any(), loss, 0.0)

    def smoothed(self, logits_BLV: Tensor, y_BL: Tensor, smoothing: Tensor, /) -> Tensor:
        surprise_BLV = -logits_BLV.log_softmax(dim=-1)
        y_BL = self._counted(y_BL)
        counts_BL = (y_BL != IGNORED).to(logits_BLV.dtype)
        own_BL = surprise_BLV.gather(-1, y_BL.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        loss_BL = (1.0 - smoothing) * own_BL + smoothing * surprise_BLV.mean(dim=-1)
        return (loss_BL * counts_BL).sum() / counts_BL.sum().clamp(min=1.0)

    def batch_weight(self, y_BL: Tensor, /) -> Tensor:
        return (self._counted(y_BL) != IGNORED).sum().to(torch.float32)

    def probabilities(self, logits_BLV: Tensor, /) -> Tensor:
        return logits_BLV.float().softmax(dim=-1)

    def for_evaluation(self) -> TokenCrossEntropyLoss:
        return TokenCrossEntropyLoss(padding=self.padding)

    def _counted(self, y_BL: Tensor) -> Tensor:
        """The targets with padding ignored."""
        return y_BL if self.padding is None else y_BL.masked_fill(y_BL == self.padding, IGNORED)
