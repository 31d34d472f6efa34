"""Plain tables and numbers for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tuner.space.parameters import Scalar

if TYPE_CHECKING:
    from tuner.study.queries import TrialRow


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; nothing is ever cut, so that the output can be piped."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(lines)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def named(values: Mapping[str, float]) -> str:
    """Several objectives in a line: `val/accuracy 0.93, params 2410`."""
    return ", ".join(f"{name} {cell(name, value)}" for name, value in values.items())


def cell(name: str, value: float | None) -> str:
    """A metric or cost; parameters are counted, and shown to the last one."""
    return f"{value:.0f}" if name == "params" and value is not None else number(value)


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


def scalar(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 07 s`, `2 h 05 min`."""
    if seconds < 10:  # noqa: PLR2004  below it a tenth matters
        return f"{seconds:.1f} s"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def span(low: float, high: float) -> str:
    """`3.1 s to 6.2 s`."""
    return f"{duration(low)} to {duration(high)}"


def size(n_bytes: float) -> str:
    """`312 MB`, `1.4 GB`."""
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.1f} GB"  # noqa: PLR2004
