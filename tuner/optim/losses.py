"""From a loss's config section to what training minimises, for a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner.config.schema import Augment, AutoLoss, Bce, CrossEntropy, Loss
from tuner.config.schema.losses import AUTO_LOSS, BceWithLogits, Focal, Hinge, Huber, Nll, Poisson, PythonLoss
from tuner.data.info import DataInfo
from tuner.errors import ConfigError, DataError, Place
from tuner.optim.class_losses import (
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeLoss,
    LabelsFocalLoss,
    NllLoss,
)
from tuner.optim.loss_function import LossFunction
from tuner.optim.python_loss import OwnLoss
from tuner.optim.quantity_losses import AbsoluteErrorLoss, HuberLoss, PoissonLoss, SquaredErrorLoss
from tuner.optim.task_losses import LabelsLoss, TokenCrossEntropyLoss
from tuner.optim.unit_losses import in_target_units

__all__ = ["LossFunction", "build_loss", "check_counts", "check_mixed_targets"]

N_BINARY = 2
CPU = torch.device("cpu")

ALL = tuple(AUTO_LOSS)
TASKS: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("classification", "language"),
    "nll": ("classification",),
    "bce": ("classification", "multilabel"),
    "bce_with_logits": ("classification", "multilabel"),
    "focal": ("classification", "multilabel"),
    "hinge": ("classification",),
    "mse": ("regression", "autoencoding"),
    "l1": ("regression", "autoencoding"),
    "huber": ("regression", "autoencoding"),
    "poisson": ("regression",),
    "python": ALL,
}
TAKES_SHARES = ("cross_entropy",)
"""Losses of classes that take the share of each class, float [B, K], as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a loss is built from, besides its section."""

    info: DataInfo
    base_dir: Path
    device: torch.device
    dtype: torch.dtype

    def tensor(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)


def build_loss(
    config: Loss,
    info: DataInfo,
    *,
    base_dir: Path = Path(),
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> LossFunction:
    """Build the loss; `auto` is cross_entropy for classes and tokens, bce for labels, and mse for quantities.

    It computes on `device` with weights of `dtype`; `base_dir` is the folder of a user's own. Raises ConfigError when
    it does not fit the task, the number of classes or the label smoothing.
    """
    kind = AUTO_LOSS[info.task] if config.kind == "auto" else config.kind
    if info.task not in TASKS[kind]:
        tasks = " and ".join(TASKS[kind])
        raise _error("kind", f"{kind} is for {tasks}, this is {info.task}; use auto or {AUTO_LOSS[info.task]}")
    bound = Bound(info=info, base_dir=base_dir, device=device, dtype=dtype)
    if isinstance(config, AutoLoss):
        return in_target_units(_build_auto(config, kind, bound), kind, info)
    return in_target_units(LOSSES[kind](config, bound), kind, info)


def _build_auto(config: AutoLoss, kind: str, bound: Bound) -> LossFunction:
    smoothing, task = config.label_smoothing, bound.info.task
    if kind == "cross_entropy":
        return _cross_entropy(CrossEntropy(**config.model_dump(exclude={"kind"})), bound)
    if config.class_weights != "none":
        raise _error("class_weights", f"must be none for {task}: there are no classes")
    if kind == "bce":
        return _bce(Bce(label_smoothing=smoothing), bound)
    if smoothing:
        raise _error("label_smoothing", f"must be 0 for {task}, got {smoothing}: there are no classes to smooth")
    return SquaredErrorLoss()


def _cross_entropy(config: CrossEntropy, bound: Bound) -> LossFunction:
    info = bound.info
    if info.task == "language":
        if config.class_weights != "none":
            raise _error("class_weights", "must be none for language: tokens have no weights")
        return TokenCrossEntropyLoss(label_smoothing=config.label_smoothing, padding=info.padding)
    return CrossEntropyLoss(
        label_smoothing=config.label_smoothing,
        weight_K=_weights(config.class_weights, bound),
        leaves_out=_leaves_out(config.class_weights),
    )


def _nll(config: Nll, bound: Bound) -> LossFunction:
    return NllLoss(weight_K=_weights(config.class_weights, bound), leaves_out=_leaves_out(config.class_weights))


def _bce(config: Bce | BceWithLogits, bound: Bound) -> LossFunction:
    info = bound.info
    weight = _pos_weight(config, bound)
    if info.task == "multilabel":
        return LabelsLoss(label_smoothing=config.label_smoothing, pos_weight_K=weight)
    if info.n_targets != N_BINARY:
        raise _error("kind", f"{config.kind} needs exactly 2 classes, the data has {info.n_targets}; use cross_entropy")
    return BinaryCrossEntropyLoss(label_smoothing=config.label_smoothing, pos_weight_1=weight)


def _focal(config: Focal, bound: Bound) -> LossFunction:
    alpha, n_classes = config.alpha, bound.info.n_targets
    if bound.info.task == "multilabel":
        if alpha != "none" and not isinstance(alpha, float):
            raise _error("alpha", "must be one number, or none, for several labels at once")
        return LabelsFocalLoss(gamma=config.gamma, alpha=None if isinstance(alpha, str) else float(alpha))
    if isinstance(alpha, float):
        if n_classes != N_BINARY:
            raise _error("alpha", f"one number needs 2 classes, the data has {n_classes}; give balanced, or a list")
        alpha = (1.0 - alpha, alpha)
    return FocalLoss(gamma=config.gamma, alpha_K=_weights(alpha, bound, option="alpha"))


def _hinge(config: Hinge, bound: Bound) -> LossFunction:
    return HingeLoss(p=config.p, margin=config.margin, weight_K=_weights(config.class_weights, bound))


def _own(config: PythonLoss, bound: Bound) -> LossFunction:
    return OwnLoss.build(config, bound.info.task, bound.base_dir, device=bound.device, dtype=bound.dtype)


def _huber(config: Huber, _: Bound) -> LossFunction:
    return HuberLoss(delta=config.delta)


def _poisson(config: Poisson, _: Bound) -> LossFunction:
    return PoissonLoss(log_input=config.log_input, full=config.full)


LOSSES: dict[str, Callable[[Any, Bound], LossFunction]] = {
    "cross_entropy": _cross_entropy,
    "nll": _nll,
    "bce": _bce,
    "bce_with_logits": _bce,
    "focal": _focal,
    "hinge": _hinge,
    "mse": lambda *_: SquaredErrorLoss(),
    "l1": lambda *_: AbsoluteErrorLoss(),
    "huber": _huber,
    "poisson": _poisson,
    "python": _own,
}


def _weights(given: str | tuple[float, ...], bound: Bound, *, option: str = "class_weights") -> Tensor | None:
    """Weights [K] of the classes; balanced ones are scikit-learn's, of the training part."""
    if given == "none":
        return None
    n_classes, counts = bound.info.n_targets, bound.info.class_counts
    if isinstance(given, tuple):
        if len(given) != n_classes:
            raise _error(option, f"{len(given)} values for {n_classes} classes; give one a class, in their order")
        return bound.tensor(given)
    return bound.tensor(tuple(sum(counts) / (n_classes * max(1, count)) for count in counts))


