"""The sizes of the parts, and what their targets are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from tuner.data.info import DataInfo
from tuner.data.survey.rows import Looked

N_VALUES = 5
"""Values of a long target that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values of a target column."""

    minimum: float
    mean: float
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSurvey:
    """One part of the data."""

    name: str
    n_rows: int
    n_looked: int
    """Rows whose inputs were looked at: not all of a long streamed part."""
    classes: Mapping[str, int]
    """Rows of each class or, of a multilabel target, with each label."""
    ranges: tuple[Range, ...]
    """Of the columns of a quantity, the first few."""
    repeated: int
    """Rows whose inputs the part has already."""

    @classmethod
    def of(cls, looked: Looked, info: DataInfo, repeated: int) -> PartSurvey:
        targets = looked.part.targets
        return cls(
            name=looked.name,
            n_rows=len(looked.part),
            n_looked=len(looked.places),
            classes=_classes(targets, info),
            ranges=_ranges(targets, info),
            repeated=repeated,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _classes(targets: Tensor, info: DataInfo) -> dict[str, int]:
    if info.task == "classification":
        counts = targets.bincount(minlength=len(info.labels))
    elif info.task == "multilabel":
        counts = targets.sum(0).long()
    else:
        return {}
    return dict(zip(info.labels, counts.tolist(), strict=True))


def _ranges(targets: Tensor, info: DataInfo) -> tuple[Range, ...]:
    if info.task != "regression" or not len(targets):
        return ()
    columns = targets.double().numpy().T[:N_VALUES]
    return tuple(
        Range(minimum=float(column.min()), mean=float(np.mean(column)), maximum=float(column.max()))
        for column in columns
    )


def target_texts(looked: Looked, info: DataInfo) -> list[str]:
    """The target of each row of a part, in words."""
    targets = looked.part.targets
    if info.task == "classification":
        return [info.labels[label] for label in targets.tolist()]
    if targets.ndim > 1 and not targets.shape[1]:
        return ["itself"] * len(targets)
    if info.task == "language":
        return [f"what follows ({hashlib.blake2b(row, digest_size=4).hexdigest()})" for row in targets.numpy()]
    return [_text(row) for row in targets.reshape(len(targets), -1).tolist()]


def _text(values: list[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:N_VALUES])
    return f"{shown} ..." if len(values) > N_VALUES else shown
