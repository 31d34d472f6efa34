"""Durations as people write them: seconds, or text such as `90s`, `30m`, `1h30m`."""

from __future__ import annotations

import re

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in _UNITS_S), re.ASCII)
PATTERN = r"^(?=\d)" + "".join(rf"(\d+(\.\d+)?{unit})?" for unit in _UNITS_S) + "$"
"""The same as a regular expression for JSON Schema."""


def parse_duration(text: str) -> float:
    """Seconds in `text`, units from the largest to the smallest, each at most once.

    Raises ValueError for any other text; a bare number is none, since its unit would be a guess.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not match.group():
        raise ValueError(f"expected a duration such as 90s, 30m or 1h30m, got {text!r}")
    return sum(float(count) * _UNITS_S[unit] for unit, count in match.groupdict().items() if count)


def format_duration(seconds: float) -> str:
    """Seconds as the shortest text that `parse_duration` reads back: 5400 is `1h30m`."""
    parts: list[str] = []
    rest = seconds
    for unit, size_s in _UNITS_S.items():
        count = rest / size_s if unit == "s" else rest // size_s
        if count:
            parts.append(f"{count:g}{unit}")
        rest -= count * size_s
    return "".join(parts) or "0s"
