"""What training minimises."""

from __future__ import annotations

from typing import Literal

from tuner.config.schema.base import Section, Smoothing


class AutoLoss(Section):
    """cross_entropy for classification, mse for regression."""

    kind: Literal["auto"] = "auto"
    label_smoothing: Smoothing = 0.0


class CrossEntropy(Section):
    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Smoothing = 0.0


class Bce(Section):
    """Binary cross entropy on one logit, for two classes."""

    kind: Literal["bce"] = "bce"
    label_smoothing: Smoothing = 0.0


class Mse(Section):
    kind: Literal["mse"] = "mse"


Loss = AutoLoss | CrossEntropy | Bce | Mse
LOSS_KINDS: dict[str, type[Loss]] = {"auto": AutoLoss, "cross_entropy": CrossEntropy, "bce": Bce, "mse": Mse}
