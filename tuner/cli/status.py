"""tuner status."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.confirmed import confirmed_lines
from tuner.cli.tables import best_line, duration, front_table, scalar, span

if TYPE_CHECKING:
    from tuner.screen.stored import StoredSearch

EXAMPLES = """\b
Examples:
  tuner status
  tuner status --watch --study mlp
"""


@click.command(epilog=EXAMPLES)
@click.option("--watch", is_flag=True, help="The live screen of a search that runs elsewhere, until it ends.")
@options.study
@options.storage
@options.as_json
def command(watch: bool, study: str | None, storage: str, as_json: bool) -> None:
    """Show where a study stands: trials by state, the best one, the time spent."""
    if not watch or _watch(study, storage, as_json=as_json):
        _say(study, storage, as_json=as_json)


def _watch(study: str | None, storage: str, *, as_json: bool) -> bool:
    """Until the search ends, or Ctrl-C; whether there is still something to say."""
    from tuner.screen import here, watch
    from tuner.screen.stored import StoredSearch

    search = StoredSearch.open(storage, study)
    try:
        if as_json:
            _watch_json(search, storage)
        elif here.is_terminal(sys.stdout):
            watch.on_terminal(search)
        else:
            for line in watch.in_lines(search):
                click.echo(line)
    except KeyboardInterrupt:
        return False
    return not as_json


def _watch_json(search: StoredSearch, storage: str) -> None:
    """The status on a line of its own whenever it has changed."""
    from tuner.screen.watch import states
    from tuner.workflows.status import status_of

    last = ""
    for state in states(search):
        status = json.dumps(status_of(storage, state.study).to_json(), allow_nan=False)
        if status != last:
            click.echo(status)
        last = status


def _say(study: str | None, storage: str, *, as_json: bool) -> None:
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
