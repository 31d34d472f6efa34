"""tuner completion."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from tuner.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
EPILOG = """\b
Examples:
  eval "$(tuner completion bash)"        as a line of ~/.bashrc
  eval "$(tuner completion zsh)"         as a line of ~/.zshrc
  tuner completion fish > ~/.config/fish/completions/tuner.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> None:
    """Print what makes your shell complete commands, options, studies and space files.

    Without SHELL it is for the one that you use.
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(name) if name in SHELLS else None
    if found is None:
        raise UsageError(f"completion is for {', '.join(SHELLS)}; name one: `tuner completion bash`")

    from tuner.cli.main import cli

    click.echo(found(cli, {}, "tuner", "_TUNER_COMPLETE").source())
