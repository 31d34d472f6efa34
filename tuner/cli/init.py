"""tuner init."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.cli import options
from tuner.cli.tables import render

EPILOG = """\b
Examples:
  tuner init                                          lists the templates
  tuner init image-classification
  tuner init adult.csv --target income                looks at the table
  tuner init photos/ --out photos.yaml                looks at the folder
"""


@click.command(epilog=EPILOG)
@click.argument("what", metavar="[TEMPLATE|DATA]", required=False)
@click.option("--data", metavar="PATH", help="The path of your data, for a template that has one.")
@click.option("--target", metavar="COLUMN", help="The column to predict, for a table. Default: its last one.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: the template's name, here.")
@options.as_json
def command(what: str | None, data: str | None, target: str | None, out: Path | None, as_json: bool) -> None:
    """Write a space file to begin with: from a template, or for the data that you name."""
    from tuner.workflows.init import TEMPLATES, init

    if what is None:
        names = {name: template.about for name, template in TEMPLATES.items()}
        if as_json:
            options.print_json(names)
        else:
            click.echo(render(["template", "for"], [[name, about] for name, about in names.items()]))
            click.echo(
                "\nwrite one with `tuner init TEMPLATE`, or name your data: `tuner init table.csv --target COLUMN`"
            )
        return
    made = init(what, out=out, data=data, target=target)
    if as_json:
        files = [str(made.file), *map(str, made.others)]
        options.print_json({"template": made.template, "file": str(made.file), "files": files})
        return
    for path in (made.file, *made.others):
        click.echo(f"wrote {path}")
    click.echo(f"next: tuner search --space {made.file}")
