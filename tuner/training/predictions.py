"""What metrics are computed from, and the counts that several of them share.

Shapes: N rows, K classes or labels, T target columns, M tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
N_BINARY = 2
AS_LIKELY_AS_NOT = 0.5


@dataclass(frozen=True, kw_only=True)  # without slots: cached_property needs a __dict__
class Predictions:
    """True targets and what was said, by task.

    classification: classes y_true [N], probabilities [N, K]; multilabel: 0 and 1 [N, K], probabilities [N, K];
    regression and autoencoding: both [N, T]; language: how many tokens were taken for likelier than the right one [M],
    and the right one's surprise, -log p, [M].
    """

    task: str
    y_true: npt.NDArray[Any]
    scores: Floats
    labels: tuple[str, ...] = ()

    @property
    def is_multilabel(self) -> bool:
        return self.task == "multilabel"

    @property
    def n_classes(self) -> int:
        return int(self.scores.shape[1])

    @cached_property
    def y_pred(self) -> Integers:
        """Classes [N], or the labels that are likelier than not [N, K]."""
        if self.is_multilabel:
            return (self.scores > AS_LIKELY_AS_NOT).astype(np.int64)
        classes: Integers = self.scores.argmax(axis=1)
        return classes

    @cached_property
    def probabilities(self) -> Floats:
        """Rows that sum to 1 in float64: float32 rows do not, and scikit-learn warns or refuses."""
        if self.is_multilabel:
            return self.scores
        normalised: Floats = self.scores / self.scores.sum(axis=1, keepdims=True)
        return normalised

    @cached_property
    def is_right(self) -> npt.NDArray[np.bool_]:
        right: npt.NDArray[np.bool_] = self.y_true == self.y_pred
        return right

    @cached_property
    def n_right(self) -> Integers:
        """Rows of each class [K] that were recognised."""
        if self.is_multilabel:
            return np.asarray((self.y_true & self.y_pred).sum(axis=0))
        return self._count(self.y_true[self.is_right])

    @cached_property
    def n_true(self) -> Integers:
        return np.asarray(self.y_true.sum(axis=0)) if self.is_multilabel else self._count(self.y_true)

    @cached_property
    def n_predicted(self) -> Integers:
        return np.asarray(self.y_pred.sum(axis=0)) if self.is_multilabel else self._count(self.y_pred)

    @property
    def is_seen(self) -> npt.NDArray[np.bool_]:
        """Classes [K] that have a row or were predicted, or all labels: those that averages are over."""
        seen: npt.NDArray[np.bool_] = self.n_true + self.n_predicted > 0
        return np.ones_like(seen) if self.is_multilabel else seen

    @cached_property
    def confusion(self) -> Integers:
        """Rows of each true class by the predicted one [K, K]; for labels [K, 2, 2]: have it, by were said to."""
        n = self.n_classes
        if not self.is_multilabel:
            return np.bincount(self.y_true * n + self.y_pred, minlength=n * n).reshape(n, n)
        missed, wrong = self.n_true - self.n_right, self.n_predicted - self.n_right
        rest = len(self.y_true) - self.n_right - missed - wrong
        return np.stack([rest, wrong, missed, self.n_right], axis=1).reshape(n, N_BINARY, N_BINARY)

    def _count(self, classes: npt.NDArray[Any]) -> Integers:
        return np.bincount(classes, minlength=self.n_classes)

    @property
    def has_every_class(self) -> bool:
        """Whether every class has a row, or every label is there in some rows and in others not."""
        if self.is_multilabel:
            return bool(((self.n_true > 0) & (self.n_true < len(self.y_true))).all())
        return bool(np.unique(self.y_true).size == self.n_classes)
