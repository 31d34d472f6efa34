"""Learning curves of all trials, those that were stopped faded, and the winner's losses."""

from __future__ import annotations

from tuner.control.controller import TrialState
from tuner.report.blocks import Block, Cell, Figure, Figures, Paragraph, Section, Table, Text, Trial
from tuner.report.chart import Chart, Label
from tuner.report.facts import OPEN, Facts, values_range
from tuner.report.parallel import best_tenth
from tuner.report.scales import Linear
from tuner.report.text import number, plural

MAX_SHOWN = 600
"""More lines are no picture any more, and make the page large."""
MAX_POINTS = 120
"""Of one line: more are not to be told apart."""
CHECKPOINTS, N_LISTED = 4, 5
ENOUGH = 3
STILL_FALLING = 0.95
"""Of the loss at three quarters of the epochs, what is left of it at their end: with more it is flat."""


def curves(facts: Facts) -> Section:
    shown = _shown(facts)
    if not shown:
        return Section("curves", "Learning curves", (Paragraph(("No trial has come through an epoch yet.",)),))
    blocks: list[Block] = [Figure("", _chart(facts, shown), _caption(facts, shown), _table(facts))]
    losses = _losses(facts)
    if losses is not None:
        blocks.append(Figures((losses,), min_width=420))
    return Section("curves", "Learning curves", tuple(blocks))


def _shown(facts: Facts) -> list[int]:
    """The trials with a curve, the winner last; of very many those that came furthest."""
    known = [trial for trial in facts.trials if facts.curves.get(trial.number)]
    known.sort(key=lambda trial: (trial.state is TrialState.COMPLETE, len(facts.curves[trial.number])))
    found, winner = [trial.number for trial in known], facts.winner.number if facts.winner else None
    return [*(item for item in found[-MAX_SHOWN:] if item != winner), *(item for item in found if item == winner)]


def _chart(facts: Facts, shown: list[int]) -> Chart:
    low, high = _range(facts, shown)
    last = max(max(facts.curves[index]) for index in shown)
    is_open = any(facts.counts[state] for state in OPEN)
    legend = [("line done", "complete"), ("line pruned", "stopped early" + " or not over" * is_open)]
    if facts.winner is not None:
        legend.insert(0, ("line winner", f"trial {facts.winner.number}, the winner"))
    chart = Chart(
        x=Linear(min(1.0, last - 1.0), last * 1.01, is_whole=True),
        y=Linear(low, high),
        x_title="epoch",
        y_title=facts.metric,
        height=360,
        name=f"{facts.metric} by epoch of {plural(len(shown), 'trial')}",
        legend=legend,
    )
    for index in shown:
        trial = facts.by_number[index]
        is_winner = facts.winner is not None and index == facts.winner.number
        style = "winner" if is_winner else "done" if trial.state is TrialState.COMPLETE else "pruned"
        chart.line(_thinned(sorted(facts.curves[index].items())), f"line {style}", index)
    if facts.winner is not None and facts.winner.best_epoch and facts.winner.value is not None:
        chart.dot(facts.winner.best_epoch, facts.winner.value, "winner", facts.winner.number)
        is_right = facts.winner.best_epoch > last / 2
        text = f"{number(facts.winner.value)} at epoch {facts.winner.best_epoch}"
        beside = "above" if facts.study.maximize else "below"  # where no other line is
        where = Label(facts.winner.best_epoch, facts.winner.value, text, "end" if is_right else "start", beside)
        chart.label(where)
    return chart


def _range(facts: Facts, shown: list[int]) -> tuple[float, float]:
    """Where complete trials are; with few of them, where most epochs of all are."""
    complete = [index for index in shown if facts.by_number[index].state is TrialState.COMPLETE]
    of = complete if len(complete) >= ENOUGH else shown
    values = [value for index in of for value in facts.curves[index].values()]
    return values_range(values, maximize=facts.study.maximize, share=0.04 if of is complete else 0.1)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[float, float]]:
    stride = max(1, -(-len(points) // MAX_POINTS))
    return [*points[:-1:stride], points[-1]] if stride > 1 else list(points)


def _caption(facts: Facts, shown: list[int]) -> Text:
    n_curves = sum(bool(curve) for curve in facts.curves.values())
    more = f" Of {n_curves} trials the {len(shown)} that came furthest." if n_curves > len(shown) else ""
    return (f"Lines that leave the picture are far behind.{more}",)


def _table(facts: Facts) -> Table | None:
    """The best trials after some epochs, where there are no pictures."""
    able = facts.ranked or tuple(best_tenth(facts))
    best = [trial for trial in able[:N_LISTED] if facts.curves.get(trial.number)]
    if not best:
        return None
    last = max(max(facts.curves[trial.number]) for trial in best)
    epochs = sorted({1, *(max(1, round(last * part / CHECKPOINTS)) for part in range(1, CHECKPOINTS + 1))})
    rows: list[tuple[Cell, ...]] = [
        (Trial(trial.number), *(number(facts.curves[trial.number].get(epoch)) for epoch in epochs)) for trial in best
    ]
    return Table(("trial", *(f"epoch {epoch}" for epoch in epochs)), rows, numeric=frozenset(range(1, len(epochs) + 1)))


def _losses(facts: Facts) -> Figure | None:
    """The winner's loss of training and validation, by epoch."""
    winner = facts.winner
    if winner is None:
        return None
    rows = facts.history.epochs.get(winner.number, ())
    names = ("train/loss", "val/loss")
    lines = {
        name: [(row.epoch, value) for row in rows if (value := row.metrics.get(name)) is not None] for name in names
    }
    if any(len(points) < 2 for points in lines.values()):  # noqa: PLR2004  no line
        return None
    values = [value for points in lines.values() for _, value in points]
    low, high = values_range(values, maximize=False, share=0.02)
    chart = Chart(
        x=Linear(1.0, rows[-1].epoch * 1.01, is_whole=True),
        y=Linear(min(low, *values), high),
        x_title="epoch",
        y_title="loss",
        name="Loss of the winner by epoch",
        legend=[("line train", "train/loss"), ("line winner", "val/loss")],
    )
    chart.line(lines["train/loss"], "line train")
    chart.line(lines["val/loss"], "line winner")
    if winner.best_epoch:
        chart.upright(winner.best_epoch, "line mark")
    return Figure(f"Loss of trial {winner.number}", chart, (_fit(facts, lines["train/loss"], lines["val/loss"]),))


def _fit(facts: Facts, train: list[tuple[int, float]], val: list[tuple[int, float]]) -> str:
    """What the two losses say of how well the model fits."""
    lowest = min(val, key=lambda point: point[1])
    marked = f"The line is at epoch {facts.winner.best_epoch}, whose weights are kept. " if facts.winner else ""
    if lowest[0] < val[-1][0] and val[-1][1] > 1.2 * lowest[1] and train[-1][1] < dict(train).get(lowest[0], 0.0):
        return f"{marked}After epoch {lowest[0]} the validation loss rises while the training loss falls: it overfits."
    before = dict(val).get(max(1, round(0.75 * val[-1][0])), 0.0)
    if lowest[0] == val[-1][0] and val[-1][1] < STILL_FALLING * before:
        return f"{marked}The validation loss still falls at the end: more epochs may give more."
    return marked.strip()
