"""How the best trial came about: over time, and over epochs spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.report.blocks import Block, Figure, Figures, Paragraph, Section, Table, Trial, prose
from tuner.report.chart import Chart
from tuner.report.clock import EpochAt, epochs_in_time
from tuner.report.facts import Facts, values_range
from tuner.report.scales import Linear
from tuner.report.text import duration, number, plural

MAX_ROWS = 20
ENOUGH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The best so far became better."""

    at: float
    spent: int
    """Epochs that all trials had trained by then."""
    trial: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The best so far, and where each complete trial ended."""

    finished: list[Step]
    """Of complete trials: what `tuner best` would have given."""
    seen: list[Step]
    """Of every epoch of any trial."""
    ends: list[Step]
    """Of each complete trial: when it ended, and its value."""
    seconds: float
    n_epochs: int


def course_of(facts: Facts) -> Course:
    epochs = epochs_in_time(facts)
    last = {item.trial: index for index, item in enumerate(epochs)}
    finished: list[Step] = []
    seen: list[Step] = []
    ends: list[Step] = []
    for index, item in enumerate(epochs):
        if item.value is not None:
            _improve(seen, _step(item, index, item.value), facts.sign)
        trial = facts.by_number.get(item.trial)
        if trial is not None and last[item.trial] == index and trial.can_be_best and trial.value is not None:
            ends.append(_step(item, index, trial.value))
            _improve(finished, ends[-1], facts.sign)
    return Course(
        finished=finished,
        seen=seen,
        ends=ends,
        seconds=max((item.at for item in epochs), default=0.0),
        n_epochs=len(epochs),
    )


def _step(item: EpochAt, index: int, value: float) -> Step:
    return Step(at=item.at, spent=index + 1, trial=item.trial, value=value)


def _improve(steps: list[Step], step: Step, sign: float) -> None:
    if not steps or sign * step.value < sign * steps[-1].value:
        steps.append(step)


def progress(facts: Facts) -> Section:
    course = course_of(facts)
    blocks: list[Block] = []
    if not course.seen:
        return Section("progress", "Best so far", (Paragraph(("No epoch gave a finite value yet.",)),))
    by_time = _figure(facts, course, "Over time", "time searched", lambda step: step.at, course.seconds, is_time=True)
    by_epochs = _figure(facts, course, "Over epochs", "epochs of all trials", lambda step: step.spent, course.n_epochs)
    if facts.is_multi:
        blocks.append(Paragraph((f"By {facts.metric} alone, which tells the best epoch of a trial.",)))
    blocks.append(Figures((by_time, by_epochs), min_width=380))
    best = (course.finished or course.seen)[-1]
    share = best.spent / course.n_epochs
    text = prose(
        "The last improvement, ",
        Trial(best.trial),
        f", came after {duration(best.at)} and {plural(best.spent, 'epoch')}, {share:.0%} of all. ",
        "One epoch of a trial that was stopped can be better than all complete ones: it does not count, as its "
        "weights are not kept."
        if _is_ahead(facts, course)
        else "",
    )
    blocks.append(Paragraph(text))
    return Section("progress", "Best so far", tuple(blocks))


def _is_ahead(facts: Facts, course: Course) -> bool:
    """Whether an epoch of some trial was better than every complete one."""
    if not course.finished:
        return False
    return facts.sign * course.seen[-1].value < facts.sign * course.finished[-1].value


def _figure(
    facts: Facts,
    course: Course,
    title: str,
    x_title: str,
    place: Callable[[Step], float],
    end: float,
    *,
    is_time: bool = False,
) -> Figure:
    ends, seen = ([step.value for step in steps] for steps in (course.ends, course.seen))
    values = [*ends, seen[-1]] if len(ends) >= ENOUGH else [*ends, *seen]  # else the first steps are all one sees
    low, high = values_range(values, maximize=facts.study.maximize, share=0.1)
    chart = Chart(
        x=Linear(0.0, end * 1.02 or 1.0, n_ticks=4, is_time=is_time, is_whole=not is_time),
        y=Linear(low, high),
        x_title=x_title,
        y_title=facts.metric,
        name=f"Best {facts.metric} {title.lower()}",
        legend=[
            ("line best", "best complete trial"),
            ("line seen", "best epoch of any trial"),
            ("dot done", "complete trial"),
        ],
    )
    chart.steps([(place(step), step.value) for step in course.seen], "line seen", until=end)
    chart.steps([(place(step), step.value) for step in course.finished], "line best", until=end)
    for step in course.ends:
        is_winner = facts.winner is not None and step.trial == facts.winner.number
        chart.dot(place(step), step.value, "winner" if is_winner else "done", step.trial)
    return Figure(title, chart, table=_table(facts, course.finished or course.seen) if is_time else None)


def _table(facts: Facts, steps: Sequence[Step]) -> Table:
    rows = [(duration(step.at), str(step.spent), Trial(step.trial), number(step.value)) for step in steps[-MAX_ROWS:]]
    return Table(("time", "epochs spent", "trial", facts.metric), rows, numeric=frozenset({0, 1, 3}))
