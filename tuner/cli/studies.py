"""tuner studies."""

from __future__ import annotations

import click

from tuner.cli import options
from tuner.cli.tables import duration, named, number, render


@click.command(epilog="\b\nExamples:\n  tuner studies\n  tuner studies --storage sqlite:///other.db")
@options.storage
@options.as_json
def command(storage: str, as_json: bool) -> None:
    """List the studies of a database, the oldest first."""
    from tuner.workflows.status import statuses_of

    found = statuses_of(storage)
    if as_json:
        options.print_json([status.to_json() for status in found])
        return
    rows = [
        [
            status.study.name,
            ", ".join(item.name for item in status.study.objectives) or f"val/{status.study.metric}",
            str(sum(status.counts.values())),
            named(status.best.values)
            if status.best and status.best.values
            else number(status.best.value if status.best else None),
            duration(status.study.seconds),
        ]
        for status in found
    ]
    click.echo(render(["study", "objective", "trials", "best", "time"], rows))
