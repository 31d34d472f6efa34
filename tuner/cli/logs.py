"""tuner logs."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command(epilog="\b\nExamples:\n  tuner logs 4\n  tuner logs 4 --study mlp")
@click.argument("trial", type=int)
@options.run
@options.study
@options.storage
@options.as_json
def command(trial: int, repeat: int | None, study: str | None, storage: str, as_json: bool) -> None:
    """Print the log of one trial: its attempts, epochs, warnings, and what its code printed."""
    from tuner.workflows.status import log_of

    log = log_of(storage, study, trial, repeat or 0)
    if as_json:
        options.print_json({"trial": trial, "log": log.splitlines()})
    else:
        click.echo(log, nl=False)
