"""tuner search."""

from __future__ import annotations

from typing import Any

import click

from tuner.cli import options

EXAMPLES = """\b
Examples:
  tuner search --space mlp.yaml
  tuner search --space mlp.yaml --trials 100 --timeout 30m
  tuner search --space mine.yaml --set train.epochs=3 --set optimizer.kind=sgd
"""


@click.command(epilog=EXAMPLES)
@options.space
@click.option("--trials", metavar="N", help="Trials of the study in total, those of earlier runs included.")
@click.option("--timeout", metavar="TIME", help="Wall time of the study in total, such as 90s, 30m or 1h30m.")
@click.option("--workers", metavar="N", help="Processes that train; default: one a GPU, or one a core.")
@click.option("--lanes", metavar="N", help="Trials that one worker trains at once.")
@click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--seed", metavar="N", help="Seed of everything that is drawn.")
@options.sets
@options.study
@options.storage
@options.as_json
def command(space: str, sets: tuple[str, ...], storage: str, as_json: bool, **given: str | None) -> int:
    """Run a search, or go on with one.

    The study is kept in studies.db; after Ctrl-C, a crash or a power loss the same command goes on where it stopped.
    """
    from tuner.execution import forkserver

    forkserver.begin()  # before anything else: what follows is imported while another process imports torch

    from tuner.cli import reporters
    from tuner.workflows.search import SearchRequest, search

    names = {PATHS[name]: given.pop(name) for name in ("study", "device") if given.get(name) is not None}
    request = SearchRequest(space=space, storage=storage, sets=(*sets, *_as_sets(given)), overrides=names)
    with reporters.choose(as_json=as_json) as reporter:
        result = search(request, reporter)
        reporter.done(result)
    return reporters.exit_code(result, as_json=as_json)


PATHS = {
    "trials": "search.trials",
    "timeout": "search.timeout",
    "workers": "search.workers",
    "lanes": "search.lanes",
    "device": "train.device",
    "seed": "seed",
    "study": "study",
}
"""The option `--x V` is short for `--set PATH=V`, so that it is checked in the same way; names stay text."""


def _as_sets(given: dict[str, Any]) -> list[str]:
    return [f"{PATHS[name]}={value}" for name, value in given.items() if value is not None]
