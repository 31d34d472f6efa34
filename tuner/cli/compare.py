"""tuner compare."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.cli import options

EXAMPLES = """\b
Examples:
  tuner compare mlp mlp-random
  tuner compare mlp ../yesterday/studies.db:mlp --out comparison.html
"""


@click.command(epilog=EXAMPLES)
@click.argument("studies", nargs=-1, metavar="STUDY...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write a page (.html) or Markdown (.md). A dash is standard output.",
)
@options.storage
@options.as_json
def command(studies: tuple[str, ...], out: Path | None, storage: str, as_json: bool) -> None:
    """Compare studies: their spaces, samplers, best over budget.

    Says which winner is better where fresh seeds can tell, and that one cannot tell where they cannot. FILE.db:NAME is
    a study of another database.
    """
    from tuner.report import plain
    from tuner.workflows.compare import compare

    found = compare(studies, storage=storage, out=out)
    if as_json:
        options.print_json(found.contest.to_json())
    elif found.text and found.path is None:
        click.echo(found.text, nl=False)
    else:
        click.echo(plain.render(found.page))
        if found.path is not None:
            click.echo(f"\nwritten to {found.path}")