def _leaves_out(given: str | tuple[float, ...]) -> bool:
    return isinstance(given, tuple) and 0.0 in given


def _pos_weight(config: Bce | BceWithLogits, bound: Bound) -> Tensor | None:
    """Weights [K] of labels that are there, or [1] of class 1."""
    if isinstance(config, Bce) or config.pos_weight == "none":
        return None
    info, given = bound.info, config.pos_weight
    is_multilabel = info.task == "multilabel"
    n_weights = info.n_targets if is_multilabel else 1
    if isinstance(given, tuple):
        if len(given) != n_weights:
            raise _error("pos_weight", f"{len(given)} values for {n_weights}; give one, or one a label, in their order")
        return bound.tensor(given)
    if given != "balanced":
        return bound.tensor((float(given),) * n_weights)
    there = info.class_counts if is_multilabel else info.class_counts[1:N_BINARY]
    return bound.tensor(tuple((info.n_train - count) / max(1, count) for count in there))


def check_mixed_targets(augment: Augment, config: Loss, info: DataInfo) -> None:
    """ConfigError when the loss takes no shares of classes, which mixup and cutmix make of labels."""
    kind = AUTO_LOSS[info.task] if config.kind == "auto" else config.kind
    if (augment.mixup or augment.cutmix) and info.task == "classification" and kind not in (*TAKES_SHARES, "python"):
        name = "mixup" if augment.mixup else "cutmix"
        message = f"{kind} takes no mixed labels; use loss.kind {' or '.join(TAKES_SHARES)}, or set it to 0"
        raise ConfigError.of([Place(path=f"data.augment.{name}", message=message)])


def check_counts(config: Loss, targets: Tensor) -> None:
    """DataError when the targets of the training part are not the counts that the loss is for."""
    if isinstance(config, Poisson) and len(targets) and (least := targets.min().item()) < 0:
        raise DataError(
            f"loss.kind: poisson is for counts, 0 or more, but the training part has a target of {least:g}; "
            "use mse or huber"
        )


def _error(option: str, message: str) -> ConfigError:
    return ConfigError.of([Place(path=f"loss.{option}", message=message)])
