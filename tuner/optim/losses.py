"""Losses: what training minimises, how many outputs it needs, and what the outputs mean.

Shapes: B batch, K classes, O outputs, T target columns. Classes are int64 y_B, regression targets float32 y_BT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from tuner.config.schema import Augment, Loss, Mse
from tuner.data.info import DataInfo
from tuner.errors import ConfigError, Place
from tuner.optim.task_losses import LabelsLoss, TokenCrossEntropyLoss

N_BINARY = 2


class LossFunction(Protocol):
    def n_outputs(self, info: DataInfo) -> int:
        """How many outputs the model must have."""

    def __call__(self, logits_BO: Tensor, y: Tensor, /) -> Tensor:
        """The mean over the batch, a scalar."""

    def smoothed(self, logits_BO: Tensor, y: Tensor, smoothing: Tensor, /) -> Tensor:
        """The mean over the batch with a label smoothing that is a tensor, so that it differs between lanes."""

    def probabilities(self, logits_BO: Tensor, /) -> Tensor:
        """What metrics are computed from, in float32: probabilities [B, K], or predictions [B, T].

        For language the probabilities are [B, L, K], those of each position.
        """

    def for_evaluation(self) -> LossFunction:
        """The same loss without label smoothing.

        A smoothed loss depends on the smoothing as much as on the model, so that trials would not be comparable.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropyLoss:
    """Softmax cross entropy over K logits; targets are classes, or the share of each class [B, K] (mixup)."""

    label_smoothing: float = 0.0

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, logits_BK: Tensor, y_B: Tensor, /) -> Tensor:
        return F.cross_entropy(logits_BK, y_B, label_smoothing=self.label_smoothing)

    def smoothed(self, logits_BK: Tensor, y_B: Tensor, smoothing: Tensor, /) -> Tensor:
        surprise_BK = -logits_BK.log_softmax(dim=1)
        if y_B.is_floating_point():
            own_B = (surprise_BK * y_B).sum(dim=1)
            return ((1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)).mean()
        own_B = surprise_BK.gather(1, y_B.unsqueeze(1)).squeeze(1)
        return ((1.0 - smoothing) * own_B + smoothing * surprise_BK.mean(dim=1)).mean()

    def probabilities(self, logits_BK: Tensor, /) -> Tensor:
        return logits_BK.float().softmax(dim=1)

    def for_evaluation(self) -> LossFunction:
        return CrossEntropyLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryCrossEntropyLoss:
    """Binary cross entropy on one logit, that of class 1; smoothed as cross entropy over two classes is."""

    label_smoothing: float = 0.0

    def n_outputs(self, info: DataInfo) -> int:  # noqa: ARG002 - the Protocol's
        return 1

    def __call__(self, logits_B1: Tensor, y_B: Tensor, /) -> Tensor:
        return self._smoothed(logits_B1, y_B, self.label_smoothing)

    def smoothed(self, logits_B1: Tensor, y_B: Tensor, smoothing: Tensor, /) -> Tensor:
        return self._smoothed(logits_B1, y_B, smoothing)

    def _smoothed(self, logits_B1: Tensor, y_B: Tensor, smoothing: Tensor | float) -> Tensor:
        target_B = y_B.to(logits_B1.dtype) * (1.0 - smoothing) + smoothing / N_BINARY
        return F.binary_cross_entropy_with_logits(logits_B1.squeeze(1), target_B)

    def probabilities(self, logits_B1: Tensor, /) -> Tensor:
        logits = logits_B1.float()
        return torch.cat([(-logits).sigmoid(), logits.sigmoid()], dim=1)

    def for_evaluation(self) -> LossFunction:
        return BinaryCrossEntropyLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredErrorLoss:
    """The mean squared error over rows and target columns."""

    def n_outputs(self, info: DataInfo) -> int:
        return info.n_targets

    def __call__(self, predictions_BT: Tensor, y_BT: Tensor, /) -> Tensor:
        return F.mse_loss(predictions_BT, y_BT)

    def smoothed(self, predictions_BT: Tensor, y_BT: Tensor, smoothing: Tensor, /) -> Tensor:  # noqa: ARG002 - no classes
        return self(predictions_BT, y_BT)

    def probabilities(self, predictions_BT: Tensor, /) -> Tensor:
        return predictions_BT.float()

    def for_evaluation(self) -> LossFunction:
        return self


AUTO = {
    "classification": "cross_entropy",
    "regression": "mse",
    "multilabel": "bce",
    "autoencoding": "mse",
    "language": "cross_entropy",
}
TASKS: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("classification", "language"),
    "bce": ("classification", "multilabel"),
    "mse": ("regression", "autoencoding"),
}
TAKES_SHARES = ("cross_entropy",)
"""Losses of classes that take the share of each class, float [B, K], as well."""
LOSSES: dict[str, Callable[[float], LossFunction]] = {
    "cross_entropy": lambda smoothing: CrossEntropyLoss(label_smoothing=smoothing),
    "bce": lambda smoothing: BinaryCrossEntropyLoss(label_smoothing=smoothing),
    "mse": lambda _: SquaredErrorLoss(),
}


def build_loss(config: Loss, info: DataInfo) -> LossFunction:
    """Build the loss; `auto` is cross_entropy for classes and tokens, bce for labels, and mse for quantities.

    Raises ConfigError when it does not fit the task, the number of classes or the label smoothing.
    """
    kind = AUTO[info.task] if config.kind == "auto" else config.kind
    smoothing = 0.0 if isinstance(config, Mse) else config.label_smoothing
    if info.task not in TASKS[kind]:
        tasks = " and ".join(TASKS[kind])
        raise _error("kind", f"{kind} is for {tasks}, this is {info.task}; use auto or {AUTO[info.task]}")
    if smoothing and info.task in ("regression", "autoencoding"):
        raise _error("label_smoothing", f"must be 0 for {info.task}, got {smoothing}: there are no classes to smooth")
    if info.task == "language":
        return TokenCrossEntropyLoss(label_smoothing=smoothing, padding=info.padding)
    if info.task == "multilabel":
        return LabelsLoss(label_smoothing=smoothing)
    if kind == "bce" and info.n_targets != N_BINARY:
        raise _error("kind", f"bce needs exactly 2 classes, the data has {info.n_targets}; use cross_entropy")
    return LOSSES[kind](smoothing)


def check_mixed_targets(augment: Augment, config: Loss, info: DataInfo) -> None:
    """ConfigError when the loss takes no shares of classes, which mixup and cutmix make of labels."""
    kind = AUTO[info.task] if config.kind == "auto" else config.kind
    if (augment.mixup or augment.cutmix) and info.task == "classification" and kind not in TAKES_SHARES:
        name = "mixup" if augment.mixup else "cutmix"
        message = f"{kind} takes no mixed labels; use loss.kind {' or '.join(TAKES_SHARES)}, or set it to 0"
        raise ConfigError.of([Place(path=f"data.augment.{name}", message=message)])


def _error(option: str, message: str) -> ConfigError:
    return ConfigError.of([Place(path=f"loss.{option}", message=message)])
