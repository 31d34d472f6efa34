"""tuner schema."""

from __future__ import annotations

import click

from tuner.cli import options

EPILOG = """\b
Examples:
  tuner schema > tuner.schema.json
In an editor with yaml-language-server:
  # yaml-language-server: $schema=tuner.schema.json     (first line of the space file)
"""


@click.command(epilog=EPILOG)
def command() -> None:
    """Print the JSON Schema of space files, for completion and checks in an editor."""
    from tuner.config.jsonschema import json_schema

    options.print_json(json_schema())
