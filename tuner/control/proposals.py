"""Where the sampler looks: anywhere in the space, near what was good, and near what its user believes in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.control.axes import Axis, CellAxis, Flags, Floats
from tuner.control.tree import Tree
from tuner.space.parameters import Belief

SHARE_CHANGED = 0.5
"""Of the parameters of a good trial, on average."""
STEPS = (0.05, 0.2)
"""Shortest and longest standard deviation of a change, as shares of a parameter's range."""
SHARE_OTHER_CHOICE = 0.3
"""How often a choice that may change is drawn again."""
_SPREADS = {"low": 0.3, "medium": 0.15, "high": 0.07}
"""Standard deviations of beliefs, as shares of the range."""
_OTHER_CHOICES = {"low": 0.5, "medium": 0.25, "high": 0.1}
"""How probable the choices besides the believed one are, together."""


def anywhere(tree: Tree, n_points: int, fixed: dict[int, float], rng: np.random.Generator) -> Floats:
    """Uniform points [A, P]: in the logarithm for log ranges."""
    uniforms = rng.random((len(tree.axes), n_points))
    return tree.walk(n_points, fixed, lambda row, active: from_shares(tree.axes[row], uniforms[row, active]))


def from_shares(axis: Axis, shares: Floats) -> Floats:
    """The codes at these shares of an axis."""
    if isinstance(axis, CellAxis):
        return axis.cells_at(shares)
    return shares


def nearby(tree: Tree, parents: Floats, n_points: int, fixed: dict[int, float], rng: np.random.Generator) -> Floats:
    """Points [A, P], each a change of one of some good trials [A, parents].

    A change beyond the end of a range lands on it: optima at the edge of a box are common, and an open interval never
    reaches one.
    """
    chosen = parents[:, rng.integers(parents.shape[1], size=n_points)]
    step = np.exp(rng.uniform(math.log(STEPS[0]), math.log(STEPS[1]), size=n_points))
    normal = rng.standard_normal((len(tree.axes), n_points))
    changes = rng.random((len(tree.axes), n_points)) < SHARE_CHANGED
    uniforms = rng.random((2, len(tree.axes), n_points))

    def draw(row: int, active: Flags) -> Floats:
        axis, codes = tree.axes[row], chosen[row, active]
        fresh = from_shares(axis, uniforms[0, row, active])
        if isinstance(axis, CellAxis) and not axis.is_ordered:
            moves = changes[row, active] & (uniforms[1, row, active] < SHARE_OTHER_CHOICE)
            moved = np.where(moves, fresh, codes)
        else:
            places = np.clip(axis.places(codes) + step[active] * normal[row, active], 0.0, 1.0)
            moved = np.where(changes[row, active], from_shares(axis, np.nan_to_num(places)), codes)
        found: Floats = np.where(np.isnan(codes), fresh, moved)
        return found

    return tree.walk(n_points, fixed, draw)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What the user expects of some parameters, by row: `prior: {center, confidence}`."""

    tree: Tree
    by_row: dict[int, Belief]

    def draw(self, n_points: int, fixed: dict[int, float], rng: np.random.Generator) -> Floats:
        """Points [A, P] as the user expects them."""
        uniforms = rng.random((len(self.tree.axes), n_points))
        normal = rng.standard_normal((len(self.tree.axes), n_points))

        def one(row: int, active: Flags) -> Floats:
            axis, belief = self.tree.axes[row], self.by_row.get(row)
            shares = uniforms[row, active]
            if belief is None:
                return from_shares(axis, shares)
            center = axis.encode(belief.center)
            if isinstance(axis, CellAxis) and not axis.is_ordered:
                other = _OTHER_CHOICES[belief.confidence]
                return np.where(shares < other, axis.cells_at(shares / other), center)
            place = float(axis.places(np.array([center]))[0])
            moved = np.clip(place + _SPREADS[belief.confidence] * normal[row, active], 0.0, 1.0)
            return from_shares(axis, moved)

        return self.tree.walk(n_points, fixed, one)

    def log_density(self, points: Floats) -> Floats:
        """Log density [P] relative to its largest value; 0 for a point where every belief is met."""
        total = np.zeros(points.shape[1])
        for row, belief in self.by_row.items():
            axis, codes = self.tree.axes[row], points[row]
            center = axis.encode(belief.center)
            if isinstance(axis, CellAxis) and not axis.is_ordered:
                other = _OTHER_CHOICES[belief.confidence]
                odds = math.log(other / max(1, axis.n_cells - 1) / (1.0 - other))
                logs = np.where(codes == center, 0.0, odds)
            else:
                place = float(axis.places(np.array([center]))[0])
                logs = -0.5 * ((axis.places(codes) - place) / _SPREADS[belief.confidence]) ** 2
            total += np.where(np.isnan(codes), 0.0, logs)
        return total

    def met(self, points: Floats) -> NDArray[np.bool_]:
        """The points [P] that are within about one standard deviation of what is believed."""
        return self.log_density(points) > -0.5 * len(self.by_row) - 1e-9
