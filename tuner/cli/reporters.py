"""How a search shows itself: JSON lines, one line a finished trial, or a live screen on a terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner.cli.confirmed import confirmed_lines
from tuner.cli.tables import best_line, cell, duration, front_table, named, number, scalar, span
from tuner.control.controller import TrialState
from tuner.errors import NoTrialError
from tuner.space.parameters import Params
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Note,
    Progress,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tuner.workflows.result import Ended, SearchResult

REFRESH_PER_S = 2
MAX_SHOWN_RUNNING = 16


class SearchReporter(Protocol):
    def show(self, progress: Progress) -> None: ...

    def done(self, result: SearchResult) -> None: ...


@contextmanager
def choose(*, as_json: bool) -> Iterator[SearchReporter]:
    """JSON when asked for, a live screen when stderr is a terminal, else lines."""
    if as_json:
        yield JsonReporter()
    elif sys.stderr.isatty():
        with LiveReporter(Console(stderr=True)) as live:
            yield live
    else:
        yield LineReporter()


def exit_code(result: SearchResult, *, as_json: bool) -> int:
    """0, or 128 + signal when interrupted; NoTrialError, under JSON its code alone, when no trial is complete."""
    if result.ended is Ended.INTERRUPTED and result.signal is not None:
        return 128 + result.signal
    if result.status.best is None:
        if as_json:  # the last line is the status
            return NoTrialError.exit_code
        name = result.status.study.name
        raise NoTrialError(f"{result.status.without_best}; see `tuner trials --study {name}`")
    return 0


class JsonReporter:
    """One object a line on stdout; the last is the status with "event": "done"."""

    def show(self, progress: Progress) -> None:
        event = _EVENTS[type(progress)]
        if event is None:
            return
        fields = {name: _finite(value) for name, value in asdict(progress).items()}
        fields |= fields.pop("step", {})  # of a run that confirms a trial
        fields = {name: value for name, value in fields.items() if not _is_unused(name, value)}
        click.echo(json.dumps({"event": event, **fields}, allow_nan=False))

    def done(self, result: SearchResult) -> None:
        click.echo(json.dumps({"event": "done", "ended": result.ended.value, **result.status.to_json()}))


_EVENTS: dict[type[Any], str | None] = {
    StudyStarted: "study",
    TrialStarted: "trial",
    TrialFinished: "trial",
    EpochEnded: "epoch",
    ConfirmStarted: "confirm",
    ConfirmStep: "confirm",
    Note: "note",
}


def _is_unused(name: str, value: Any) -> bool:
    """Fields that only several objectives have."""
    return (name in ("values", "objectives") and not value) or (name == "n_front" and value is None)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


class LineReporter:
    """One line on stderr for each finished trial; the result on stdout."""

    def __init__(self) -> None:
        self._n_trials: int | None = None
        self._paused: set[int] = set()

    def show(self, progress: Progress) -> None:
        if isinstance(progress, StudyStarted):
            self._n_trials = progress.n_trials
        line = "" if _is_old_news(progress, self._paused) else _line(progress, self._n_trials)
        if line:
            click.echo(line, err=True)

    def done(self, result: SearchResult) -> None:
        click.echo(summary(result))


def _line(progress: Progress, n_trials: int | None) -> str:
    match progress:
        case StudyStarted():
            return _headline(progress)
        case TrialFinished():
            return _trial_line(progress, n_trials)
        case ConfirmStarted():
            return confirm_headline(progress)
        case ConfirmStep():
            return _run_line(progress)
        case Note():
            return progress.message
    return ""


def _is_old_news(progress: Progress, paused: set[int]) -> bool:
    """Whether a trial that was shown as `paused` is over without having trained again; keeps `paused` up to date."""
    if isinstance(progress, TrialStarted):
        paused.discard(progress.trial)
    if not isinstance(progress, TrialFinished):
        return False
    was_paused = progress.trial in paused
    paused.discard(progress.trial)
    if progress.state is TrialState.PAUSED:
        paused.add(progress.trial)
    return was_paused and progress.state is TrialState.PRUNED


def _headline(started: StudyStarted) -> str:
    verb = "going on with" if started.n_finished else "searching"
    budget = (
        f"{started.n_finished} of {started.n_trials} trials done"
        if started.n_finished
        else f"{started.n_trials} trials"
    )
    if started.n_trials is None:
        budget = f"{started.n_finished} trials done" if started.n_finished else "no limit of trials"
    if started.confirm_top:
        budget += f", then the best {started.confirm_top} again on {_n_seeds(started.confirm_seeds)}"
    if started.timeout_s is not None:
        budget += f", {duration(max(0.0, started.timeout_s - started.seconds_before))} left"
    workers = f"{started.workers} worker{'s' * (started.workers > 1)} on {', '.join(started.devices)}"
    threads = f"{started.threads} thread{'s' * (started.threads > 1)} each"
    wanted = ", ".join(started.objectives) or started.metric
    return f"{verb} {started.study} for {wanted}: {budget}; {workers}, {threads}"


def _n_seeds(count: int) -> str:
    return f"{count} fresh seed{'s' * (count > 1)}"


def confirm_headline(started: ConfirmStarted) -> str:
    trials = ", ".join(map(str, started.trials))
    done = f", {started.n_finished} of {started.n_runs} runs done" if started.n_finished else ""
    which = f"trial{'s' * (len(started.trials) > 1)} {trials}"
    return (
        f"confirming {which} of {started.study} on {_n_seeds(started.seeds)}{' each' * (len(started.trials) > 1)}{done}"
    )


def _run_line(progress: ConfirmStep) -> str:
    if not isinstance(progress.step, TrialFinished):
        return ""
    return _outcome_line(progress.step, f"trial {progress.step.trial}, fresh seed {progress.repeat}/{progress.seeds}")


def _trial_line(trial: TrialFinished, n_trials: int | None) -> str:
    return _outcome_line(trial, f"trial {trial.trial}{f'/{n_trials}' if n_trials else ''}")


def _outcome_line(trial: TrialFinished, name: str) -> str:
    outcome = trial.state.value + (f" ({trial.reason})" if trial.reason and trial.reason != trial.state.value else "")
    value = f" {number(trial.value)}" if trial.value is not None else ""
    best = "  best so far" if trial.is_best else ""
    if trial.values:
        value, best = f" {named(trial.values)}", "  on the front" if trial.is_best else ""
    message = f": {trial.message.splitlines()[0]}" if trial.message else ""
    epochs = f"{trial.epochs} epoch{'s' * (trial.epochs != 1)}"
    return f"{name}: {outcome}{value} after {epochs}, {duration(trial.seconds)}{best}{message}"


def summary(result: SearchResult) -> str:
    """What a person wants to know at the end: counts, the best trial, the next command."""
    status = result.status
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items() if count)
    lines = [f"study {status.study.name}: {counts or 'no trials'} in {duration(status.study.seconds)}"]
    if status.study.stopped:
        lines.append(status.study.stopped)
    if status.planned_seconds is not None and result.ended is not Ended.INTERRUPTED:
        lines.append(f"planned {span(*status.planned_seconds)}, took {duration(status.study.seconds)}")
    if status.front:
        lines += [front_table(status.front), best_line(status.best)] if status.best else []
    elif status.best is not None:
        lines.append(f"best: trial {status.best.number} with val/{status.study.metric} {number(status.best.value)}")
    if status.best is not None:
        lines += _params_lines(status.best.params)
    lines += confirmed_lines(status)
    if result.ended is Ended.INTERRUPTED:
        lines.append("interrupted, nothing is lost: the same command goes on")
    elif status.best is not None:
        lines.append(f"next: tuner best --study {status.study.name}")
    return "\n".join(lines)


def _params_lines(params: Params) -> list[str]:
    width = max((len(name) for name in params), default=0)
    return [f"  {name.ljust(width)}  {scalar(value)}" for name, value in params.items()]


class LiveReporter:
    """A bar, the best so far and the running trials, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: StudyStarted | None = None
        self._since = time.monotonic()
        self._running: dict[tuple[int, int], tuple[TrialStarted, EpochEnded | None]] = {}
        """By trial and fresh seed, which is 0 in the search itself."""
        self._confirming: ConfirmStarted | None = None
        self._n_confirmed = 0
        self._paused: set[int] = set()
        self._n_over = 0
        self._best: tuple[int | None, float | None] = (None, None)
        self._n_front: int | None = None
        # Last: it renders at once, and later from a thread of its own.
        self._live = Live(
            console=console, refresh_per_second=REFRESH_PER_S, transient=True, get_renderable=self._render
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        match progress:
            case StudyStarted():
                self._started, self._since = progress, time.monotonic()
                self._best = (progress.best_trial, progress.best_value)
                self._n_front = progress.n_front
                self._print(_headline(progress))
            case ConfirmStarted():
                self._confirming, self._n_confirmed = progress, progress.n_finished
                self._since = time.monotonic()
                self._print(confirm_headline(progress))
            case ConfirmStep():
                self._follow(progress.step, progress.repeat)
                if isinstance(progress.step, TrialFinished):
                    self._n_confirmed += progress.step.state is not TrialState.PAUSED
                    self._print(_run_line(progress))
            case TrialStarted() | EpochEnded():
                self._follow(progress)
            case TrialFinished():
                self._follow(progress)
                self._finish(progress)
            case Note():
                self._print(progress.message)

    def _follow(self, step: TrialStarted | EpochEnded | TrialFinished, repeat: int = 0) -> None:
        key = (step.trial, repeat)
        match step:
            case TrialStarted():
                self._running[key] = (step, None)
                if not repeat:
                    self._paused.discard(step.trial)
            case EpochEnded():
                self._running[key] = (self._running[key][0], step)
            case TrialFinished():
                self._running.pop(key, None)

    def _finish(self, trial: TrialFinished) -> None:
        self._n_over += trial.state is not TrialState.PAUSED
        if trial.n_front is not None:
            self._n_front = trial.n_front
        elif trial.is_best:
            self._best = (trial.trial, trial.value)
        if not _is_old_news(trial, self._paused):
            self._print(_trial_line(trial, self._started.n_trials if self._started else None))

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def _render(self) -> Group:
        if self._confirming is not None:
            return Group(self._confirm_bar(self._confirming), self._table(self._confirming.metric))
        if self._started is None:
            return Group(Text("loading torch and the data ..."))
        return Group(self._bar(self._started), self._table(*(self._started.objectives or (self._started.metric,))))

    def _confirm_bar(self, started: ConfirmStarted) -> Table:
        grid = Table.grid(padding=(0, 1))
        text = f"{self._n_confirmed}/{started.n_runs} runs to confirm  {duration(time.monotonic() - self._since)}"
        grid.add_row(ProgressBar(total=started.n_runs, completed=self._n_confirmed, width=24), Text(text))
        return grid

    def _bar(self, started: StudyStarted) -> Table:
        done = started.n_finished + self._n_over
        elapsed = time.monotonic() - self._since
        grid = Table.grid(padding=(0, 1))
        best = f"best {number(self._best[1])} (trial {self._best[0]})" if self._best[1] is not None else "no best yet"
        if self._n_front is not None:
            best = f"{self._n_front} on the front"
        paused = f", {len(self._paused)} paused" if self._paused else ""
        text = Text(f"{done}/{started.n_trials or '?'} trials{paused}  {best}  {duration(elapsed)}")
        grid.add_row(
            ProgressBar(total=started.n_trials, completed=done, width=24, pulse=started.n_trials is None), text
        )
        return grid

    def _table(self, *names: str) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        for name in ("trial", "epoch", *names):
            table.add_column(name, no_wrap=True, min_width=max(7, len(name)))
        table.add_column("params", no_wrap=True, overflow="ellipsis", ratio=1)  # what is left of the line
        for (trial, repeat), (started, epoch) in sorted(self._running.items())[:MAX_SHOWN_RUNNING]:
            done = epoch.epoch if epoch else started.first_epoch - 1
            params = " ".join(f"{name}={scalar(value)}" for name, value in started.params.items())
            which = f"{trial} (seed {repeat})" if repeat else str(trial)
            values = [cell(name, epoch.metrics.get(name) if epoch else None) for name in names]
            table.add_row(which, f"{done}/{started.last_epoch}", *values, params)
        return table

    def done(self, result: SearchResult) -> None:
        self._live.stop()
        click.echo(summary(result))
