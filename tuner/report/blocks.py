"""What a report is made of, whatever it is written as: HTML and Markdown have the same facts.

Texts hold what users named, as it is: whoever writes them out escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tuner.report.chart import Chart

Tone = Literal["", "good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Strong:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A command, a name of a parameter: set as it is typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial by its number: on the page, what shows it in every figure."""

    number: int
    word: str = "trial"


Inline = str | Strong | Code | Trial
Text = tuple[Inline, ...]
Cell = Inline


def prose(*parts: Inline) -> Text:
    """A text of these parts, of which the long ones may be written in several pieces."""
    return parts


def coded(text: str) -> Text:
    """A text in which commands stand between backticks, as messages have them."""
    return tuple(Code(part) if index % 2 else part for index, part in enumerate(text.split("`")))


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: Text
    is_lead: bool = False
    """Set larger: what to read if nothing else."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What to know, or to do, and why."""

    tone: Tone
    text: Text


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Table:
    header: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    """The columns that are set to the right."""
    marked: frozenset[int] = frozenset()
    """The rows that stand out."""
    shades: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """How dark a cell is, 0 to 1, by row and column; none for most tables."""
    is_compact: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    items: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture; where there are none, its table."""

    title: str
    chart: Chart
    caption: Text = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Pictures side by side, as many as there is room for."""

    items: tuple[Figure, ...]
    min_width: int = 300
    """Pixels."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Tables side by side, as far as there is room."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """What few readers need: closed on the page, left out of Markdown unless `is_kept`."""

    summary: str
    blocks: tuple[Block, ...]
    is_kept: bool = False


Block = Paragraph | Notice | Bullets | Table | Listing | Tiles | Figure | Figures | Columns | Fold


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    subtitle: Text
    sections: tuple[Section, ...]
    trials: Sequence[Mapping[str, Any]] = ()
    """What the page says of a trial under the pointer: plain data."""
    footer: Text = ()
