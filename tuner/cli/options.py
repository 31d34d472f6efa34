"""Options that several commands share."""

from __future__ import annotations

import json
from typing import Any

import click

from tuner.paths import DEFAULT_STORAGE

storage = click.option(
    "--storage",
    metavar="URL",
    envvar="TUNER_STORAGE",
    default=DEFAULT_STORAGE,
    show_default=True,
    help="Database, as an SQLAlchemy URL; also TUNER_STORAGE.",
)
study = click.option("--study", metavar="NAME", help="Study; default: the only or the latest one.")
run = click.option(
    "--run", "repeat", type=click.IntRange(min=1), metavar="K", help="The trial's run on fresh seed K instead."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
space = click.option(
    "--space", metavar="FILE", required=True, help="Space file: a path, or a shipped one such as mlp.yaml."
)
sets = click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="Override a value of the space file; may be repeated."
)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
