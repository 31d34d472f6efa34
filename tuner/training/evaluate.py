"""Evaluation of a model on one part of the data.

B batch, N rows, K classes or target columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tuner.data.global_rng import seed_accelerators, seeded
from tuner.data.info import DataInfo
from tuner.optim.losses import LossFunction
from tuner.training.fast_metrics import compute_fast

SEED = 0
Compute = Callable[..., dict[str, float]]
"""`tuner.training.metrics.compute`, or what gives the same bits."""


def predict(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Outputs [N, K] and targets [N, ...] of all rows, in order; the model is left in evaluation mode.

    A model that draws random numbers even then draws the same ones each time.
    """
    model.eval()
    outputs, targets = [], []
    with torch.inference_mode(), seeded(SEED):
        seed_accelerators(SEED)
        for x_B, y_B in batches:
            outputs.append(model(x_B).float())
            targets.append(y_B)
        return torch.cat(outputs), torch.cat(targets)


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: LossFunction,
    info: DataInfo,
    names: Sequence[str],
    split: str,
    compute: Compute = compute_fast,
) -> dict[str, float]:
    """`<split>/loss` and the named metrics of one part of the data.

    The loss is that of training without label smoothing, so that trials with different smoothing can be compared. When
    an output is not finite, every metric is nan.
    """
    logits_NK, y_N = predict(model, batches)
    with torch.inference_mode():
        value = loss.for_evaluation()(logits_NK, y_N).item()
        if not _is_finite(logits_NK):
            return {f"{split}/loss": float("nan"), **{f"{split}/{name}": float("nan") for name in names}}
        scores = _numpy(loss.probabilities(logits_NK))
    wanted = [name for name in names if name != "loss"]
    computed = compute(wanted, task=info.task, y_true=_numpy(y_N), scores=scores)
    return {f"{split}/loss": value, **{f"{split}/{name}": number for name, number in computed.items()}}


def _is_finite(x: Tensor) -> bool:
    """Whether all values are; a sum over them is the quick way to know, unless large ones overflow it."""
    return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())


def _numpy(y: Tensor) -> np.ndarray:
    array: np.ndarray = y.cpu().numpy()
    return array
