"""A curve in one line of characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
WIDE = 100.0
"""From this ratio of the largest to the smallest value on a curve is drawn by its logarithm: a loss that begins at 50
and ends at .3 would be a flat line after its first epoch."""


def sparkline(values: Sequence[float], width: int) -> str:
    """The finite values from left to right in at most `width` characters, the lowest at the bottom.

    Where there are more values than characters, each shows the last of its share.
    """
    shown = _last_of_each([value for value in values if math.isfinite(value)], width)
    if not shown:
        return ""
    heights = _heights(shown)
    low, high = min(heights), max(heights)
    if high == low:
        return BLOCKS[len(BLOCKS) // 2 - 1] * len(shown)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round(top * (height - low) / (high - low))] for height in heights)


def _last_of_each(values: Sequence[float], width: int) -> Sequence[float]:
    if len(values) <= width:
        return values
    return [values[(index + 1) * len(values) // width - 1] for index in range(width)]


def _heights(values: Sequence[float]) -> list[float]:
    if min(values) > 0.0 and max(values) / min(values) >= WIDE:
        return [math.log(value) for value in values]
    return list(values)
