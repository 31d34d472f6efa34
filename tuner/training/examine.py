"""A closer look at what a model says of the validation part: plain data for JSON, made once for a report.

`{"baseline": {"name", "metrics"}, "reliability": {"of", "bins", "ece"}, "mistakes": [...], "residuals": [...]}`, each
where the task has it. A bin of the reliability is `{"low", "high", "n", "said", "was"}`: the mean of the probabilities
that were said, and how often they were right.

Shapes: N rows, K classes or labels, T target columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.data.info import DataInfo
from tuner.training.evaluate import Outputs, Scored
from tuner.training.metrics import compute
from tuner.training.predictions import N_BINARY, Predictions

Floats = npt.NDArray[np.float64]

N_BINS = 10
N_MISTAKES = 10
MAX_TARGETS = 4
MAX_POINTS = 400
"""Of one picture of residuals; of more rows every so-manieth is shown."""
N_RESIDUAL_BINS = 30


def examine(
    scored: Scored, *, train_targets: npt.NDArray[Any], row_numbers: npt.NDArray[Any], names: Sequence[str]
) -> dict[str, Any]:
    """What there is to say; nothing where an output is not finite. `names` are the metrics of the baseline."""
    outputs, info = scored.outputs, scored.info
    if not outputs.is_finite:
        return {}
    found: dict[str, Any] = {}
    guess = _guess(outputs, info, train_targets)
    if guess is not None:
        found["baseline"] = _baseline(*guess, outputs, info, names)
    if info.task in ("classification", "multilabel"):
        of = Predictions(task=info.task, y_true=outputs.y_true, scores=outputs.scores.astype(np.float64))
        found["reliability"] = _reliability(of, info)
        if info.task == "classification":
            found["mistakes"] = _mistakes(of, info, row_numbers)
    elif info.task == "regression":
        columns = range(min(MAX_TARGETS, outputs.scores.shape[1]))
        found["residuals"] = [_residuals(outputs, column) for column in columns]
    return found


def _guess(outputs: Outputs, info: DataInfo, train_targets: npt.NDArray[Any]) -> tuple[str, Floats] | None:
    """The same answer for every row, the best one that the training targets have: its name, and scores [N, K]."""
    n_rows = len(outputs.y_true)
    if info.task == "classification":
        counts = np.bincount(train_targets.astype(np.int64), minlength=info.n_targets)
        most = int(counts.argmax())
        name = info.labels[most] if most < len(info.labels) else str(most)
        return f"always answering {name!r}, the most frequent class,", np.tile(counts / counts.sum(), (n_rows, 1))
    if info.task == "multilabel":
        shares = train_targets.astype(np.float64).mean(axis=0)
        return "always saying of each label what is true more often", np.tile(shares, (n_rows, 1))
    if info.task == "regression":
        means = train_targets.astype(np.float64).reshape(len(train_targets), -1).mean(axis=0)
        return "always answering the mean of the training rows", np.tile(means, (n_rows, 1))
    return None


def _baseline(name: str, scores: Floats, outputs: Outputs, info: DataInfo, names: Sequence[str]) -> dict[str, Any]:
    values = compute(names, task=info.task, y_true=outputs.y_true, scores=scores, labels=info.labels)
    if info.task == "classification" and "log_loss" in values:
        values["loss"] = values["log_loss"]  # that of cross entropy
    metrics = {f"val/{metric}": value for metric, value in values.items() if math.isfinite(value)}
    return {"name": name, "metrics": metrics}


# ---------------------------------------------------------------------------------------------------------- reliability


def _reliability(of: Predictions, info: DataInfo) -> dict[str, Any]:
    """Of two classes the probability of the second, of more that of the one that is said, of labels that of each."""
    probabilities = of.probabilities
    if of.is_multilabel:
        return _binned("any label", probabilities.ravel(), of.y_true.ravel() == 1)
    if of.n_classes == N_BINARY:
        label = info.labels[1] if len(info.labels) == N_BINARY else "1"
        return _binned(label, probabilities[:, 1], of.y_true == 1)
    return _binned("", probabilities.max(axis=1), of.is_right)


def _binned(label: str, said: Floats, was: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """By equal ranges of probability. The expected calibration error is the mean gap, weighted by rows (Guo, 2017)."""
    index = np.minimum((said * N_BINS).astype(np.int64), N_BINS - 1)
    bins, gap = [], 0.0
    for number in range(N_BINS):
        here = index == number
        n_rows = int(here.sum())
        if not n_rows:
            continue
        mean, share = float(said[here].mean()), float(was[here].mean())
        gap += abs(mean - share) * n_rows / len(said)
        low, high = number / N_BINS, (number + 1) / N_BINS
        bins.append({"low": low, "high": high, "n": n_rows, "said": mean, "was": share})
    return {"of": label, "bins": bins, "ece": gap}


def _mistakes(of: Predictions, info: DataInfo, row_numbers: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """The rows that were taken for another class with the highest probability."""
    wrong = np.flatnonzero(~of.is_right)
    sure = of.probabilities[wrong, of.y_pred[wrong]]
    order = wrong[np.argsort(-sure, kind="stable")][:N_MISTAKES]

    def label(index: int) -> str:
        return info.labels[index] if index < len(info.labels) else str(index)

    return [
        {
            "row": int(row_numbers[row]),
            "true": label(int(of.y_true[row])),
            "said": label(int(of.y_pred[row])),
            "p": float(of.probabilities[row, of.y_pred[row]]),
        }
        for row in order.tolist()
    ]


# ------------------------------------------------------------------------------------------------------------ residuals


def _residuals(outputs: Outputs, column: int) -> dict[str, Any]:
    true = outputs.y_true.reshape(len(outputs.y_true), -1)[:, column].astype(np.float64)
    said = outputs.scores.reshape(len(outputs.scores), -1)[:, column].astype(np.float64)
    errors = said - true
    stride = max(1, -(-len(true) // MAX_POINTS))
    counts, edges = np.histogram(errors, bins=N_RESIDUAL_BINS)
    low, middle, high = np.quantile(errors, (0.05, 0.5, 0.95)).tolist()
    return {
        "target": column,
        "points": np.stack([true, said], axis=1)[::stride].tolist(),
        "counts": counts.tolist(),
        "edges": edges.tolist(),
        "mean": float(errors.mean()),
        "std": float(errors.std()),
        "quantiles": [low, middle, high],
    }
