"""tuner confirm."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command(epilog="\b\nExamples:\n  tuner confirm\n  tuner confirm --top 5 --seeds 4")
@click.option("--top", type=click.IntRange(1, 1000), metavar="K", help="Trials; default: as the space file says, or 3.")
@click.option("--seeds", type=click.IntRange(1, 1000), metavar="S", help="Fresh seeds of each in total; default: 2.")
@options.study
@options.storage
@options.as_json
def command(top: int | None, seeds: int | None, study: str | None, storage: str, as_json: bool) -> int:
    """Train the best trials again on fresh seeds, and choose the winner by the mean.

    A search does this at its end, unless the space file says `confirm: off`. Runs that are there are not repeated; an
    interrupted one goes on.
    """
    from tuner.cli import reporters
    from tuner.workflows.confirm import confirm

    with reporters.choose(as_json=as_json, storage=storage) as reporter:
        result = confirm(storage=storage, study=study, top=top, seeds=seeds, reporter=reporter)
    reporter.done(result)
    return reporters.exit_code(result, as_json=as_json)
