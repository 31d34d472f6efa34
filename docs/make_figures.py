"""Draw the figures of "How it works": docs/images/{processes,rungs,lane-program,honesty}.svg.

    python docs/make_figures.py

They have a light ground of their own, so that they are legible on a dark page too.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

IMAGES = Path(__file__).with_name("images")
INK, SOFT, LINE, GROUND = "#1f2933", "#52606d", "#9aa5b1", "#fbfcfd"
BLUE, GREEN, AMBER, GREY = "#d6e6f7", "#d5efdc", "#fbe8c3", "#e8ecf0"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


class Figure:
    """Boxes, arrows and words on a grid of pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, lines: str = "", fill: str = BLUE) -> None:
        """A rounded box with centred lines; the first one is bold."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{LINE}"/>'
        )
        words = lines.split("\n") if lines else []
        top = y + height / 2 - (len(words) - 1) * 9 + 4.5
        for number, word in enumerate(words):
            self.text(x + width / 2, top + 18 * number, word, anchor="middle", bold=not number)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False, soft: bool = False
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        fill = SOFT if soft else INK
        self._parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(words)}</text>')

    def arrow(self, x: float, y: float, to_x: float, to_y: float, *, both: bool = False, dashed: bool = False) -> None:
        start = ' marker-start="url(#tip)"' if both else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<path d="M{x} {y} L{to_x} {to_y}" fill="none" stroke="{SOFT}" stroke-width="1.5"{dash}{start} '
            'marker-end="url(#tip)"/>'
        )

    def bar(self, x: float, y: float, width: float, fill: str) -> None:
        self._parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="14" rx="3" fill="{fill}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self._parts.append(f'<path d="M{x} {y} L{to_x} {to_y}" stroke="{LINE}" stroke-dasharray="3 4"/>')

    def save(self, name: str) -> None:
        width, height = self._size
        body = "\n".join(self._parts)
        (IMAGES / f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" font-family="{FONT}" font-size="14">\n'
            f"<title>{escape(self._title)}</title>\n"
            f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{SOFT}"/></marker></defs>\n'
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{GROUND}" '
            f'stroke="{LINE}"/>\n{body}\n</svg>\n',
            encoding="utf-8",
        )


def processes() -> None:
    figure = Figure(760, 330, "One driver decides and writes; workers train")
    figure.box(20, 120, 120, 70, "space file\nmlp.yaml", GREY)
    figure.arrow(140, 155, 198, 155)
    figure.box(200, 60, 200, 190, fill=BLUE)
    figure.text(300, 84, "driver", anchor="middle", bold=True)
    figure.box(220, 98, 160, 44, "controller\nsampler, schedule", "#eef5fc")
    figure.box(220, 150, 160, 44, "records\nbefore it answers", "#eef5fc")
    figure.text(300, 222, "imports no torch", anchor="middle", soft=True)
    figure.arrow(300, 250, 300, 272)
    figure.box(200, 274, 200, 40, "studies.db", GREY)
    for number, y in enumerate((40, 130, 220)):
        words = "worker\ntrains, evaluates" if number < 2 else "worker with lanes\nseveral trials at once"  # noqa: PLR2004
        figure.box(560, y, 180, 56, words, GREEN)
        figure.arrow(402, 110 + 40 * number, 558, y + 28, both=True)
    figure.text(470, 50, "job: params, epochs", anchor="middle", soft=True)
    figure.text(482, 182, "epoch: metrics", anchor="middle", soft=True)
    figure.text(470, 272, "go on, pause, stop", anchor="middle", soft=True)
    figure.arrow(650, 278, 650, 296)
    figure.text(650, 313, "runs/: checkpoints, logs", anchor="middle", soft=True)
    figure.save("processes")


def rungs() -> None:
    figure = Figure(760, 330, "The rungs of asha: of nine trials, three go on to epoch 3, one to the end")
    left, per_epoch, end = 120, 64, 9
    for epoch in (1, 3, end):
        x = left + per_epoch * epoch
        figure.line(x, 30, x, 290)
        label = {1: "rung: epoch 1", 3: "rung: epoch 3", end: "last epoch"}[epoch]
        figure.text(x, 22, label, anchor="middle", soft=True)
    reached = (1, 3, 1, 1, 9, 1, 3, 1, 1)
    for trial, epochs in enumerate(reached):
        y = 42 + 27 * trial
        figure.text(left - 16, y + 12, f"trial {trial}", anchor="end")
        fill = {1: "#b8c4ce", 3: "#f0c674", 9: "#7fbf92"}[epochs]
        figure.bar(left, y, per_epoch * epochs - 4, fill)
        words = {1: "waits", 3: "waits, ahead of the others", 9: "complete"}[epochs]
        if epochs < end:
            figure.text(left + per_epoch * epochs + 8, y + 12, words, soft=True)
    figure.text(left, 312, "9 trials of 9 epochs: 21 epochs are trained, not 81. What waits keeps its checkpoint.")
    figure.save("rungs")


def lane_program() -> None:
    figure = Figure(760, 250, "Lanes: trials of one shape share the calls of one program")
    figure.text(150, 30, "one after the other", anchor="middle", bold=True)
    for trial in range(3):
        y = 48 + 60 * trial
        figure.box(30, y, 110, 40, f"trial {trial}", GREEN)
        for call in range(4):
            figure.bar(160 + 34 * call, y + 13, 22, "#7fa8d1")
    figure.text(228, 240, "many small calls", anchor="middle", soft=True)
    figure.line(340, 24, 340, 232)
    figure.text(550, 30, "as lanes of one program", anchor="middle", bold=True)
    figure.box(370, 48, 150, 160, fill=GREEN)
    for trial, words in enumerate(("lr .01, dropout 0", "lr .003, dropout .2", "lr .1, dropout .1")):
        figure.text(445, 84 + 48 * trial, words, anchor="middle")
    for call in range(4):
        figure.box(545 + 48 * call, 48, 30, 160, fill="#7fa8d1")
    figure.text(555, 240, "same shape, stacked; own numbers, own fate", anchor="middle", soft=True)
    figure.save("lane-program")


def honesty() -> None:
    figure = Figure(760, 300, "What the training, validation and test parts are used for")
    figure.box(20, 30, 330, 44, "training part", BLUE)
    figure.box(360, 30, 170, 44, "validation part", AMBER)
    figure.box(540, 30, 200, 44, "test part: sealed", GREY)
    figure.arrow(185, 76, 185, 108)
    figure.arrow(445, 76, 300, 108)
    figure.box(60, 110, 330, 50, "search\nmany trials: the best is partly luck", "#eef5fc")
    figure.arrow(225, 162, 225, 186)
    figure.box(60, 188, 330, 50, "confirm\nthe best 3 on fresh seeds: the mean", "#eef5fc")
    figure.arrow(392, 213, 448, 213)
    figure.box(450, 188, 290, 50, "tuner best\nweights once more, then the test", GREEN)
    figure.arrow(640, 76, 640, 186, dashed=True)
    figure.text(652, 136, "once", soft=True)
    figure.text(20, 276, "Preprocessing is fitted on the training part alone.", soft=True)
    figure.save("honesty")


if __name__ == "__main__":
    processes()
    rungs()
    lane_program()
    honesty()
