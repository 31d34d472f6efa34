"""tuner data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tuner.cli import options


@click.command(epilog="\b\nExamples:\n  tuner data --space mlp.yaml\n  tuner data --space mlp.yaml --out samples.png")
@options.space
@options.sets
@click.option("--out", metavar="FILE.png", type=click.Path(path_type=Path), help="Save a grid of sample images.")
@options.storage
@options.as_json
def command(space: str, sets: tuple[str, ...], out: Path | None, storage: str, as_json: bool) -> None:
    """Look at the data before a search: parts, classes, features, samples, and what is wrong with it.

    The decoded data is kept for the search. Of the test part rows are counted and compared with the other parts; no
    feature and no sample of it is shown.
    """
    from tuner.cli.data_text import text_of
    from tuner.config.spec import Spec
    from tuner.workflows.data import examine

    report = examine(space, storage=storage, sets=sets, picture=out)
    if isinstance(report, Spec):
        text = "own training code brings its own data; there is nothing to look at"
        if as_json:
            options.print_json({"study": report.study, "file": report.file, "source": None})
        else:
            click.echo(f"{report.file}: {text}")
    elif as_json:
        options.print_json(report.to_json())
    else:
        click.echo(text_of(report, coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
