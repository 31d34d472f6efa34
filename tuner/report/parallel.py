"""Parallel coordinates: one upright axis a parameter, one line a trial."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.control.controller import TrialState
from tuner.report.axes import Axis
from tuner.report.chart import Chart, Label
from tuner.report.facts import Facts, values_range
from tuner.report.scales import Linear, Tick
from tuner.study.rows import TrialRow

BOTTOM = 0.1
"""The lowest part of every axis: where lines go that have no such parameter."""
TOP = 0.97
MIN_AXIS_WIDTH = 76
"""Pixels."""
CHARACTER = 7.0
MAX_SHOWN = 600
BEST_SHARE = 0.1
TICK_CHARACTERS = 16
MAX_LINES, NAME_CHARACTERS, LONGEST_NAME = 3, 10, 18
"""Of the name of an axis: lines, characters that are not broken apart, and characters of a line."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Axes at 0, 1, 2 ...; only their places are used, the ticks are drawn beside each."""

    n: int

    def place(self, value: float) -> float:
        return (value + 0.1) / self.n

    def ticks(self) -> list[Tick]:
        return []


@dataclass(frozen=True, slots=True)
class _Unit:
    def place(self, value: float) -> float:
        return value

    def ticks(self) -> list[Tick]:
        return []


def best_tenth(facts: Facts) -> list[TrialRow]:
    """The best tenth of all trials that have a value, the best first; of several objectives the front."""
    if facts.is_multi:
        return [trial for trial in facts.trials if trial.is_on_front]
    known = {trial.number: value for trial in facts.trials if (value := facts.reached(trial.number)) is not None}
    order = sorted(known, key=lambda number: (facts.sign * known[number], number))
    return [facts.by_number[number] for number in order[: max(1, round(BEST_SHARE * len(order)))]]


def parallel(facts: Facts) -> Chart | None:
    """None where no trial has a value, or nothing varies."""
    reached = {trial.number: value for trial in facts.trials if (value := facts.reached(trial.number)) is not None}
    axes = [Axis.of(parameter.name, parameter.domain, 0.02) for parameter in facts.spec.space.parameters]
    if not reached or not axes:
        return None
    low, high = values_range(list(reached.values()), maximize=facts.study.maximize, share=0.1)
    axes.append(Axis(facts.metric, Linear(low, high, n_ticks=4)))
    chart = Chart(
        x=_Columns(len(axes)),
        y=_Unit(),
        height=400,
        has_y_labels=False,
        has_x_labels=False,
        has_grid=False,
        min_width=len(axes) * max(_width(axis) for axis in axes),
        name="Parallel coordinates of all trials",
        style="parallel",
    )
    best = {trial.number for trial in best_tenth(facts)}
    winner = facts.winner.number if facts.winner else None
    order = sorted(
        reached,
        key=lambda number: (
            number == winner,
            number in best,
            facts.by_number[number].state is TrialState.COMPLETE,
            number,
        ),
    )
    for number in order[-MAX_SHOWN:]:
        trial = facts.by_number[number]
        style = "winner" if number == winner else "best" if number in best else _of_state(trial)
        chart.line(_points(axes, trial, reached[number]), f"line {style}", number)
    for index, axis in enumerate(axes):
        _draw_axis(chart, index, axis)
    return chart


def _width(axis: Axis) -> int:
    name = max(map(len, _lines(axis.name))) + 1
    longest = max([name, *(min(TICK_CHARACTERS, len(tick.label)) + 3 for tick in axis.ticks())])
    return round(max(MIN_AXIS_WIDTH, CHARACTER * longest))


def _lines(name: str) -> list[str]:
    """A name in at most three lines, broken after dots: `optimizer.`, `weight_decay`."""
    parts = re.findall(r"[^./]+[./]?", name) or [name]
    parts = [*parts[: MAX_LINES - 1], "".join(parts[MAX_LINES - 1 :])] if len(parts) > MAX_LINES else parts
    if len(parts) == MAX_LINES and len(parts[1]) + len(parts[2]) <= NAME_CHARACTERS:
        parts = [parts[0], parts[1] + parts[2]]
    return [part if len(part) <= LONGEST_NAME else f"{part[: LONGEST_NAME - 1]}…" for part in parts]


def _of_state(trial: TrialRow) -> str:
    return "done" if trial.state is TrialState.COMPLETE else "pruned"


def _points(axes: Sequence[Axis], trial: TrialRow, value: float) -> list[tuple[float, float]]:
    points = []
    for index, axis in enumerate(axes[:-1]):
        is_there = axis.name in trial.params
        points.append((float(index), _height(axis.place(trial.params[axis.name])) if is_there else 0.02))
    last = min(1.0, max(0.0, axes[-1].place(value)))
    return [*points, (float(len(axes) - 1), _height(last))]


def _height(place: float) -> float:
    return BOTTOM + (TOP - BOTTOM) * place


def _draw_axis(chart: Chart, index: int, axis: Axis) -> None:
    chart.line([(index, _height(0.0)), (index, _height(1.0))], "line axis")
    chart.label(Label(index, 1.0, "\n".join(_lines(axis.name)), "start", "axisname", title=axis.name))
    for tick in axis.ticks():
        text = tick.label if len(tick.label) <= TICK_CHARACTERS else f"{tick.label[: TICK_CHARACTERS - 1]}…"
        chart.label(Label(index, _height(tick.place), text, "start", "axistick", title=tick.label))
