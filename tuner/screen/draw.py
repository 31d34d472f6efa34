"""Lines in the colours of a terminal, or as HTML.

Only the sixteen colours that every theme has, and none that a dark or a light one hides. Without colours (NO_COLOR)
bold and dim remain, and a bar's two halves are different characters.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from tuner.screen.lines import Line, Part, Role

STYLES: dict[Role, str] = {
    Role.PLAIN: "",
    Role.STRONG: "bold",
    Role.DIM: "dim",
    Role.GOOD: "green",
    Role.BAD: "red",
    Role.CURVE: "cyan",
    Role.DONE: "green",
}
HTML_STYLES: dict[Role, str] = {
    Role.PLAIN: "",
    Role.STRONG: "font-weight: bold",
    Role.DIM: "opacity: 0.6",
    Role.GOOD: "color: #2c9a4b",
    Role.BAD: "color: #d9534f",
    Role.CURVE: "color: #1b95b0",
    Role.DONE: "color: #2c9a4b",
}
"""On the page's own background, which may be dark."""
ASCII = str.maketrans("▁▂▃▄▅▆▇█━─…", "_.,-=+*#=-~")
"""For terminals whose encoding has no such characters."""


def draw(lines: Iterable[Line], console: Console) -> Text:
    """One text of all lines, none of which wraps in a console of the width that they were made for."""
    is_ascii = not console.encoding.startswith("utf")
    text = Text(no_wrap=True, overflow="crop", end="")
    for index, line in enumerate(lines):
        if index:
            text.append("\n")
        for part in line:
            text.append(_encodable(part.text, console.encoding) if is_ascii else part.text, STYLES[part.role])
    return text


def _encodable(text: str, encoding: str) -> str:
    return text.translate(ASCII).encode(encoding, "replace").decode(encoding)


def as_html(lines: Iterable[Line]) -> str:
    """One block of text in the page's own colours."""
    shown = "\n".join("".join(map(_span, line)) for line in lines)
    return f'<pre style="white-space: pre; overflow-x: auto; line-height: 1.25; font-family: monospace">{shown}</pre>'


def _span(part: Part) -> str:
    text, style = html.escape(part.text), HTML_STYLES[part.role]
    return f'<span style="{style}">{text}</span>' if style else text
