"""tuner search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuner.cli import completers, options

if TYPE_CHECKING:
    from tuner.workflows.result import SearchResult

EXAMPLES = """\b
Examples:
  tuner search --space mlp.yaml
  tuner search --space mlp.yaml --trials 100 --timeout 30m
  tuner search --space mine.yaml --set train.epochs=3 --set optimizer.kind=sgd
  tuner search --space edited.yaml --study mine-2 --from mine
  tuner search --space people.yaml --export people-model
"""


@click.command(epilog=EXAMPLES)
@options.space
@options.budget
@click.option(
    "--from",
    "source",
    metavar="OLD",
    shell_complete=completers.studies,
    help="Start with the trials of study OLD that are inside the space; with --study.",
)
@click.option(
    "--export",
    "folder",
    metavar="[DIR]",
    is_flag=False,
    flag_value="",
    help="Export the winner at the end, as `tuner best` does; DIR is exports/<study>-<trial> unless it is given.",
)
@options.sets
@options.study
@options.storage
@options.as_json
def command(
    space: str,
    sets: tuple[str, ...],
    storage: str,
    source: str | None,
    folder: str | None,
    as_json: bool,
    **given: str | None,
) -> int:
    """Run a search, or go on with one.

    The study is kept in studies.db; after Ctrl-C, a crash or a power loss the same command goes on where it stopped.
    """
    from tuner.execution import forkserver

    forkserver.begin()  # before anything else: what follows is imported while another process imports torch

    from tuner.cli import reporters
    from tuner.workflows.search import SearchRequest, search

    names, texts = options.overrides_of(given)
    request = SearchRequest(space=space, storage=storage, sets=(*sets, *texts), overrides=names, source=source)
    with reporters.choose(as_json=as_json, storage=storage) as reporter:
        result = search(request, reporter)
    if folder is None or not result.has_winner:
        reporter.done(result)
    elif as_json:
        _export(result, folder, as_json=True)
        reporter.done(result)  # the last line
    else:
        reporter.done(replace(result, is_exported=True))
        _export(result, folder, as_json=False)
    return reporters.exit_code(result, as_json=as_json)


def _export(result: SearchResult, folder: str, *, as_json: bool) -> None:
    from tuner.cli.best import text_of
    from tuner.workflows.best import best

    export = best(storage=result.storage, study=result.status.study.name, out=Path(folder) if folder else None)
    if as_json:
        click.echo(json.dumps({"event": "export", **export.to_json()}, allow_nan=False))
        return
    click.echo(text_of(export))
    if not export.bundle.config.is_own_training:
        click.echo(f"next: tuner predict {export.path} INPUT")
