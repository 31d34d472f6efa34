"""tuner show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.classes import details_text
from tuner.cli.tables import cell, duration, named, number, render, scalar

if TYPE_CHECKING:
    from tuner.study.rows import AttemptRow, TrialDetail


EXAMPLES = """\b
Examples:
  tuner show 4
  tuner show 4 --json                 the whole config too
  tuner show 4 --run 1                its run on fresh seed 1
"""


@click.command(epilog=EXAMPLES)
@click.argument("trial", type=int)
@options.run
@options.study
@options.storage
@options.as_json
def command(trial: int, repeat: int | None, study: str | None, storage: str, as_json: bool) -> None:
    """Show one trial: params, learning curve, attempts; with --json the whole config too."""
    from tuner.workflows.status import classes_of, detail_json, detail_of

    detail = detail_of(storage, study, trial, repeat or 0)
    details = classes_of(storage, study, detail, repeat or 0)
    if as_json:
        options.print_json(detail_json(detail, details))
    else:
        click.echo(_text(detail))
        if details:
            click.echo(f"\n{details_text(details, 'val')}")


def _text(detail: TrialDetail) -> str:
    row = detail.row
    state = row.state.value + (f" ({row.reason})" if row.reason else "")
    value = f"value {number(row.value)}" if row.values is None else named(row.values)
    front = ", on the front" if row.is_on_front else ""
    lines = [f"trial {row.number}: {state}, {value}{front}, seed {detail.seed}, {duration(row.seconds)}"]
    if row.origin:
        lines.append(f"taken over {row.origin_text}")
    if detail.message:
        lines.append(detail.message)
    lines += [f"  {name}  {scalar(value)}" for name, value in row.params.items()]
    names = list(detail.curve[0].metrics) if detail.curve else []
    rows = [
        [
            f"{epoch.epoch}{' *' if epoch.epoch == row.best_epoch else ''}",
            *(cell(name, epoch.metrics.get(name)) for name in names),
            duration(epoch.seconds),
        ]
        for epoch in detail.curve
    ]
    if rows:
        lines += ["", render(["epoch", *names, "time"], rows)]
    return "\n".join([*lines, "", *(_attempt(item) for item in detail.attempts)]).rstrip()


def _attempt(item: AttemptRow) -> str:
    line = (
        f"attempt {item.attempt}: {item.outcome or 'running'} on {item.device}, {item.threads} threads {item.message}"
    )
    return "\n".join([line.rstrip(), *(f"  {what}: {choice}" for what, choice in item.picked.items())])
