"""The directive `tuner-command`: what a command takes, from Click itself, so that the page cannot be stale."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import ClassVar

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class TunerCommand(SphinxDirective):
    """Description, usage and options of `tuner NAME`."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(described(self.arguments[0]))


def described(name: str) -> str:
    """The Markdown of one command."""
    command: click.Command = import_module(f"tuner.cli.{name}").command
    context = click.Context(command, info_name=f"tuner {name}")
    lines = [inspect.cleandoc(command.help or ""), "", "```text", command.get_usage(context), "```", ""]
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{option}` | {meaning} |".replace("\n", " ") for option, meaning in map(_escaped, records)]
    return "\n".join(lines)


def _escaped(record: tuple[str, str]) -> tuple[str, str]:
    option, meaning = (text.replace("|", "\\|") for text in record)
    return option, meaning.replace("[", "\\[")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("tuner-command", TunerCommand)
    return {"parallel_read_safe": True}
