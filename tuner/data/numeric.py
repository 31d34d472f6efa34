"""Columns of numbers: how they are scaled, fitted on the training part alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from tuner.data.missing import is_missing
from tuner.data.scaling import Array
from tuner.errors import RowError

Scale = Literal["standard", "minmax", "robust", "quantile", "piecewise", "none"]

N_KNOTS = 200
"""Quantiles that a map to the normal distribution keeps, where a column has more distinct values."""
QUARTERS = (0.25, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericColumn:
    """x -> (x - mean) / std; for `minmax` the least value and the range, for `robust` median and quartiles."""

    name: str
    median: float
    mean: float
    std: float
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, scale: Scale) -> Self:
        median, filled, marks_missing = _filled(values)
        mean, std = affine(filled, scale)
        return cls(name=name, median=median, mean=mean, std=std, marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        scaled = (np.where(missing, self.median, values) - self.mean) / self.std
        return np.stack([scaled, missing] if self.marks_missing else [scaled], axis=1)

    def read(self, values: Array) -> Array:
        """Values as a person gives them (numbers, text, None) as float64."""
        return read_numbers(self.name, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileColumn:
    """A number as the normal score of its rank in the training part, so that the feature is normally distributed.

    Equal values share the middle of their ranks; values between two known ones are interpolated, those outside clipped.
    """

    name: str
    median: float
    knots: tuple[float, ...]
    scores: tuple[float, ...]
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        median, filled, marks_missing = _filled(values)
        knots, counts = np.unique(filled, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(filled)
        if len(knots) > N_KNOTS:  # evenly by rank, the ends among them
            wanted = np.linspace(ranks[0], ranks[-1], N_KNOTS)
            kept = np.unique(np.searchsorted(ranks, wanted).clip(0, len(knots) - 1))
            knots, ranks = knots[kept], ranks[kept]
        normal = NormalDist()
        scores = tuple(normal.inv_cdf(float(rank)) for rank in ranks)
        return cls(name=name, median=median, knots=tuple(knots.tolist()), scores=scores, marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        scores = np.interp(np.where(missing, self.median, values), self.knots, self.scores)
        return np.stack([scores, missing] if self.marks_missing else [scores], axis=1)

    def read(self, values: Array) -> Array:
        return read_numbers(self.name, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecewiseColumn:
    """A number as its place in each of several bins: 0 below, 1 above, and between them the share of the way.

    Gorishniy et al., 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", equation 1: a network then
    draws a piecewise linear curve of a number, as trees draw steps. Deviations: the first and last bins end at 0 and 1
    too, so that a value beyond those of training is one at the edge; and half of the edges are quantiles of the
    distinct values, where the paper takes quantiles of the rows alone, as most rows of a column may have one value.
    """

    name: str
    median: float
    edges: tuple[float, ...]
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, n_bins: int) -> Self:
        median, filled, marks_missing = _filled(values)
        distinct = np.unique(filled)
        edges = distinct
        if len(distinct) > n_bins + 1:
            of_rows = np.quantile(filled, np.linspace(0, 1, n_bins // 2 + 1), method="inverted_cdf")
            of_values = np.quantile(distinct, np.linspace(0, 1, n_bins - n_bins // 2 + 1), method="inverted_cdf")
            edges = np.unique(np.concatenate([of_rows, of_values]))
        if len(edges) == 1:
            edges = np.array([edges[0], edges[0] + 1.0])
        return cls(name=name, median=median, edges=tuple(edges.tolist()), marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return len(self.edges) - 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        edges = np.array(self.edges)
        filled = np.where(missing, self.median, values)[:, None]
        shares = np.clip((filled - edges[:-1]) / np.diff(edges), 0.0, 1.0)
        return np.concatenate([shares, missing[:, None]], axis=1) if self.marks_missing else shares

    def read(self, values: Array) -> Array:
        return read_numbers(self.name, values)


def _filled(values: Array) -> tuple[float, Array, bool]:
    """The median, the values with it where they are missing, and whether any are."""
    known = values[~np.isnan(values)]
    median = float(np.median(known)) if len(known) else 0.0
    return median, np.where(np.isnan(values), median, values), len(known) < len(values)


def affine(values: Array, scale: Scale) -> tuple[float, float]:
    """What is subtracted, and what is divided by: 1 where all values are equal."""
    if scale == "none":
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    if scale == "minmax":
        return low, high - low
    if scale == "robust":
        first, third = np.quantile(values, QUARTERS)
        if third > first:
            return float(np.median(values)), float(third - first)
    return _moments(values)  # also where more than half of the values are equal: quartiles say nothing then


def _moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation; the sums are exactly rounded, so that every machine gets the same bits."""
    mean = math.fsum(values) / len(values)
    deviations = values - mean
    largest = float(np.abs(deviations).max())  # keeps the squares in range
    return mean, largest * math.sqrt(math.fsum((deviations / largest) ** 2) / len(values))


def read_numbers(name: str, values: Array) -> Array:
    """Values as a person gives them (numbers, text, None) as float64, nan for missing."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            numbers[row] = math.nan if is_missing(value) else float(value)
        except (TypeError, ValueError) as error:
            raise RowError(row, f"column {name!r}: {value!r} is not a number") from error
    return numbers
