"""What every loss is, and what most of them share.

Shapes: B batch, K classes, O outputs, T target columns. Classes are int64 y_B, quantities float32 y_BT.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from tuner.data.info import DataInfo


class LossFunction(Protocol):
    @property
    def constants(self) -> tuple[Tensor, ...]:
        """Tensors that it computes with, besides outputs and targets."""

    def n_outputs(self, info: DataInfo) -> int:
        """How many outputs the model must have."""

    def __call__(self, logits_BO: Tensor, y: Tensor, /) -> Tensor:
        """The mean over the batch, a scalar."""

    def smoothed(self, logits_BO: Tensor, y: Tensor, smoothing: Tensor, /) -> Tensor:
        """The mean over the batch with a label smoothing that is a tensor, so that it differs between lanes."""

    def batch_weight(self, y: Tensor, /) -> Tensor | None:
        """What the mean over a batch is over, a scalar: weights of classes, or tokens; None for its rows."""

    def probabilities(self, logits_BO: Tensor, /) -> Tensor:
        """What metrics are computed from, in float32: probabilities [B, K], or predictions [B, T].

        For language the probabilities are [B, L, K], those of each position.
        """

    def for_evaluation(self) -> LossFunction:
        """The same loss without label smoothing, weights of classes and what focuses it on some rows.

        Such a loss depends on these as much as on the model, so that trials would not be comparable.
        """


class Unsmoothed:
    """What losses share that know no label smoothing."""

    __slots__ = ()

    @property
    def constants(self) -> tuple[Tensor, ...]:
        return ()

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, outputs_BO: Tensor, y: Tensor, /) -> Tensor:
        raise NotImplementedError

    def smoothed(self, outputs_BO: Tensor, y: Tensor, smoothing: Tensor, /) -> Tensor:
        del smoothing
        return self(outputs_BO, y)

    def batch_weight(self, y: Tensor, /) -> Tensor | None:  # noqa: ARG002 - the Protocol's
        return None


def given(weight: Tensor | None) -> tuple[Tensor, ...]:
    """The constants of a loss with at most one."""
    return () if weight is None else (weight,)
