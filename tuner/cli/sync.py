"""tuner sync."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tuner.cli import options

EXAMPLES = """\b
Examples:
  tuner sync tensorboard
  tuner sync mlflow --study mlp --set uri=http://127.0.0.1:5000 --model exports/mlp-18
  tuner sync mine.py:Tracker
"""


@click.command(epilog=EXAMPLES)
@click.argument("tracker")
@click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="An option of the tracker, beside the space file's."
)
@click.option("--model", type=click.Path(path_type=Path, exists=True), metavar="EXPORT", help="An export to send, too.")
@options.study
@options.storage
@options.as_json
def command(
    tracker: str, sets: tuple[str, ...], model: Path | None, study: str | None, storage: str, as_json: bool
) -> None:
    """Send a study to a tracker: jsonl, tensorboard, mlflow, wandb, or a class of your own.

    Everything that is stored is sent: params, every metric of every epoch, how each trial ended. With `trackers:` in
    the space file that is done while the search runs.
    """
    from tuner.workflows.sync import sync

    synced = sync(tracker, storage=storage, study=study, sets=sets, model=model)
    if as_json:
        options.print_json(asdict(synced))
        return
    click.echo(f"sent {synced.study} to {synced.tracker}: {synced.n_trials} trials, {synced.n_epochs} epochs")
