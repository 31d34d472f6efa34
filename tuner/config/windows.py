"""What a search over the windows of a forecast needs so that its trials can be compared."""

from __future__ import annotations

from tuner.config.messages import Problems
from tuner.config.schema import Section
from tuner.config.schema.series import SeriesData
from tuner.space.document import Located
from tuner.space.parameters import Space

WINDOW = "data.window"


def check_windows(root: Located, data: Section | None, space: Space, problems: Problems) -> None:
    """A longer window leaves fewer rows of a part to predict, unless it may look back across the cut."""
    if not isinstance(data, SeriesData) or data.look_back:
        return
    if any(parameter.name == WINDOW for parameter in space.parameters):
        message = "windows of different lengths would be scored on different rows; set data.look_back: true"
        problems.add(root.items["space"].items[WINDOW], f"space.{WINDOW}", message)
