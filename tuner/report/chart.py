"""Charts without a library: SVG that is stretched to any width, labels beside it as text of one size.

The picture has a box of 10000 by 10000 that is stretched to where it stands, and strokes that are not: lines stay as
thin and dots as round on a phone as on paper, and labels never shrink. Colours are classes, so that the page's style
sheet has them for light, dark and print. A report of 200 trials is a tenth of what a charting library alone would
take, needs no script to be seen, and prints as drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from tuner.report.scales import Scale

BOX = 10000
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """Text inside the picture, at values of its axes."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"
    style: str = ""
    title: str = ""
    """The whole of a text that is shortened."""


@dataclass(slots=True)
class Chart:
    """One picture with its two axes; marks are drawn in the order in which they are added."""

    x: Scale
    y: Scale
    x_title: str = ""
    y_title: str = ""
    height: int = 260
    """Pixels."""
    has_y_labels: bool = True
    has_x_labels: bool = True
    has_grid: bool = True
    min_width: int = 0
    """Pixels below which it is scrolled; 0 where it may become as narrow as a phone."""
    name: str = ""
    """What it shows, for those who do not see it."""
    style: str = ""
    """A class of the whole picture."""
    legend: list[tuple[str, str]] = field(default_factory=list)
    """A class and what it stands for."""
    _marks: list[str] = field(default_factory=list)
    _labels: list[Label] = field(default_factory=list)

    def line(self, points: Iterable[Point], style: str, trial: int | None = None, title: str = "") -> None:
        """A line through points; a single one becomes a dot."""
        found = [f"{self._at(point)}" for point in points]
        if len(found) == 1:
            self._add(f"M{found[0]}h.1", f"{style} point", trial, title)
        elif found:
            self._add("M" + "L".join(found), style, trial, title)

    def steps(self, points: Sequence[Point], style: str, until: float | None = None) -> None:
        """A line that keeps its value until the next point, the last one `until` there."""
        if not points:
            return
        path = [f"M{self._at(points[0])}"]
        for before, after in itertools.pairwise(points):
            path.append(f"L{self._at((after[0], before[1]))}L{self._at(after)}")
        if until is not None:
            path.append(f"L{self._at((until, points[-1][1]))}")
        self._add("".join(path), style)

    def dot(self, x: float, y: float, style: str, trial: int | None = None, title: str = "") -> None:
        self._add(f"M{self._at((x, y))}h.1", f"dot {style}", trial, title)

    def box(self, low: Point, high: Point, style: str, trial: int | None = None, title: str = "") -> None:
        """A filled rectangle between two corners."""
        (x0, y0), (x1, y1) = self._place(low), self._place(high)
        left, top, width, height = min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
        path = f"M{left} {top}h{max(width, 1)}v{max(height, 1)}h{-max(width, 1)}z"
        self._add(path, f"fill {style}", trial, title)

    def upright(self, x: float, style: str) -> None:
        """A line over the whole height."""
        left = self._x(x)
        self._add(f"M{left} 0V{BOX}", style)

    def label(self, label: Label) -> None:
        self._labels.append(label)

    def _add(self, path: str, style: str, trial: int | None = None, title: str = "") -> None:
        of = "" if trial is None else f' data-t="{trial}"'
        inside = f"><title>{escape(title)}</title></path>" if title else "/>"
        self._marks.append(f'<path class="{style}"{of} d="{path}"{inside}')

    def _x(self, value: float) -> int:
        return _clamped(BOX * self.x.place(value))

    def _y(self, value: float) -> int:
        return _clamped(BOX * (1.0 - self.y.place(value)))

    def _place(self, point: Point) -> tuple[int, int]:
        return self._x(point[0]), self._y(point[1])

    def _at(self, point: Point) -> str:
        return f"{self._x(point[0])} {self._y(point[1])}"

    # ------------------------------------------------------------------------------------------------------- as HTML

    def html(self) -> str:
        y_ticks = self.y.ticks()
        widest = max((len(tick.label) for tick in y_ticks), default=0) if self.has_y_labels else 0
        style = f"--h:{self.height}px;--yw:{1.1 + 0.62 * widest:.2f}em"
        style += f";min-width:{self.min_width}px" if self.min_width else ""
        grid = "".join(f"M0 {_clamped(BOX * (1 - tick.place))}H{BOX}" for tick in y_ticks) if self.has_grid else ""
        return (
            f"{self._legend()}"
            f'<div class="scroll {self.style}"><div class="plot" style="{style}">'
            f"{_part('ytitle', escape(self.y_title)) if self.y_title else ''}"
            f'<div class="yaxis">{self._y_labels()}</div>'
            f'<div class="area"><svg viewBox="0 0 {BOX} {BOX}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(self.name or self.y_title)}"><path class="grid" d="{grid}"/>'
            f"{''.join(self._marks)}</svg>{''.join(map(self._label_html, self._labels))}</div>"
            f'<div class="xaxis">{self._x_labels()}</div>'
            f"{_part('xtitle', escape(self.x_title)) if self.x_title else ''}</div></div>"
        )

    def _y_labels(self) -> str:
        if not self.has_y_labels:
            return ""
        return "".join(
            f'<span style="top:{100 * (1 - tick.place):.2f}%">{escape(tick.label)}</span>' for tick in self.y.ticks()
        )

    def _x_labels(self) -> str:
        if not self.has_x_labels:
            return ""
        return "".join(
            f'<span style="left:{100 * tick.place:.2f}%">{escape(tick.label)}</span>' for tick in self.x.ticks()
        )

    def _label_html(self, label: Label) -> str:
        left, top = 100 * self.x.place(label.x), 100 * (1 - self.y.place(label.y))
        title = f' title="{escape(label.title)}"' if label.title not in ("", label.text) else ""
        return (
            f'<span class="label {label.anchor} {label.style}" style="left:{left:.2f}%;top:{top:.2f}%"{title}>'
            f"{escape(label.text)}</span>"
        )

    def _legend(self) -> str:
        if not self.legend:
            return ""
        items = "".join(f'<li><i class="key {style}"></i>{escape(text)}</li>' for style, text in self.legend)
        return f'<ul class="legend">{items}</ul>'


def _part(name: str, text: str) -> str:
    return f'<div class="{name}">{text}</div>'


def _clamped(value: float) -> int:
    """Inside the box or a little outside of it: numbers far beyond make some viewers draw nothing."""
    return round(min(3 * BOX, max(-2 * BOX, value)))
