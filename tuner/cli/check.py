"""tuner check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.tables import render, size

if TYPE_CHECKING:
    from tuner.workflows.corners import Tried

MAX_SHOWN = 5
EXAMPLES = """\b
Examples:
  tuner check --space mlp.yaml
  tuner check --space mlp.yaml --set model.depth=4
  tuner check --space mlp.yaml --no-data
"""


@click.command(epilog=EXAMPLES)
@options.space
@click.option("--no-data", is_flag=True, help="Check the file alone: neither data nor code of yours is touched.")
@options.sets
@options.storage
@options.as_json
def command(space: str, sets: tuple[str, ...], storage: str, no_data: bool, as_json: bool) -> None:
    """Validate a space file, and try each kind and the ends of the space on its data; nothing is searched.

    Every bound and choice is put into the config it lands in. All problems are listed at once, each with its line. Then
    the data is read, and a few steps are trained with every kind that the space chooses among.
    """
    if not no_data:
        from tuner.execution import forkserver

        forkserver.begin()

    from tuner.workflows.check import check, describe
    from tuner.workflows.feasible import share_of_feasible

    spec = check(space, sets)
    described = describe(spec)
    feasible = share_of_feasible(spec)
    if not as_json:
        click.echo(f"{spec.file}: valid; study {spec.study}, {', '.join(spec.goals.keys)}, {len(described)} parameters")
        for line in feasible.lines():
            click.echo(line)
        if described:
            click.echo(render(["parameter", "values", "only when"], [list(item.values()) for item in described]))
    tried = None
    if not no_data:
        from tuner.workflows.corners import try_out

        tried = try_out(spec, storage)
    if as_json:
        found = {"study": spec.study, "file": spec.file, "parameters": described, **feasible.to_json()}
        options.print_json({**found, **(tried.to_json() if tried else {})})
    elif tried:
        click.echo("\n".join(lines_of(tried)))


def lines_of(tried: Tried) -> list[str]:
    """What was tried, and what cannot be trained."""
    if not tried.n_points:
        return ["own training code was imported, and not run: an epoch of it can take any time"]
    left = f"; no time for {tried.n_left} more" if tried.n_left else ""
    lines = [f"tried {tried.n_points} point{'s' * (tried.n_points > 1)} of the space{left}"]
    if tried.n_params is not None:
        low, high = f"{tried.n_params.low:.0f}", f"{tried.n_params.high:.0f}"
        lines[0] += f": {low if low == high else f'{low} to {high}'} weights"
    if tried.memory_bytes is not None:
        lines[0] += f", at most {size(tried.memory_bytes.high)} a worker"
    shown = tried.unusable[:MAX_SHOWN]
    for item in shown:
        what = f"{item.what}, wherever it was tried" if item.is_kind else item.what
        lines.append(f"cannot be trained: {what}\n  {item.problem}")
    if len(tried.unusable) > len(shown):
        lines.append(f"and {len(tried.unusable) - len(shown)} more points that cannot be trained")
    return lines
