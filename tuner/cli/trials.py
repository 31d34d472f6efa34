"""tuner trials."""

from __future__ import annotations

import click

from tuner.cli import options
from tuner.cli.tables import duration, number, render, scalar


@click.command()
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
    rows = [
        [
            str(trial.number),
            trial.state.value,
            number(trial.value),
            str(trial.epochs),
            duration(trial.seconds),
            ", ".join(filter(None, [trial.reason, trial.origin_text])),
            " ".join(f"{name}={scalar(value)}" for name, value in trial.params.items()),
        ]
        for trial in trials
    ]
    click.echo(render(["trial", "state", "value", "epochs", "time", "reason", "params"], rows))
