"""tuner report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuner.cli import options

if TYPE_CHECKING:
    from tuner.workflows.report import Kind

EXAMPLES = """\b
Examples:
  tuner report
  tuner report --study mlp --out reports/mlp.html
  tuner report --format md --out - | less
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="File; default: <study>-report.html, or .md. A dash is standard output.",
)
@click.option("--format", "kind", type=click.Choice(["html", "md"]), help="Default: by the file's ending, or html.")
@click.option(
    "--evaluate/--no-evaluate",
    "evaluates",
    default=True,
    help="Look at the best weights on the validation part again; default: do.",
)
@options.study
@options.storage
@options.as_json
def command(
    out: Path | None, kind: Kind | None, evaluates: bool, study: str | None, storage: str, as_json: bool
) -> None:
    """Write the report of a study as one HTML page or as Markdown.

    Who won and what to expect of it, learning curves, which parameters matter, where the space is too narrow, what the
    time went into, the winner's mistakes. The page opens anywhere, without a network. Never looks at the test part.
    """
    if evaluates:
        from tuner.execution import forkserver

        forkserver.begin()  # torch is loaded for the evaluation while the study is read

    from tuner.report.text import size
    from tuner.workflows.report import report

    written = report(storage=storage, study=study, out=out, kind=kind, evaluates=evaluates)
    if as_json:
        options.print_json(written.to_json())
    elif written.path is None:
        click.echo(written.text, nl=False)
    else:
        click.echo(written.verdict.replace("**", ""))
        click.echo(f"{written.path} ({size(len(written.text.encode()))})")
