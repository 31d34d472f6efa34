"""tuner init."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.cli import completers, options
from tuner.cli.tables import render

EPILOG = """\b
Examples:
  tuner init                                          lists what there is, as --list does
  tuner init people.csv                               looks at the table, writes people.yaml
  tuner init adult.csv --target income
  tuner init photos/ --out animals.yaml               looks at the folder
  tuner init digits                                   a data set that is known by name
  tuner init forecasting --data load.csv --target load
"""


@click.command(epilog=EPILOG)
@click.argument("what", metavar="[DATA|TEMPLATE]", required=False, shell_complete=completers.beginnings)
@click.option("--data", metavar="PATH", help="The path of your data, for a template that has one.")
@click.option(
    "--target",
    "targets",
    metavar="COLUMN",
    multiple=True,
    help="The column to predict, for a table; several for several labels or numbers. Default: a guess, which is told.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: the data's name, here.")
@click.option("--list", "is_list", is_flag=True, help="List the templates, known data sets and shipped space files.")
@options.as_json
def command(
    what: str | None, data: str | None, targets: tuple[str, ...], out: Path | None, is_list: bool, as_json: bool
) -> None:
    """Write a commented space file for your data, or from a template.

    DATA is a table (csv, tsv, parquet), arrays (.npz, .npy, .pt), a text, a folder of images, texts or wav files, or
    a .py file with your Module or Dataset: it is looked at, and what was guessed stands in the space file. No file is
    overwritten.
    """
    from tuner.workflows.init import about, init

    if what is None or is_list:
        known = about()
        if as_json:
            options.print_json(known)
        else:
            click.echo(render(["name", "for"], [[name, text] for name, text in known.items()]))
            click.echo("\nwrite one with `tuner init NAME`, or name your data: `tuner init table.csv`")
        return
    made = init(what, out=out, data=data, target=targets)
    if as_json:
        files = [str(made.file), *map(str, made.others)]
        options.print_json(
            {"template": made.template, "file": str(made.file), "files": files, "found": list(made.found)}
        )
        return
    for told in made.found:
        click.echo(told)
    for path in (made.file, *made.others):
        click.echo(f"wrote {path}")
    click.echo(f"next: tuner search --space {made.file}")
