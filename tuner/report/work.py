"""What the machine did: every training on one axis of time, what stopping saved, and what faults took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tuner.control.controller import TrialState
from tuner.report.blocks import Block, Bullets, Figure, Paragraph, Section, Strong, Table, Text, prose
from tuner.report.chart import Chart
from tuner.report.clock import FAULTS, Bar, Clock, bars_of
from tuner.report.facts import Facts
from tuner.report.scales import Categories, Linear
from tuner.report.text import duration, percent, plural

MAX_ROWS = 64
ROW_HEIGHT, MIN_HEIGHT, MAX_HEIGHT = 18, 90, 420


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Seconds of training, summed over all trials: spent, saved and lost."""

    trained: float
    saved: float
    """What the epochs would have taken that stopped trials were not given; 0 where nothing was stopped."""
    n_stopped: int
    epochs_saved: int
    epochs_trained: int
    lost: float
    """Since the last epoch of attempts that a fault ended."""
    n_faults: int


def balance_of(facts: Facts, bars: Sequence[Bar]) -> Balance:
    own = [trial for trial in facts.trials if trial.number not in facts.taken]
    stopped = [trial for trial in own if trial.state is TrialState.PRUNED and trial.epochs > 0]
    asked = {trial.number: facts.spec.epochs_of(trial.params) for trial in stopped}
    missing = {trial.number: max(0, asked[trial.number] - trial.epochs) for trial in stopped}
    return Balance(
        trained=sum(row.seconds for trial in own for row in facts.history.epochs.get(trial.number, ())),
        saved=sum(missing[trial.number] * trial.seconds / trial.epochs for trial in stopped),
        n_stopped=sum(bool(epochs) for epochs in missing.values()),
        epochs_saved=sum(missing.values()),
        epochs_trained=sum(len(facts.history.epochs.get(trial.number, ())) for trial in own),
        lost=sum(bar.lost for bar in bars),
        n_faults=sum(bar.course.outcome in FAULTS for bar in bars),
    )


def work(facts: Facts) -> Section:
    bars = bars_of(facts)
    if not bars:
        return Section("work", "Time", (Paragraph(("Nothing was trained yet.",)),))
    rows = _packed(bars)
    blocks: list[Block] = [Bullets(tuple(_sums(facts, bars)))]
    n_rows = max(rows) + 1
    if n_rows <= MAX_ROWS:
        blocks.append(Figure("", _timeline(facts, bars, rows, n_rows), _caption(facts), _by_outcome(bars)))
    else:
        blocks.append(_by_outcome(bars))
    return Section("work", "Time", tuple(blocks))


def _sums(facts: Facts, bars: Sequence[Bar]) -> Iterator[Text]:
    balance = balance_of(facts, bars)
    yield prose(
        f"{plural(balance.epochs_trained, 'epoch')} were trained, {duration(balance.trained)} of training in "
        f"{duration(facts.study.seconds)} of searching.",
    )
    if balance.n_stopped:
        share = balance.epochs_saved / (balance.epochs_saved + balance.epochs_trained)
        yield prose(
            "Stopping early ",
            Strong(f"saved {'at most' if facts.spec.base.train.early_stopping else 'about'} {duration(balance.saved)}"),
            f" of training: {plural(balance.epochs_saved, 'epoch')} that {plural(balance.n_stopped, 'trial')} were not "
            f"given, {percent(share)} of all that was asked for.",
        )
    if balance.n_faults:
        yield prose(
            "Faults ",
            Strong(f"lost {duration(balance.lost)}"),
            f": {plural(balance.n_faults, 'attempt')} ended by a crash, a kill, a hang or too little memory, and what "
            "each had done since its last epoch.",
        )
    else:
        yield ("Nothing was lost to faults.",)
    if facts.taken:
        source = (facts.study.taken or {}).get("study", "another study")
        yield (f"{plural(len(facts.taken), 'trial')} were taken over from {source}, and cost nothing here.",)
    if len(facts.history.sessions) > 1:
        yield (f"The search ran in {plural(len(facts.history.sessions), 'session')}.",)
    confirming = sum(course.seconds for course in facts.history.confirm_attempts)
    if confirming:
        n_runs = len(facts.standing.runs)
        yield (f"Confirming took another {duration(confirming)} of training, in {plural(n_runs, 'run')}.",)
    planned = facts.study.planned
    if planned:
        low, high = planned["seconds"]
        yield (f"Planned were {duration(low)} to {duration(high)}.",)


def _packed(bars: Sequence[Bar]) -> list[int]:
    """A row for each bar, the first that is free: as many rows as trainings ran side by side."""
    ends: list[float] = []
    rows = []
    for bar in bars:
        row = next((index for index, end in enumerate(ends) if end <= bar.begin + 1e-6), len(ends))
        if row == len(ends):
            ends.append(bar.end)
        ends[row] = bar.end
        rows.append(row)
    return rows


def _timeline(facts: Facts, bars: Sequence[Bar], rows: Sequence[int], n_rows: int) -> Chart:
    end = max(bar.end for bar in bars) or 1.0
    chart = Chart(
        x=Linear(0.0, end * 1.005, is_time=True),
        y=Categories(tuple(str(row + 1) for row in range(n_rows))),
        x_title="time searched",
        height=min(MAX_HEIGHT, max(MIN_HEIGHT, ROW_HEIGHT * n_rows)),
        has_y_labels=False,
        has_grid=False,
        name="Every training on an axis of time",
        legend=[
            ("fill complete", "of a complete trial"),
            ("fill stopped", "of one that was stopped"),
            *([("fill first", "of the winner")] if facts.winner else []),
            *([("fill fault", "ended by a fault")] if any(bar.course.outcome in FAULTS for bar in bars) else []),
            *([("fill open", "not over")] if any(not bar.course.outcome for bar in bars) else []),
        ],
    )
    for bar, row in zip(bars, rows, strict=True):
        title = f"trial {bar.course.trial}: {bar.course.outcome or 'running'} after {duration(bar.end - bar.begin)}"
        chart.box((bar.begin, row - 0.4), (bar.end, row + 0.4), _style(facts, bar), bar.course.trial, title)
    for place in Clock(facts.history.sessions).breaks():
        chart.upright(place, "line mark")
    return chart


def _style(facts: Facts, bar: Bar) -> str:
    if bar.course.outcome in FAULTS:
        return "fault"
    if not bar.course.outcome:
        return "open"
    trial = facts.by_number.get(bar.course.trial)
    is_winner = facts.winner is not None and bar.course.trial == facts.winner.number
    if is_winner:
        return "first"
    return "complete" if trial is not None and trial.state is TrialState.COMPLETE else "stopped"


def _caption(facts: Facts) -> Text:
    devices = sorted({course.device for course in facts.history.attempts})
    breaks = " Upright lines are pauses between sessions." if len(facts.history.sessions) > 1 else ""
    return prose(
        f"Each bar is one attempt at a trial on {', '.join(devices)}; bars above each other ran side by side, in other "
        f"workers or lanes.{breaks}",
    )


def _by_outcome(bars: Sequence[Bar]) -> Table:
    outcomes = dict.fromkeys(bar.course.outcome for bar in bars)
    rows = []
    for outcome in outcomes:
        own = [bar for bar in bars if bar.course.outcome == outcome]
        time = sum(bar.end - bar.begin for bar in own)
        rows.append((outcome.replace("_", " ") or "running", str(len(own)), duration(time)))
    return Table(("attempts that ended as", "attempts", "time"), rows, numeric=frozenset({1, 2}))
