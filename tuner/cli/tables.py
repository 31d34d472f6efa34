"""Plain tables and numbers for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.wording import cell, duration, named, number, scalar, size, span, spread

if TYPE_CHECKING:
    from tuner.study.rows import TrialRow

__all__ = [
    "best_line",
    "cell",
    "duration",
    "front_table",
    "named",
    "number",
    "render",
    "scalar",
    "size",
    "span",
    "spread",
]


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; nothing is ever cut, so that the output can be piped."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(lines)


def best_line(best: TrialRow) -> str:
    """The best trial; of several objectives the one that `tuner best` would pick."""
    if best.values is None:
        return f"best: trial {best.number} with {number(best.value)}"
    return f"knee: trial {best.number} with {named(best.values)}"


def front_table(front: Sequence[TrialRow]) -> str:
    """The trials on the front, by their first objective."""
    names = list(front[0].values or {})
    rows = [
        [str(trial.number), *(cell(name, value) for name, value in (trial.values or {}).items())]
        for trial in sorted(front, key=lambda trial: tuple((trial.values or {}).values()))
    ]
    return f"front: {len(front)} trial{'s' * (len(front) > 1)}\n" + render(["trial", *names], rows)
