"""Evaluation of a model on one part of the data.

B batch, N rows, K classes or target columns, L positions, V tokens of the vocabulary, M tokens that count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuner.config.schema.metrics import OwnMetric
from tuner.data.global_rng import seed_accelerators, seeded
from tuner.data.info import DataInfo
from tuner.data.targets import IGNORED
from tuner.errors import DataError
from tuner.optim.losses import LossFunction
from tuner.training.details import details_of
from tuner.training.fast_metrics import compute_fast
from tuner.training.own_metrics import own_values

SEED = 0
Compute = Callable[..., dict[str, float]]
"""`tuner.training.metrics.compute`, or what gives the same bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What metrics are computed from, as `Predictions` has it, and the loss."""

    loss: float
    scores: np.ndarray
    y_true: np.ndarray
    is_finite: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The user's own metrics, by name, and what their files are relative to."""

    functions: Mapping[str, OwnMetric] = field(default_factory=dict)
    base_dir: Path = Path()

    def values(self, outputs: Outputs, info: DataInfo) -> dict[str, float]:
        """See `own_values`."""
        return own_values(
            self.functions, info=info, y_true=outputs.y_true, scores=outputs.scores, base_dir=self.base_dir
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How a model did on one part of the data."""

    metrics: dict[str, float]
    """`<split>/loss` and the named metrics."""
    outputs: Outputs = field(repr=False)
    info: DataInfo = field(repr=False)

    def details(self) -> dict[str, Any] | None:
        """The confusion of classes and what each of them came to; None where there is nothing of the kind."""
        if not self.outputs.is_finite:
            return None
        return details_of(self.info, y_true=self.outputs.y_true, scores=self.outputs.scores)


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: LossFunction,
    info: DataInfo,
    names: Sequence[str],
    split: str,
    compute: Compute = compute_fast,
    own: Own | None = None,
) -> Scored:
    """`<split>/loss`, the named metrics of one part of the data, and the user's `own`.

    The loss is that of training without label smoothing, so that trials with different smoothing can be compared. When
    an output is not finite, every metric is nan.
    """
    outputs = predict(model, batches, loss, info)
    own = own or Own()
    wanted = [name for name in names if name != "loss" and name not in own.functions]
    if outputs.is_finite:
        found = compute(wanted, task=info.task, y_true=outputs.y_true, scores=outputs.scores, labels=info.labels)
        found |= own.values(outputs, info)
        metrics = {f"{split}/loss": outputs.loss, **{f"{split}/{name}": number for name, number in found.items()}}
    else:
        metrics = {f"{split}/loss": math.nan, **{f"{split}/{name}": math.nan for name in (*wanted, *own.functions)}}
    return Scored(metrics=metrics, outputs=outputs, info=info)


def predict(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: LossFunction, info: DataInfo) -> Outputs:
    """The outputs for all rows, in order; the model is left in evaluation mode.

    A model that draws random numbers even then draws the same ones each time.
    """
    model.eval()
    read = _read_tokens if info.task == "language" else _read_rows
    with torch.inference_mode(), seeded(SEED):
        seed_accelerators(SEED)
        return read(model, batches, loss.for_evaluation(), info)


def _read_rows(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: LossFunction, _info: DataInfo
) -> Outputs:
    outputs, targets = [], []
    for x_B, y_B in batches:
        outputs.append(model(x_B).float())
        targets.append(y_B)
    logits_NK, y_N = torch.cat(outputs), torch.cat(targets)
    is_finite = _is_finite(logits_NK)
    scores = loss.probabilities(logits_NK) if is_finite else logits_NK
    return Outputs(loss=loss(logits_NK, y_N).item(), scores=_numpy(scores), y_true=_numpy(y_N), is_finite=is_finite)


def _read_tokens(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: LossFunction, info: DataInfo
) -> Outputs:
    """Reduced a batch at a time: the outputs of all rows are V numbers for each of their tokens."""
    losses, surprises, ahead = [], [], []
    for x_B, y_BL in batches:
        logits_BLV = model(x_B).float()
        counts_BL = (y_BL != IGNORED) if info.padding is None else (y_BL != IGNORED) & (y_BL != info.padding)
        logits_MV, y_M = logits_BLV[counts_BL], y_BL[counts_BL].unsqueeze(1)
        own_M1 = logits_MV.gather(1, y_M)
        # Of equal outputs the first is what is said, as argmax has it.
        before_MV = torch.arange(logits_MV.shape[1], device=y_M.device) < y_M
        ahead.append(((logits_MV > own_M1) | ((logits_MV == own_M1) & before_MV)).sum(dim=1))
        surprises.append((logits_MV.logsumexp(dim=1, keepdim=True) - own_M1).squeeze(1))
        if len(y_M):
            losses.append(loss(logits_BLV, y_BL).double() * len(y_M))
    surprise_M = torch.cat(surprises)
    if not len(surprise_M):
        raise DataError(f"data: a part has no target that counts, all are padding or {IGNORED}; nothing can be scored")
    return Outputs(
        loss=torch.stack(losses).sum().item() / len(surprise_M),
        scores=_numpy(surprise_M),
        y_true=_numpy(torch.cat(ahead)),
        is_finite=_is_finite(surprise_M),
    )


def _is_finite(x: Tensor) -> bool:
    """Whether all values are; a sum over them is the quick way to know, unless large ones overflow it."""
    return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())


def _numpy(y: Tensor) -> np.ndarray:
    array: np.ndarray = y.cpu().numpy()
    return array
