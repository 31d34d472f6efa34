"""tuner search."""

from __future__ import annotations

import click

from tuner.cli import completers, options

EXAMPLES = """\b
Examples:
  tuner search --space mlp.yaml
  tuner search --space mlp.yaml --trials 100 --timeout 30m
  tuner search --space mine.yaml --set train.epochs=3 --set optimizer.kind=sgd
  tuner search --space edited.yaml --study mine-2 --from mine
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
@options.sets
@options.study
@options.storage
@options.as_json
def command(
    space: str, sets: tuple[str, ...], storage: str, source: str | None, as_json: bool, **given: str | None
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
    reporter.done(result)
    return reporters.exit_code(result, as_json=as_json)
