"""tuner logs."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command()
@click.argument("trial", type=int)
@options.study
@options.storage
def command(trial: int, study: str | None, storage: str) -> None:
    """Print the log of one trial: its attempts, epochs, warnings, and what its code printed."""
    from tuner.workflows.status import log_of

    click.echo(log_of(storage, study, trial), nl=False)
