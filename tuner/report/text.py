"""Numbers and times as people read them."""

from __future__ import annotations

import math
import time

from tuner import wording
from tuner.space.parameters import Scalar

NONE, MINUS = "\u2013", "\u2212"
"""An en dash where there is no value; the sign that is as wide as a plus."""
_DIGITS = 4
_GIGA = 1e9


def number(value: float | None, digits: int = 5) -> str:
    """`0.98329`, `1.2e-05`; a dash for none."""
    return NONE if value is None else f"{value:.{digits}g}"


def measure(name: str, value: float | None) -> str:
    """A metric or a cost: parameters are counted, and shown to the last one."""
    if value is not None and name == "params":
        return f"{value:,.0f}".replace(",", "\u202f")
    return number(value)


def spread(mean: float, std: float | None) -> str:
    """`0.9819 ± 0.0020`: as many digits as the deviation makes sense of."""
    if std is None or not math.isfinite(std):
        return number(mean)
    if std == 0.0:
        return f"{number(mean)} ± 0"
    places = max(0, 1 - math.floor(math.log10(std)))
    if places > 2 * _DIGITS or abs(mean) >= 10**_DIGITS:
        return f"{number(mean)} ± {number(std, 2)}"
    return f"{mean:.{places}f} ± {std:.{places}f}"


def signed(value: float) -> str:
    """`+0.012`, `-0.5` with a real minus."""
    return f"{value:+.3g}".replace("-", MINUS)


def scalar(value: Scalar) -> str:
    """As a space file has it: `0.0001`, `true`, `null`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rounded(value: float) -> str:
    """Three digits, without an exponent where it is shorter: `0.333`, `33300`, `1e-09`."""
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e+0" in text else text


def percent(share: float) -> str:
    """`41 %`, `0.3 %`."""
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0.0 else f"{100 * share:.1f} %"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """`12 ms`, `0.8 s`, `42 s`, `3 min 07 s`, `2 h 05 min`."""
    if 0.0 < seconds < 0.1:  # noqa: PLR2004  which is none in tenths of a second
        return f"{1e3 * seconds:.0f} ms"
    return wording.duration(seconds)


def size(n_bytes: float) -> str:
    """`812 kB`, `1.4 MB`."""
    if n_bytes < 1e6:  # noqa: PLR2004
        return f"{n_bytes / 1e3:.0f} kB"
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes < _GIGA else f"{n_bytes / _GIGA:.1f} GB"


def moment(seconds: float) -> str:
    """`2026-11-24 18:42`, in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`; `1 run`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:  # noqa: PLR2004
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"
