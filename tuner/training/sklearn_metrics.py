"""The metrics as scikit-learn computes them, which is what a number means; imported on first use.

Classes and labels here, quantities in `sklearn_regression`. Importing scikit-learn's metrics takes 3.2 CPU seconds with
all it pulls in.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

from tuner.config.metrics import OF_CLASS, TOP_K
from tuner.training.predictions import N_BINARY, Predictions

Function = Callable[[Predictions], float]


def _accuracy(of: Predictions) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(of.y_true, of.y_pred))


def _balanced_accuracy(of: Predictions) -> float:
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        # A class that has no row here can still be predicted; it does not count.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true", category=UserWarning)
        warnings.filterwarnings("ignore", message="A single label was found", category=UserWarning)
        return float(balanced_accuracy_score(of.y_true, of.y_pred))


def top_k(k: int, of: Predictions) -> float:
    """Rows whose class is among the `k` likeliest; nan when there are no more classes than that."""
    from sklearn.metrics import top_k_accuracy_score

    if k >= of.n_classes:
        return math.nan
    return float(top_k_accuracy_score(of.y_true, of.scores, k=k, labels=np.arange(of.n_classes)))


def averaged(name: str, average: str, of: Predictions) -> float:
    """precision, recall, f1 or jaccard of all classes together; of two classes that of the second with `binary`."""
    from sklearn import metrics

    if average == "binary" and of.n_classes != N_BINARY:
        return math.nan
    score: Callable[..., float] = getattr(metrics, f"{name}_score")
    return float(score(of.y_true, of.y_pred, average=average, zero_division=0))


def of_class(name: str, label: str, of: Predictions) -> float:
    """precision, recall or f1 of one class or label; nan when there is none of that name."""
    from sklearn import metrics

    if label not in of.labels:
        return math.nan
    score: Callable[..., float] = getattr(metrics, f"{name}_score")
    number = of.labels.index(label)
    return float(score(of.y_true, of.y_pred, labels=[number], average="macro", zero_division=0))


def _hamming_loss(of: Predictions) -> float:
    from sklearn.metrics import hamming_loss

    return float(hamming_loss(of.y_true, of.y_pred))


def _matthews_corrcoef(of: Predictions) -> float:
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A single label was found", category=UserWarning)
        return float(matthews_corrcoef(of.y_true, of.y_pred))


def kappa(weights: str | None, of: Predictions) -> float:
    """Agreement beyond chance; `quadratic` weights are for classes in an order. nan with one class in all rows."""
    from sklearn.metrics import cohen_kappa_score

    if np.count_nonzero(of.is_seen) < N_BINARY:
        return math.nan
    return float(cohen_kappa_score(of.y_true, of.y_pred, weights=weights, labels=np.arange(of.n_classes)))


def _ordinal_mae(of: Predictions) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(of.y_true, of.y_pred))


def _roc_auc(of: Predictions) -> float:
    """Area under the ROC curve of class 1, or the mean over one-vs-rest curves or over labels."""
    from sklearn.metrics import roc_auc_score

    if not of.has_every_class:
        return math.nan
    if of.n_classes == N_BINARY and not of.is_multilabel:
        return float(roc_auc_score(of.y_true, of.probabilities[:, 1]))
    return float(roc_auc_score(of.y_true, of.probabilities, multi_class="ovr", average="macro"))


def _average_precision(of: Predictions) -> float:
    """Average precision of class 1, or the mean over one-vs-rest curves or over labels."""
    from sklearn.metrics import average_precision_score

    if not of.has_every_class:
        return math.nan
    binary = of.n_classes == N_BINARY and not of.is_multilabel
    return float(
        average_precision_score(of.y_true, of.probabilities[:, 1] if binary else of.probabilities, average="macro")
    )


def _log_loss(of: Predictions) -> float:
    """For labels the mean over them."""
    from sklearn.metrics import log_loss

    if of.is_multilabel:
        columns = range(of.n_classes)
        return float(np.mean([log_loss(of.y_true[:, k], of.scores[:, k], labels=[0, 1]) for k in columns]))
    return float(log_loss(of.y_true, of.probabilities, labels=range(of.n_classes)))


def _brier(of: Predictions) -> float:
    """For labels the mean over them."""
    from sklearn.metrics import brier_score_loss

    if of.is_multilabel:
        columns = range(of.n_classes)
        return float(np.mean([brier_score_loss(of.y_true[:, k], of.scores[:, k], pos_label=1) for k in columns]))
    return float(brier_score_loss(of.y_true, of.probabilities, labels=range(of.n_classes)))


CLASSES: dict[str, Function] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    **{name: partial(averaged, name, "binary") for name in ("precision", "recall", "f1")},
    **{
        f"{name}_{average}": partial(averaged, name, average)
        for average in ("macro", "micro", "weighted", "samples")
        for name in ("precision", "recall", "f1")
    },
    "jaccard_macro": partial(averaged, "jaccard", "macro"),
    "jaccard_samples": partial(averaged, "jaccard", "samples"),
    "subset_accuracy": _accuracy,
    "hamming_loss": _hamming_loss,
    "matthews_corrcoef": _matthews_corrcoef,
    "cohen_kappa": partial(kappa, None),
    "quadratic_kappa": partial(kappa, "quadratic"),
    "ordinal_mae": _ordinal_mae,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
}


def class_function(name: str) -> Function:
    """The metric of classes or labels of that name."""
    if found := TOP_K.fullmatch(name):
        return partial(top_k, int(found[1]))
    if found := OF_CLASS.fullmatch(name):
        return partial(of_class, found[1], found[2])
    return CLASSES[name]
