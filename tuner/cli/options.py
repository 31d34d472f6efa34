"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tuner.cli import completers
from tuner.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuner.config.edits import Given

Command = Callable[..., Any]

storage = click.option(
    "--storage",
    metavar="URL",
    envvar="TUNER_STORAGE",
    default=DEFAULT_STORAGE,
    show_default=True,
    help="Database, as an SQLAlchemy URL; also TUNER_STORAGE.",
)
study = click.option(
    "--study",
    metavar="NAME",
    shell_complete=completers.studies,
    help="Study; default: the only or the latest one.",
)
run = click.option(
    "--run", "repeat", type=click.IntRange(min=1), metavar="K", help="The trial's run on fresh seed K instead."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
space = click.option(
    "--space",
    metavar="FILE",
    required=True,
    shell_complete=completers.spaces,
    help="Space file: a path, or a shipped one such as mlp.yaml; `tuner init` makes one.",
)
sets = click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="Override a value of the space file; may be repeated."
)

_BUDGET = (
    click.option("--trials", metavar="N", help="Trials of the study in total, those of earlier runs included."),
    click.option("--timeout", metavar="TIME", help="Wall time of the study in total, such as 90s, 30m or 1h30m."),
    click.option("--workers", metavar="N", help="Processes that train; default: one a GPU, or one a core."),
    click.option("--lanes", metavar="N", help="Trials that one worker trains at once."),
    click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:N, xpu, xpu:N or mps."),
    click.option("--seed", metavar="N", help="Seed of everything that is drawn."),
)
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
_NAMES = ("study", "device")
"""Options whose values are text, whatever they look like."""


def budget(command: Command) -> Command:
    """The options of a search that say how much of it, and where."""
    for option in reversed(_BUDGET):
        command = option(command)
    return command


def overrides_of(given: dict[str, str | None]) -> tuple[dict[str, Any], list[Given]]:
    """Names as overrides, the other options as what they are short for."""
    from tuner.config.edits import Given

    there = {name: value for name, value in given.items() if value is not None}
    names: dict[str, Any] = {PATHS[name]: value for name, value in there.items() if name in _NAMES}
    texts = [
        Given(text=f"{PATHS[name]}={value}", typed=f"--{name} {value}")
        for name, value in there.items()
        if name not in _NAMES
    ]
    return names, texts


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
