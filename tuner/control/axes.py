"""Coordinates of parameters for density estimation: what a value is as a number, and how wide its neighbourhood is.

Every axis is the unit interval, with the prior uniform on it (in the logarithm for log ranges). A value of a grid or a
choice is a cell of it; a real number, or an integer of a long range, is a point. Codes are what is stored: the index of
a cell, or the point; nan where the parameter does not exist. Kernels are given relative to the prior, so that a
parameter that does not exist in a trial has the factor 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tuner.space.parameters import Choices, Condition, Domain, FloatRange, IntRange, Scalar

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAX_CELLS = 64
"""Grids up to this size have a table of kernels; longer ones are taken for continuous, and rounded."""

# The normal distribution function on a grid: 3e-7 at worst, in a sixth of the time of a rational approximation.
_Z = np.linspace(-8.0, 8.0, 4001)
_PHI = np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in _Z])
_HALF = math.sqrt(0.5)
_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)


def _phi(z: Floats) -> Floats:
    found: Floats = np.interp(z, _Z, _PHI)
    return found


def normal_quantile(shares: Floats) -> Floats:
    """The inverse of the normal distribution function, for shares from 1e-15 to 1 - 1e-15."""
    found: Floats = np.interp(shares, _PHI, _Z)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The map of a range onto the unit interval; a grid value lies in the middle of its cell."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, domain: FloatRange | IntRange) -> Scale:
        half = (domain.step or 0.0) / 2.0
        low, high = domain.low - half, domain.high + half
        if domain.log:
            low, high = math.log(low), math.log(high)
        return cls(low=low, high=high, is_log=domain.log)

    def unit(self, value: float) -> float:
        if self.high == self.low:
            return 0.5
        position = math.log(value) if self.is_log else value
        return min(1.0, max(0.0, (position - self.low) / (self.high - self.low)))

    def value(self, unit: float) -> float:
        position = self.low + unit * (self.high - self.low)
        return math.exp(position) if self.is_log else position


class CellAxis:
    """Finitely many values: choices, or a short grid, whose neighbours are near each other."""

    def __init__(self, values: tuple[Scalar, ...], edges: Floats | None) -> None:
        self.values = values
        self.n_cells = len(values)
        self.is_ordered = edges is not None
        self._edges = edges
        self._middles = np.zeros(len(values)) if edges is None else 0.5 * (edges[1:] + edges[:-1])
        self.prior: Floats = np.full(len(values), 1.0 / len(values)) if edges is None else np.diff(edges)
        self._codes = {(type(value), value): code for code, value in enumerate(values)}

    def encode(self, value: Scalar) -> float:
        code = self._codes.get((type(value), value))
        if code is None:  # a float choice that was stored as 1.0 may come back as the int 1
            code = next((code for code, own in enumerate(self.values) if own == value), None)
        return math.nan if code is None else float(code)

    def decode(self, code: float) -> Scalar:
        return self.values[int(code)]

    def holds(self, condition: Condition, parent: str, codes: Floats) -> Flags:
        """Whether a condition on this axis holds, for each of some codes."""
        holds = np.array([*(condition.holds({parent: value}) for value in self.values), False])
        found: Flags = holds[self.cells(codes)]
        return found

    def cells(self, codes: Floats) -> NDArray[np.intp]:
        """Codes as indices, with `n_cells` for a parameter that does not exist."""
        return np.where(np.isnan(codes), self.n_cells, codes).astype(np.intp)

    def places(self, codes: Floats) -> Floats:
        """The middles of cells on the unit interval; nan for a parameter that does not exist."""
        found: Floats = np.append(self._middles, math.nan)[self.cells(codes)]
        return found

    def cells_at(self, shares: Floats) -> Floats:
        """Codes of the cells at these shares of the prior."""
        found = np.searchsorted(np.cumsum(self.prior), shares, side="right")
        return np.minimum(found, self.n_cells - 1).astype(np.float64)

    def kernels(self, bandwidth: float, n_kernels: int) -> Floats:
        """Probability of each cell [.., x] around each cell [mu, ..]; the last row is the prior."""
        if self._edges is None:
            weights = np.eye(self.n_cells) + 1.0 / n_kernels
        else:
            weights = np.diff(_phi((self._edges[None, :] - self._middles[:, None]) / bandwidth), axis=1)
        table = np.vstack([weights / weights.sum(axis=1, keepdims=True), self.prior])
        kernels: Floats = np.maximum(table, 1e-12)
        return kernels


class LineAxis:
    """A continuous range, or a grid too long for a table."""

    def __init__(self, domain: FloatRange | IntRange) -> None:
        self._domain = domain
        self._scale = Scale.of(domain)

    def encode(self, value: Scalar) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return math.nan
        return self._scale.unit(min(self._domain.high, max(self._domain.low, value)))

    def decode(self, code: float) -> Scalar:
        domain, value = self._domain, self._scale.value(float(code))
        if domain.step is None:
            return float(min(domain.high, max(domain.low, value)))
        index = round((value - domain.low) / domain.step)
        return grid_value(domain, min(n_values(domain) - 1, max(0, index)))

    def places(self, codes: Floats) -> Floats:
        """Codes as they are: a code of a line is its place on the unit interval."""
        return codes

    def holds(self, condition: Condition, parent: str, codes: Floats) -> Flags:
        decoded = [None if math.isnan(code) else self.decode(code) for code in codes]
        return np.array([value is not None and condition.holds({parent: value}) for value in decoded], dtype=bool)


Axis = CellAxis | LineAxis


def axis_of(domain: Domain) -> Axis:
    """The axis of a domain."""
    if isinstance(domain, Choices):
        return CellAxis(domain.labels, None)
    if domain.step is None:
        return LineAxis(domain)
    count = n_values(domain)
    if count > MAX_CELLS:
        return LineAxis(domain)
    scale = Scale.of(domain)
    borders = [domain.low + (index - 0.5) * domain.step for index in range(count + 1)]
    edges = np.array([scale.unit(border) for border in borders]) if count > 1 else np.array([0.0, 1.0])
    edges[0], edges[-1] = 0.0, 1.0
    return CellAxis(tuple(grid_value(domain, index) for index in range(count)), edges)


def n_values(domain: FloatRange | IntRange) -> int:
    """How many values a grid has."""
    assert domain.step is not None
    return math.floor((domain.high - domain.low) / domain.step + 1e-8) + 1


def grid_value(domain: FloatRange | IntRange, index: int) -> Scalar:
    """The value of this index; in decimal, as the file has it: 0.1 + 2 * 0.1 is 0.3."""
    if isinstance(domain, IntRange):
        return domain.low + index * domain.step
    return min(domain.high, float(Decimal(str(domain.low)) + index * Decimal(str(domain.step))))


class Line:
    """Normal kernels on a line, cut off at its ends: where they are, how wide, and what they give elsewhere."""

    def __init__(self, codes: Floats, bandwidth: Floats) -> None:
        exists = ~np.isnan(codes)
        self._exists = exists
        self._mu = np.where(exists, codes, 0.5)
        self._width = bandwidth
        self._low = _phi(-self._mu / bandwidth)
        self._high = _phi((1.0 - self._mu) / bandwidth)
        self._inverse = np.where(exists, _HALF / bandwidth, 0.0)
        log_scale = -_LOG_ROOT - np.log(bandwidth) - np.log(self._high - self._low)
        self._log_scale = np.where(exists, log_scale, 0.0)

    def log(self, points: Floats) -> Floats:
        """Log density [points, kernels] relative to the prior."""
        distance: Floats = points[:, None] - self._mu
        distance *= self._inverse
        np.multiply(distance, distance, out=distance)
        return np.subtract(self._log_scale, distance, out=distance)

    def draw(self, kernels: NDArray[np.intp], uniforms: Floats) -> Floats:
        """One point around each of some kernels; the prior where a kernel lacks the parameter."""
        low, high = self._low[kernels], self._high[kernels]
        z = np.interp(low + uniforms * (high - low), _PHI, _Z)
        points = np.clip(self._mu[kernels] + z * self._width[kernels], 0.0, 1.0)
        drawn: Floats = np.where(self._exists[kernels], points, uniforms)
        return drawn


class Cells:
    """Kernels on an axis of cells."""

    def __init__(self, axis: CellAxis, codes: Floats, bandwidth: float) -> None:
        table = axis.kernels(bandwidth, len(codes))
        self._cells = axis.cells(codes)
        self._cumulated = np.cumsum(table, axis=1)
        self._n_cells = axis.n_cells
        self._log = np.log(table / axis.prior).T.copy()

    def log(self, points: Floats) -> Floats:
        """Log probability [points, kernels] relative to the prior."""
        found: Floats = self._log[points.astype(np.intp)].take(self._cells, axis=1)
        return found

    def draw(self, kernels: NDArray[np.intp], uniforms: Floats) -> Floats:
        """One cell around each of some kernels; the prior where a kernel lacks the parameter."""
        found = (self._cumulated[self._cells[kernels]] < uniforms[:, None]).sum(axis=1)
        cells: Floats = np.minimum(found, self._n_cells - 1).astype(np.float64)
        return cells
