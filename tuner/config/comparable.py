"""What a search over the data's options needs so that its trials are scored on the same rows, in the same units."""

from __future__ import annotations

from collections.abc import Collection

from tuner.config.messages import Problems
from tuner.config.schema import Section
from tuner.config.schema.series import SeriesData
from tuner.config.schema.sources import DataSection
from tuner.config.schema.text import CharacterData
from tuner.space.document import Located
from tuner.space.parameters import Space

WINDOW = "data.window"
FREE = (
    "batch_size",
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "timeout",
    "drop_last",
    "scale_targets",
    "sampler",
    "augment",
    "perturb",
)
"""Options of the data that leave the prepared inputs as they are."""
CHARACTERS = ("data.lowercase", "data.context")
"""Options of a long text that change which characters are told."""


def check_windows(root: Located, data: Section | None, space: Space, problems: Problems) -> None:
    """A longer window leaves fewer rows of a part to predict, unless it may look back across the cut and no gaps."""
    if not isinstance(data, SeriesData) or (data.look_back and data.gaps != "split"):
        return
    if data.gaps == "split":
        message = "windows of different lengths would be scored on different rows, as none crosses a gap"
        remedy = "take one length, or set data.gaps: ignore and data.look_back: true"
    else:
        message = "windows of different lengths would be scored on different rows"
        remedy = "set data.look_back: true"
    _refuse(root, space, (WINDOW,), f"{message}; {remedy}", problems)


def check_targets_in_inputs(root: Located, data: Section | None, space: Space, problems: Problems) -> None:
    """Where the targets are made of the inputs, what changes the inputs changes what a trial is scored by."""
    if isinstance(data, CharacterData):
        message = "trials would be scored on other characters with each value; take one for the whole study"
        _refuse(root, space, CHARACTERS, message, problems)
    if isinstance(data, DataSection) and data.task == "autoencoding":
        searched = [parameter.name for parameter in space.parameters]
        changing = [name for name in searched if name.startswith("data.") and name.split(".")[1] not in FREE]
        message = (
            "it changes the inputs, which are the targets of task: autoencoding, so that trials would be scored in "
            "different units; take one value for the whole study"
        )
        _refuse(root, space, changing, message, problems)


def _refuse(root: Located, space: Space, names: Collection[str], message: str, problems: Problems) -> None:
    nodes = root.items["space"].items if "space" in root.items else {}
    for parameter in space.parameters:
        if parameter.name in names and parameter.name in nodes:
            problems.add(nodes[parameter.name], f"space.{parameter.name}", message, at_key=True)
