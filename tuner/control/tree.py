"""A space as coordinates: codes of trials, and points that are drawn from the root of the conditions to the leaves.

A parameters, P points; codes [A, P] are those of tuner.control.axes, nan where a parameter does not exist. D features,
which is what a distance between points is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tuner.control.axes import CellAxis, Flags, Floats, axis_of
from tuner.space.parameters import Condition, Params, Scalar, Space

MAX_GROUPS = 24
"""Length scales of a model; the parameters of wider spaces have one in common."""

Draw = Callable[[int, Flags], Floats]
"""(row of the parameter, points where it exists [P]) -> codes of those points."""


class Tree:
    """The parameters of a space, parents first, with their axes and conditions."""

    def __init__(self, space: Space) -> None:
        self.names = [parameter.name for parameter in space.parameters]
        self.axes = [axis_of(parameter.domain) for parameter in space.parameters]
        self._conditions = [parameter.conditions for parameter in space.parameters]
        self._rows = {name: row for row, name in enumerate(self.names)}

    # ------------------------------------------------------------------------------------------------- params and codes

    def encode(self, params: Params) -> Floats:
        """Codes [A]."""
        return np.array(
            [
                axis.encode(params[name]) if name in params else math.nan
                for name, axis in zip(self.names, self.axes, strict=True)
            ]
        )

    def decode(self, codes: Floats, fixed: Params) -> dict[str, Scalar]:
        """The params of one point [A]; fixed ones are taken as they were given."""
        return {
            name: fixed[name] if name in fixed else axis.decode(code)
            for name, axis, code in zip(self.names, self.axes, codes, strict=True)
            if not math.isnan(code)
        }

    def row(self, name: str) -> int | None:
        return self._rows.get(name)

    # ---------------------------------------------------------------------------------------------------------- drawing

    def walk(self, n_points: int, fixed: dict[int, float], draw: Draw) -> Floats:
        """Points [A, P], each parameter drawn where its conditions hold; `fixed` codes by row are taken as they are."""
        points = np.full((len(self.names), n_points), math.nan)
        for row in range(len(self.names)):
            active = self._is_active(row, points)
            points[row, active] = fixed[row] if row in fixed else draw(row, active)
        return points

    def _is_active(self, row: int, points: Floats) -> Flags:
        active = np.ones(points.shape[1], dtype=bool)
        for condition in self._conditions[row]:
            active &= self._holds(condition, points)
        return active

    def _holds(self, condition: Condition, points: Floats) -> Flags:
        row = self._rows[condition.parent]
        return self.axes[row].holds(condition, condition.parent, points[row])

    # --------------------------------------------------------------------------------------------------------- features

    def features(self, codes: Floats) -> Floats:
        """[P, D]: the place in its range for a number, columns for choices; the middle where it is absent."""
        columns: list[Floats] = []
        for axis, row in zip(self.axes, codes, strict=True):
            if isinstance(axis, CellAxis) and not axis.is_ordered:
                columns.extend(np.where(row == cell, math.sqrt(0.5), 0.0) for cell in range(axis.n_cells))
            else:
                columns.append(np.nan_to_num(axis.places(row), nan=0.5))
        return np.array(columns).T if columns else np.zeros((codes.shape[1], 0))

    def groups(self) -> NDArray[np.intp]:
        """[D]: which length scale each feature has; the layers of one entry of the space share theirs."""
        stems = [name.rsplit(".", 1)[0] if name.rpartition(".")[2].isdigit() else name for name in self.names]
        index = {stem: place for place, stem in enumerate(dict.fromkeys(stems))}
        if len(index) > MAX_GROUPS:
            index = dict.fromkeys(index, 0)
        found: list[int] = []
        for stem, axis in zip(stems, self.axes, strict=True):
            is_choice = isinstance(axis, CellAxis) and not axis.is_ordered
            found.extend([index[stem]] * (axis.n_cells if isinstance(axis, CellAxis) and is_choice else 1))
        return np.array(found, dtype=np.intp)
