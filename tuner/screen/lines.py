"""Lines of styled text with fixed columns: what a view is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rich.cells import cell_len, set_cell_size

GAP = 2
"""Characters between two columns."""


class Role(Enum):
    """What a piece of text is, from which its colour follows."""

    PLAIN = auto()
    STRONG = auto()
    DIM = auto()
    GOOD = auto()
    BAD = auto()
    CURVE = auto()
    DONE = auto()
    """Of a bar."""


@dataclass(frozen=True, slots=True)
class Part:
    text: str
    role: Role = Role.PLAIN


Line = tuple[Part, ...]
BLANK: Line = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    title: str
    width: int
    is_left: bool = False
    role: Role = Role.PLAIN

    def cell(self, text: str) -> str:
        """The text in exactly the column's width."""
        text = fit(text, self.width)
        space = " " * (self.width - cell_len(text))
        return text + space if self.is_left else space + text


def clean(text: str) -> str:
    """Without what would move the cursor, or colour the rest: names and messages of users reach the screen."""
    return "".join(character if character.isprintable() else " " for character in text)


def fit(text: str, width: int) -> str:
    """The text as far as it goes into a width; an ellipsis says that there is more."""
    text = clean(text)
    return text if cell_len(text) <= width else f"{set_cell_size(text, max(0, width - 1))}…"


def wrapped(text: str, width: int, n_lines: int) -> list[str]:
    """The text in at most so many lines, broken between words; an ellipsis says that there is more."""
    lines: list[str] = []
    rest = " ".join(clean(text).split())
    while rest and len(lines) < n_lines - 1 and cell_len(rest) > width:
        at = rest.rfind(" ", 0, width + 1)
        at = at if at > width // 2 else width
        lines.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*lines, fit(rest, width)] if rest else lines


def cut(line: Line, width: int) -> Line:
    """The line as far as it goes into a width, and without what a terminal would act on."""
    line = tuple(part if part.text.isprintable() else Part(clean(part.text), part.role) for part in line)
    if sum(cell_len(part.text) for part in line) <= width:
        return line
    shown: list[Part] = []
    for part in line:
        room = width - sum(cell_len(item.text) for item in shown)
        if room > 0:
            shown.append(Part(fit(part.text, room), part.role))
    return tuple(shown)


def between(left: Line, right: Line, width: int) -> Line:
    """One part at the left edge and one at the right, which stays whole."""
    room = width - sum(cell_len(part.text) for part in right) - GAP
    shown: list[Part] = []
    for part in left:
        text = fit(part.text, room)
        room -= cell_len(text)
        shown.append(Part(text, part.role))
    return (*shown, Part(" " * (max(0, room) + GAP)), *right)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[Line]:
    """A header and the rows, each column in its width."""
    head = tuple(Part(_joined(column.cell(column.title), index), Role.DIM) for index, column in enumerate(columns))
    return [head, *(_row(columns, row) for row in rows)]


def _row(columns: Sequence[Column], row: Sequence[str]) -> Line:
    return tuple(
        Part(_joined(column.cell(text), index), column.role)
        for index, (column, text) in enumerate(zip(columns, row, strict=True))
    )


def _joined(text: str, index: int) -> str:
    return f"{' ' * GAP}{text}" if index else text


def pairs(items: Sequence[tuple[str, str]], width: int, *, indent: int = 2) -> list[Line]:
    """Names with their values in as many equal columns as there is room for, whole ones only."""
    if not items:
        return []
    texts = [(fit(name, width // 2), fit(value, width // 2 - indent - 1)) for name, value in items]
    widest = max(cell_len(name) + 1 + cell_len(value) for name, value in texts)
    n_columns = max(1, (width - indent + GAP) // (widest + GAP))
    lines = []
    for first in range(0, len(texts), n_columns):
        parts = [Part(" " * indent)]
        for name, value in texts[first : first + n_columns]:
            space = " " * (widest + GAP - cell_len(name) - 1 - cell_len(value))
            parts += [Part(f"{name} ", Role.DIM), Part(value + space)]
        lines.append(tuple(parts))
    return lines


def flow(items: Sequence[Part], width: int, gap: int = GAP) -> list[Line]:
    """The items one after another, each whole, in as many lines as that takes."""
    lines: list[list[Part]] = [[]]
    room = width
    for item in items:
        needed = cell_len(item.text) + (gap if lines[-1] else 0)
        if needed > room and lines[-1]:
            lines.append([])
            room, needed = width, cell_len(item.text)
        text = fit(item.text, width)
        lines[-1].append(Part(f"{' ' * gap}{text}" if lines[-1] else text, item.role))
        room -= needed
    return [tuple(line) for line in lines if line]


def whole_ones(texts: Sequence[str], width: int, separator: str) -> str:
    """As many of the texts as fit as they are, and how many there are besides."""
    shown = ""
    for index, text in enumerate(texts):
        longer = f"{shown}{separator}{text}" if shown else text
        more = len(texts) - index - 1
        if cell_len(longer) + (len(f"{separator}+{more}") if more else 0) > width:
            left = f"+{len(texts) - index}"
            return f"{shown}{separator}{left}" if shown else left
        shown = longer
    return shown
