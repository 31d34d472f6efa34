"""tuner status."""

from __future__ import annotations

import click

from tuner.cli import options
from tuner.cli.tables import duration, number, scalar, span


@click.command()
@options.study
@options.storage
@options.as_json
def command(study: str | None, storage: str, as_json: bool) -> None:
    """Show where a study stands: trials by state, the best one, the time spent."""
    from tuner.workflows.explaining import explain
    from tuner.workflows.status import status_of

    status = status_of(storage, study)
    if as_json:
        options.print_json(status.to_json())
        return
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items() if count)
    click.echo(f"{status.study.name}: {status.study.direction} val/{status.study.metric}")
    click.echo(f"trials: {counts or 'none'}; {duration(status.study.seconds)}")
    if status.study.stopped:
        click.echo(status.study.stopped)
    if status.planned_seconds is not None:
        click.echo(f"planned: {span(*status.planned_seconds)}")
    if status.best is not None:
        click.echo(f"best: trial {status.best.number} with {number(status.best.value)}")
        for name, value in status.best.params.items():
            click.echo(f"  {name}  {scalar(value)}")
    for line in explain(storage, status.study.name):
        click.echo(line)
