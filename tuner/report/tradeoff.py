"""Quality against what it costs, and the front of several objectives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations

from tuner.control.controller import TrialState
from tuner.report.blocks import Block, Cell, Figure, Figures, Paragraph, Section, Table, Text, Trial, prose
from tuner.report.chart import Chart
from tuner.report.facts import Facts, values_range
from tuner.report.scales import Linear, Log, Scale
from tuner.report.text import duration, measure, number, plural
from tuner.study.rows import TrialRow

MAX_PAIRS = 6
FAR = 20.0
"""Costs whose largest is so many times the smallest are shown by their logarithm."""


def cost(facts: Facts) -> Section | None:
    """None where a front says it already, or no trial has a value."""
    pairs = [(trial, value) for trial in facts.trials if (value := facts.reached(trial.number)) is not None]
    pairs = [(trial, value) for trial, value in pairs if trial.seconds > 0.0]
    if len(pairs) < 2:  # noqa: PLR2004  nothing to compare
        return None
    others = [name for name in facts.costs if all(item.name != name for item in facts.study.objectives)]
    figures = (
        replace(_figure(facts, "training time", _seconds, is_time=True), table=_cheapest(facts)),
        *(_figure(facts, name, partial(_recorded, facts, name)) for name in others),
    )
    caption = ("Up and to the left is better." if facts.study.maximize else "Down and to the left is better.",)
    return Section("cost", "Cost against quality", (Paragraph((*caption, *_cheaper(facts))), Figures(figures, 420)))


def _seconds(trial: TrialRow) -> float:
    return trial.seconds


def _cheapest(facts: Facts) -> Table:
    """The trials that none is better than in less time."""
    known = [
        (trial.seconds, value, trial) for trial in facts.trials if (value := facts.reached(trial.number)) is not None
    ]
    rows: list[tuple[Cell, ...]] = []
    best = math.inf
    for seconds, value, trial in sorted(known, key=lambda item: item[:2]):
        if seconds > 0.0 and facts.sign * value < best:
            best = facts.sign * value
            rows.append((Trial(trial.number), duration(seconds), number(value)))
    return Table(("trial", "training time", facts.metric), rows, numeric=frozenset({1, 2}))


def _recorded(facts: Facts, name: str, trial: TrialRow) -> float | None:
    return facts.last_metrics(trial.number).get(name)


def _cheaper(facts: Facts) -> Text:
    """A complete trial that is nearly as good for less than half of the time."""
    winner = facts.winner
    if winner is None or facts.is_multi or winner.value is None or len(facts.ranked) < 3:  # noqa: PLR2004
        return ()
    values = [trial.value for trial in facts.ranked if trial.value is not None]
    near = (
        0.02 * abs(max(values) - min(values))
        if facts.candidate is None or facts.candidate.std is None
        else facts.candidate.std
    )
    able = [
        trial
        for trial in facts.ranked
        if trial.value is not None
        and facts.sign * trial.value <= facts.sign * winner.value + near
        and trial.seconds < winner.seconds / 2
    ]
    if not able:
        return ()
    best = min(able, key=lambda trial: trial.seconds)
    return prose(
        " ",
        Trial(best.number),
        f" comes to {number(best.value)}, within {number(near, 2)} of the winner, in {duration(best.seconds)} instead "
        f"of {duration(winner.seconds)}.",
    )


def _figure(facts: Facts, name: str, of: Callable[[TrialRow], float | None], *, is_time: bool = False) -> Figure:
    points = [
        (trial, amount, value)
        for trial in facts.trials
        if (value := facts.reached(trial.number)) is not None and (amount := of(trial)) is not None and amount > 0.0
    ]
    amounts = [amount for _, amount, _ in points] or [1.0]
    low, high = values_range([value for _, _, value in points] or [0.0], maximize=facts.study.maximize, share=0.08)
    chart = Chart(
        x=_scale(amounts, is_time=is_time),
        y=Linear(low, high),
        x_title=f"{name} of a trial",
        y_title=facts.metric,
        height=300,
        name=f"{facts.metric} by {name}",
        legend=[("dot winner", "winner"), ("dot done", "complete"), ("dot pruned", "stopped early")],
    )
    for trial, amount, value in sorted(points, key=lambda point: _order(facts, point[0])):
        chart.dot(amount, value, _style(facts, trial), trial.number)
    return Figure(f"By {name}", chart)


def _scale(values: list[float], *, is_time: bool = False) -> Scale:
    if min(values) > 0.0 and max(values) > FAR * min(values):
        return Log.around(values, n_ticks=4, is_time=is_time)
    room = 0.05 * (max(values) - min(values)) or 0.5 * abs(max(values)) or 1.0
    return Linear(min(values) - room, max(values) + room, n_ticks=4, is_time=is_time)


def _order(facts: Facts, trial: TrialRow) -> tuple[bool, bool, int]:
    is_winner = facts.winner is not None and trial.number == facts.winner.number
    return is_winner, trial.state is TrialState.COMPLETE, trial.number


def _style(facts: Facts, trial: TrialRow) -> str:
    if facts.winner is not None and trial.number == facts.winner.number:
        return "winner"
    if trial.is_on_front:
        return "best"
    return "done" if trial.state is TrialState.COMPLETE else "pruned"


def front(facts: Facts) -> Section | None:
    """The front of several objectives, a picture for each pair; None for one objective."""
    if not facts.is_multi:
        return None
    able = [trial for trial in facts.trials if trial.values]
    if not able:
        return Section("front", "Pareto front", (Paragraph(("No trial is complete yet.",)),))
    names = [objective.name for objective in facts.study.objectives]
    pairs = list(combinations(range(len(names)), 2))[:MAX_PAIRS]
    figures = tuple(_pair(facts, able, names, first, second) for first, second in pairs)
    on_front = [trial for trial in able if trial.is_on_front]
    text = prose(
        f"{plural(len(on_front), 'trial')} of {plural(len(able), 'complete trial')} are on the front: to be better in "
        "one objective, something has to be given up in another.",
    )
    blocks: list[Block] = [Paragraph(text), Figures(figures, 420), _front_table(facts, on_front, names)]
    return Section("front", "Pareto front", tuple(blocks))


def _pair(facts: Facts, able: list[TrialRow], names: list[str], first: int, second: int) -> Figure:
    vectors = {trial.number: list((trial.values or {}).values()) for trial in able}
    columns = [[vector[index] for vector in vectors.values()] for index in (first, second)]
    chart = Chart(
        x=_scale(columns[1]),
        y=_scale(columns[0]),
        x_title=f"{names[second]} ({_wanted(facts, second)})",
        y_title=f"{names[first]} ({_wanted(facts, first)})",
        height=320,
        name=f"{names[first]} by {names[second]}",
        legend=[("dot winner", "picked"), ("dot best", "on the front"), ("dot done", "not on the front")],
    )
    if len(names) == 2:  # noqa: PLR2004  of more the front is no line
        points = sorted(
            (vector[second], vector[first]) for number, vector in vectors.items() if facts.by_number[number].is_on_front
        )
        chart.line(points, "line frontline")
    for trial in sorted(able, key=lambda trial: (bool(trial.is_on_front), _order(facts, trial))):
        vector = vectors[trial.number]
        chart.dot(vector[second], vector[first], _style(facts, trial), trial.number)
    return Figure(f"{names[first]} and {names[second]}" if len(names) > 2 else "", chart)  # noqa: PLR2004


def _wanted(facts: Facts, index: int) -> str:
    return "more is better" if facts.study.objectives[index].maximize else "less is better"


def _front_table(facts: Facts, on_front: list[TrialRow], names: list[str]) -> Table:
    ordered = sorted(on_front, key=lambda trial: tuple((trial.values or {}).values()))
    rows: list[tuple[Cell, ...]] = [
        (
            Trial(trial.number),
            *(measure(name, (trial.values or {}).get(name)) for name in names),
            duration(trial.seconds),
        )
        for trial in ordered
    ]
    marked = frozenset(
        index for index, trial in enumerate(ordered) if facts.winner and trial.number == facts.winner.number
    )
    return Table(("trial", *names, "time"), rows, numeric=frozenset(range(1, len(names) + 2)), marked=marked)
