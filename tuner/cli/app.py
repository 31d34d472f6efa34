"""tuner app."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExamples:\n  tuner app exports/mlp-12\n  tuner app exports/mlp-12 --host 0.0.0.0 --port 80")
@click.argument("export", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others in, with a token.")
@click.option("--token", envvar="TUNER_APP_TOKEN", help="What requests must know; also TUNER_APP_TOKEN.")
@click.option("--max-mb", type=click.FloatRange(min=0.001), default=10.0, show_default=True, help="Of one request.")
@click.option("--allow-code", is_flag=True, help="Run the code that the export brings, if its model needs it.")
def command(export: Path, port: int, host: str, token: str | None, max_mb: float, allow_code: bool) -> None:
    """Try an export in the browser: a page made for what the model takes, and a JSON API.

    Draw a digit, drop an image, fill in a form, paste a text. It is served on this machine only, unless --host says
    otherwise; then requests need a token, which is part of the address that is printed.
    """
    from tuner.service.server import serve

    serve(
        export,
        announce=lambda url: click.echo(f"{url}  (Ctrl-C ends it)"),
        host=host,
        port=port,
        token=token,
        max_mb=max_mb,
        allow_code=allow_code,
    )
