"""Take the pictures of docs/images/screen-*: the terminal at 80 and at 160 columns, and pages in a browser.

    python docs/screenshots.py [--only terminal]

Each is of a real run in a temporary folder. A terminal is read by an emulator (pyte) and drawn as SVG. Pages are
photographed by headless Chromium (playwright); without a browser they are left out, with a word.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

IMAGES = Path(__file__).with_name("images")
ROOT = Path(__file__).resolve().parent.parent
ROWS = 34
CELL_W, CELL_H, MARGIN = 8.4, 18, 12
INK, GROUND = "#d8dee9", "#20242c"
COLOURS = {
    "default": INK,
    "black": "#5b6472",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "yellow": "#e5c07b",
    "blue": "#7fb2e5",
    "magenta": "#c8a2e0",
    "cyan": "#6fc3cf",
    "white": "#eef1f5",
}
SEARCH = ("search", "--space", "mlp.yaml", "--trials", "60", "--set", "train.epochs=27")
MIDDLE = re.compile(r"\b[2-4]\d/60\b.*\bepoch\b", re.DOTALL)


class Terminal:
    """A command in a terminal of so many columns."""

    def __init__(self, arguments: tuple[str, ...], *, columns: int, folder: Path) -> None:
        self.screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        environment.pop("COLUMNS", None)
        self._process = subprocess.Popen(  # noqa: S603 - tuner itself
            [sys.executable, "-m", "tuner", *arguments],
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def run(self, until: Callable[[str], bool] = lambda _: False) -> bool:
        """Read until the screen is so, or the command has ended; says whether it was so."""
        while content := self._read():
            self._stream.feed(content)
            if until("\n".join(self.screen.display)):
                return True
        self._process.wait()
        return False

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError:  # the other end was closed
            return b""


def drawn(screen: pyte.Screen) -> str:
    """The screen as SVG, without the empty rows at its end."""
    filled = [row for row, text in enumerate(screen.display) if text.strip()]
    n_rows = (filled[-1] if filled else 0) + 1
    width, height = 2 * MARGIN + screen.columns * CELL_W, 2 * MARGIN + n_rows * CELL_H
    rows = "\n".join(_row(screen, row) for row in range(n_rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace, \'DejaVu Sans Mono\', monospace" '
        f'font-size="14">\n<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>\n{rows}\n</svg>\n'
    )


def _row(screen: pyte.Screen, row: int) -> str:
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    y = MARGIN + (row + 0.75) * CELL_H
    parts = []
    for (fill, is_bold), group in groupby(cells, key=lambda item: (_colour(item[1].fg), item[1].bold)):
        run = list(group)
        text = "".join(cell.data for _, cell in run).rstrip()
        if text:
            x = MARGIN + run[0][0] * CELL_W
            weight = ' font-weight="bold"' if is_bold else ""
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{len(text) * CELL_W:.1f}" xml:space="preserve" '
                f'fill="{fill}"{weight}>{escape(text)}</text>'
            )
    return "".join(parts)


def _colour(name: str) -> str:
    plain = name.removeprefix("bright")
    return COLOURS.get(plain, f"#{name}" if re.fullmatch(r"[0-9a-f]{6}", name) else INK)


def terminals(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and picture: a search in the middle and at its end, at both widths, and the commands that look."""
    for columns in (80, 160):
        terminal = Terminal((*SEARCH, "--study", f"digits-{columns}"), columns=columns, folder=folder)
        if terminal.run(until=lambda text: bool(MIDDLE.search(text))):
            yield f"search-{columns}", drawn(terminal.screen)
        terminal.run()
        looking = Terminal(("status", "--study", f"digits-{columns}"), columns=columns, folder=folder)
        looking.run()
        yield f"status-{columns}", drawn(looking.screen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("terminal", "browser"), help="default: both")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if only != "browser":
            for picture, svg in terminals(folder):
                (IMAGES / f"screen-{picture}.svg").write_text(svg, encoding="utf-8")
        if only != "terminal":
            from screenshots_browser import photograph

            photograph(folder, IMAGES)


if __name__ == "__main__":
    main()
