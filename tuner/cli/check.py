"""tuner check."""

from __future__ import annotations

import click

from tuner.cli import options
from tuner.cli.tables import render

EXAMPLES = """\b
Examples:
  tuner check --space mlp.yaml
  tuner check --space mlp.yaml --set model.depth=4
"""


@click.command(epilog=EXAMPLES)
@options.space
@options.sets
@options.as_json
def command(space: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Validate a space file; nothing is run.

    Every bound and choice is put into the config it lands in. All problems are listed at once, each with its line.
    """
    from tuner.workflows.check import check, describe
    from tuner.workflows.feasible import share_of_feasible

    spec = check(space, sets)
    described = describe(spec)
    feasible = share_of_feasible(spec)
    if as_json:
        options.print_json({"study": spec.study, "file": spec.file, "parameters": described, **feasible.to_json()})
        return
    click.echo(f"{spec.file}: valid; study {spec.study}, {', '.join(spec.goals.keys)}, {len(described)} parameters")
    if spec.constraints:
        click.echo(str(feasible))
    if described:
        click.echo(render(["parameter", "values", "only when"], [list(item.values()) for item in described]))
