"""The features of a data set: ranges, missing values, which are constant, and which tell the target.

N rows, F features.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuner.data.scaling import Array

N_FREQUENT = 3
ALMOST_ONE = 1.0 - 1e-9
MANY = 200
"""Features beyond which they are described together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column or value of the training part, as the source gives it."""

    name: str
    kind: str
    """number, category, date, or token."""
    missing: int
    distinct: int
    minimum: float | None = None
    mean: float | None = None
    maximum: float | None = None
    frequent: tuple[tuple[str, int], ...] = ()
    """The most frequent categories, or the first and last day, and how often each occurs."""
    tells_target: bool = False
    """Whether each of its values occurs with one target, and is another for each."""

    @property
    def is_constant(self) -> bool:
        return self.distinct <= 1

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "frequent": dict(self.frequent), "is_constant": self.is_constant}


def features_of(columns: Mapping[str, Array], targets_N: Array) -> tuple[Feature, ...]:
    """Describe columns of numbers (nan is missing) or of objects (None is missing)."""
    return tuple(_feature(name, values, targets_N) for name, values in columns.items())


def _feature(name: str, values: Array, targets_N: Array) -> Feature:
    if values.dtype.kind == "O":
        return _category(name, values, targets_N)
    if values.dtype.kind == "M":
        return _dates(name, values, targets_N)
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    finite = known.astype(np.float64)
    return Feature(
        name=name,
        kind="token" if values.dtype.kind in "iu" else "number",
        missing=len(values) - len(known),
        distinct=len(np.unique(known)),
        minimum=float(finite.min()) if len(finite) else None,
        mean=math.fsum(finite) / len(finite) if len(finite) else None,
        maximum=float(finite.max()) if len(finite) else None,
        tells_target=tells(values, targets_N),
    )


def _dates(name: str, values: Array, targets_N: Array) -> Feature:
    known = values[~np.isnat(values)]
    days, counts = np.unique(known.astype("datetime64[D]"), return_counts=True)
    frequent = [(str(days[0]), int(counts[0])), (str(days[-1]), int(counts[-1]))] if len(days) > 1 else []
    return Feature(
        name=name,
        kind="date",
        missing=len(values) - len(known),
        distinct=len(np.unique(known)),
        frequent=tuple(frequent),
        tells_target=tells(np.where(np.isnat(values), np.nan, values.astype(np.int64).astype(np.float64)), targets_N),
    )


def _category(name: str, values: Array, targets_N: Array) -> Feature:
    counts = Counter(value for value in values if value is not None)
    frequent = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:N_FREQUENT]
    codes = {value: code for code, value in enumerate(counts)}
    return Feature(
        name=name,
        kind="category",
        missing=len(values) - sum(counts.values()),
        distinct=len(counts),
        frequent=tuple((str(value), count) for value, count in frequent),
        tells_target=tells(np.array([codes.get(value, -1) for value in values]), targets_N),
    )


def tells(values_N: Array, targets_N: Array) -> bool:
    """Whether a feature is the target: of classes one value each, of a quantity the same up to its scale."""
    if targets_N.dtype.kind == "f":
        columns = targets_N.reshape(len(targets_N), -1).T
        return values_N.dtype.kind in "fiu" and any(_is_line(values_N, target_N) for target_N in columns)
    if targets_N.ndim != 1 or not len(values_N):
        return False
    _, value_of = np.unique(values_N, return_inverse=True)
    _, target_of = np.unique(targets_N, return_inverse=True)
    n_values, n_targets = int(value_of.max()) + 1, int(target_of.max()) + 1
    if n_values != n_targets or n_values == 1:
        return False
    return len(np.unique(value_of.astype(np.int64) * n_targets + target_of)) == n_values


def _is_line(values_N: Array, target_N: Array) -> bool:
    both = np.isfinite(values_N)
    x, y = values_N[both].astype(np.float64), target_N[both].astype(np.float64)
    if len(x) <= 2 or not x.std() or not y.std():  # noqa: PLR2004 - two points are always on a line
        return False
    return abs(float(np.corrcoef(x, y)[0, 1])) > ALMOST_ONE


def columns_of_vectors(rows_NF: Array, names: Sequence[str] = ()) -> dict[str, Array]:
    """The features of vectors as columns."""
    return {names[f] if names else f"feature {f}": rows_NF[:, f] for f in range(rows_NF.shape[1])}
