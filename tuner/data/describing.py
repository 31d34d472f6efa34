"""What a user's code raised, in a line, with the line of theirs that led to it."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

TUNER = Path(__file__).parents[1]
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
INSTALLED = ("site-packages", "dist-packages")
"""Folders of packages that somebody else wrote."""


def describe(error: BaseException) -> str:
    """`ValueError: bad pixel (mine.py:31)`, with the place where it was raised."""
    place = place_of(error)
    name, _, line = place.rpartition(":")
    where = f" ({Path(name).name}:{line})" if place else ""
    text = str(error).strip()
    return f"{type(error).__name__}{': ' + text if text else ''}{where}"


def place_of(error: BaseException) -> str:
    """The innermost `file.py:12` of the user's own code: what a library raises is caused by who called it.

    Without any it is the innermost of ours, else of all; empty for an error that was never raised.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    ours = [frame for frame in frames if not _is_library(Path(frame.filename))]
    own = [frame for frame in ours if not Path(frame.filename).is_relative_to(TUNER)]
    return next((f"{frame.filename}:{frame.lineno}" for frame in reversed(own or ours or frames)), "")


def _is_library(path: Path) -> bool:
    is_installed = any(part in INSTALLED for part in path.parts) and not path.is_relative_to(TUNER)
    return is_installed or path.is_relative_to(STANDARD_LIBRARY)
