"""tuner dashboard."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command(epilog="\b\nExamples:\n  tuner dashboard\n  tuner dashboard --port 0 --storage sqlite:///other.db")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
@options.storage
def command(port: int, storage: str) -> None:
    """Serve optuna-dashboard for the database, on 127.0.0.1 only.

    It has no password and can delete studies: do not make it reachable from other machines.
    """
    from tuner.workflows.dashboard import serve

    serve(storage, port, announce=lambda url: click.echo(f"{url}  (Ctrl-C ends it)"))
