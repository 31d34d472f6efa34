"""How numbers read for people, wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.space.parameters import Scalar


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


FEWEST_FOR_SPREAD = 2


def spread(std: float | None, n_seeds: int) -> str:
    """What follows a mean over seeds: ` +- 0.01`, or why there is no such number."""
    if std is None or n_seeds < FEWEST_FOR_SPREAD:
        return ""
    return f" +- {number(std)}" if std > 0.0 else f", the same on all {n_seeds}"


def named(values: Mapping[str, float]) -> str:
    """Several objectives in a line: `val/accuracy 0.93, params 2410`."""
    return ", ".join(f"{name} {cell(name, value)}" for name, value in values.items())


def cell(name: str, value: float | None) -> str:
    """A metric or cost; parameters are counted, and shown to the last one."""
    return f"{value:.0f}" if name == "params" and value is not None else number(value)


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
