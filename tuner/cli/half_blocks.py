"""Small pictures in a terminal: a character is two pixels, one above the other.

H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.data.scaling import Array

WIDTH = 19
"""Pixels of a picture's side: four of them fit into 80 columns."""
BOTH, UPPER, LOWER = "\u2588", "\u2580", "\u2584"
RESET = "\x1b[0m"


def side_by_side(images: Sequence[Array], titles: Sequence[str], *, coloured: bool) -> Iterator[str]:
    """Lines of text: the titles, and below them the pictures (uint8 [H, W, 3])."""
    from tuner.data.survey.pictures import shrunk

    small = [shrunk(image, WIDTH) for image in images]
    yield " ".join(title[:WIDTH].ljust(WIDTH) for title in titles).rstrip()
    columns = [list(_lines(image, coloured=coloured)) for image in small]
    for number in range(max(map(len, columns))):
        pieces = [
            lines[number] + " " * (WIDTH - image.shape[1]) if number < len(lines) else " " * WIDTH
            for lines, image in zip(columns, small, strict=True)
        ]
        yield " ".join(pieces).rstrip()
    yield ""


def _lines(image_HW3: Array, *, coloured: bool) -> Iterator[str]:
    middle = (float(image_HW3.min()) + float(image_HW3.max())) / 2
    for top, bottom in zip(image_HW3[::2], image_HW3[1::2], strict=True):
        if coloured:
            yield "".join(map(_colours, top.tolist(), bottom.tolist())) + RESET
        else:
            yield "".join(map(_character, top.mean(axis=1) > middle, bottom.mean(axis=1) > middle))


def _colours(top: Sequence[int], bottom: Sequence[int]) -> str:
    above, below = (";".join(map(str, colour)) for colour in (top, bottom))
    return f"\x1b[38;2;{above}m\x1b[48;2;{below}m{UPPER}"


def _character(top: bool, bottom: bool) -> str:
    if top:
        return BOTH if bottom else UPPER
    return LOWER if bottom else " "
