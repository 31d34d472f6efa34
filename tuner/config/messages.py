"""The words of config errors: nearest names, and the collection of all problems of a file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tuner.errors import ConfigError, Place

if TYPE_CHECKING:
    from tuner.space.document import Located  # workers give hints too, and need no YAML

MAX_SHOWN = 100
"""Problems in one error; a file with more is no space file."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that `name` was probably meant to be; None when none is near."""
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'mlp'?`, or else all that there is."""
    known = list(names)
    near = nearest(name, known)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; available: {', '.join(known)}" if known else ""


def unknown_key(key: str, names: Iterable[str]) -> str:
    """What to say about a key that is not there."""
    known = list(names)
    name, colon, _ = key.partition(":")
    if colon and name in known:
        return f"unknown key; put a space after the colon of {name}:"
    return "unknown key" + suggestion(key, known)


class Problems:
    """All problems of one space file, each once, in the order of the file."""

    def __init__(self, found: Iterable[Place] = ()) -> None:
        self._places: dict[Place, None] = dict.fromkeys(found)
        # What could not be read as a value is not judged as one a second time.
        self._unreadable = {(place.file, place.line, place.column) for place in self._places if place.line}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, node: Located, path: str, message: str, *, at_key: bool = False) -> None:
        self.add_place(node.place(path, message, at_key=at_key))

    def add_place(self, place: Place) -> None:
        if (place.file, place.line, place.column) not in self._unreadable:
            self._places[place] = None

    def raise_if_any(self) -> None:
        """Raise one ConfigError with all of them, by file, line and column; does nothing when there are none."""
        if not self._places:
            return
        files = [place.file for place in self._places]
        first = next((file for file in files if file and not file.startswith("--")), "")  # the file before what was set
        order = sorted(self._places, key=lambda place: (place.file != first, place.file, place.line, place.column))
        shown = order[:MAX_SHOWN]
        if len(order) > MAX_SHOWN:
            shown.append(Place(file=first, message=f"and {len(order) - MAX_SHOWN} more problems"))
        raise ConfigError.of(shown)
