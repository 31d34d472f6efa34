"""tuner trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.tables import cell, duration, number, render, scalar

if TYPE_CHECKING:
    from tuner.study.rows import TrialRow


@click.command(epilog="\b\nExamples:\n  tuner trials\n  tuner trials --study mlp --json")
@options.study
@options.storage
@options.as_json
def command(study: str | None, storage: str, as_json: bool) -> None:
    """List the trials of a study, in the order of their numbers."""
    from tuner.workflows.status import trials_of

    trials = trials_of(storage, study)
    if as_json:
        options.print_json([trial.to_json() for trial in trials])
        return
    names = next((list(trial.values) for trial in trials if trial.values), ["value"])
    rows = [
        [
            str(trial.number),
            trial.state.value,
            *_values(trial, names),
            str(trial.epochs),
            duration(trial.seconds),
            ", ".join(filter(None, [trial.reason, trial.origin_text])),
            " ".join(f"{name}={scalar(value)}" for name, value in trial.params.items()),
        ]
        for trial in trials
    ]
    if any(trial.is_on_front is not None for trial in trials):
        names = [*names, "front"]
    click.echo(render(["trial", "state", *names, "epochs", "time", "reason", "params"], rows))


def _values(trial: TrialRow, names: Sequence[str]) -> list[str]:
    """The value; or those of several objectives, and a mark for the front."""
    if trial.is_on_front is None:
        return [number(trial.value)]
    values = trial.values or {}
    return [*(cell(name, values.get(name)) for name in names), "*" if trial.is_on_front else ""]
