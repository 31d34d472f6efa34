"""tuner status."""

from __future__ import annotations

import click

from tuner.cli import options
from tuner.cli.confirmed import confirmed_lines
from tuner.cli.tables import best_line, duration, front_table, scalar, span


@click.command(epilog="\b\nExamples:\n  tuner status\n  tuner status --study mlp --json")
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
    wanted = [f"{item.direction} {item.name}" for item in status.study.objectives]
    wanted = wanted or [f"{status.study.direction} val/{status.study.metric}"]
    click.echo(f"{status.study.name}: {', '.join(wanted)}")
    click.echo(f"trials: {counts or 'none'}; {duration(status.study.seconds)}")
    if status.study.stopped:
        click.echo(status.study.stopped)
    if status.planned_seconds is not None:
        click.echo(f"planned: {span(*status.planned_seconds)}")
    if status.front:
        click.echo(front_table(status.front))
    if status.best is not None:
        click.echo(best_line(status.best))
        for name, value in status.best.params.items():
            click.echo(f"  {name}  {scalar(value)}")
    for line in [*confirmed_lines(status), *explain(storage, status.study.name)]:
        click.echo(line)
