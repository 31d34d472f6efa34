"""Several objectives on the reading side: their names, the values of trials, and the front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tuner.study import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRow:
    """One of several objectives, by its name in curves."""

    name: str
    maximize: bool

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"


def objectives_of(connection: Connection, study_id: int, attrs: Mapping[str, Any]) -> tuple[ObjectiveRow, ...]:
    """Several objectives, in their order; empty for one. Those of another tool have no names but numbers."""
    columns = tables.optuna_directions.c
    query = select(columns.direction).where(columns.study_id == study_id).order_by(columns.objective)
    directions = list(connection.execute(query).scalars())
    if len(directions) == 1:
        return ()
    names = attrs.get("tuner:objectives") or [f"value.{index}" for index in range(len(directions))]
    return tuple(
        ObjectiveRow(name=name, maximize=direction == "MAXIMIZE")
        for name, direction in zip(names, directions, strict=True)
    )


def values_of(connection: Connection, study_id: int) -> dict[int, list[float]]:
    """The values of every complete trial, in the order of the objectives."""
    trials, values = tables.optuna_trials.c, tables.optuna_values.c
    query = (
        select(trials.number, values.value)
        .join_from(tables.optuna_trials, tables.optuna_values, values.trial_id == trials.trial_id)
        .where(trials.study_id == study_id, trials.state == "COMPLETE")
        .order_by(trials.number, values.objective)
    )
    found: dict[int, list[float]] = defaultdict(list)
    for number, value in connection.execute(query):
        found[number].append(value)
    return found


def front_of(
    objectives: tuple[ObjectiveRow, ...], values: Mapping[int, list[float]], refused: Collection[int]
) -> frozenset[int]:
    """The trials that no other is better than in everything, of those that may win."""
    able = [number for number in sorted(values) if number not in refused]
    if not able:
        return frozenset()
    from tuner.control.pareto import front  # NumPy, which looking at one objective does without

    signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
    signed = [[sign * value for sign, value in zip(signs, values[number], strict=True)] for number in able]
    return frozenset(able[index] for index in front(signed).tolist())
