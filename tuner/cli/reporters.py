"""How a search shows itself: JSON lines on stdout, or what suits a person on stderr; and what it says at its end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

import click

from tuner.cli.confirmed import confirmed_lines
from tuner.cli.tables import best_line, duration, front_table, number, scalar, span
from tuner.errors import NoTrialError
from tuner.screen.here import shown
from tuner.space.parameters import Params
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Note,
    Progress,
    Reporter,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tuner.workflows.result import Ended, SearchResult


class SearchReporter(Protocol):
    def show(self, progress: Progress) -> None: ...

    def done(self, result: SearchResult) -> None:
        """Say what came of it; after `choose` is left, when the terminal is as it was."""


@contextmanager
def choose(*, as_json: bool, storage: str) -> Iterator[SearchReporter]:
    """JSON when asked for; else a live screen when stderr is a terminal, and lines when it is not."""
    if as_json:
        yield JsonReporter()
        return
    with shown(storage) as reporter:
        yield PlainReporter(reporter)


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


class PlainReporter:
    """Progress as it suits the place; the result on stdout."""

    def __init__(self, progress: Reporter) -> None:
        self._progress = progress

    def show(self, progress: Progress) -> None:
        self._progress.show(progress)

    def done(self, result: SearchResult) -> None:
        click.echo(summary(result))


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
    return (name in ("values", "objectives", "directions") and not value) or (name == "n_front" and value is None)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


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
    elif status.best is not None and not result.is_exported:
        lines.append(f"next: tuner best --study {status.study.name}")
    return "\n".join(lines)


def _params_lines(params: Params) -> list[str]:
    width = max((len(name) for name in params), default=0)
    return [f"  {name.ljust(width)}  {scalar(value)}" for name, value in params.items()]
