"""From values to places along an axis, 0 to 1, and the ticks that name some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tuner.report.text import MINUS, duration

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PLAIN_LOW, _PLAIN_HIGH = 1e-3, 1e5
_FEW_DECADES = 1.5
_ROOM = 0.04
"""At each end of a range that is drawn around values, as a share of it."""


@dataclass(frozen=True, slots=True)
class Tick:
    place: float
    label: str


class Scale(Protocol):
    def place(self, value: float) -> float:
        """Where a value is, 0 at the low end and 1 at the high end; beyond them outside."""

    def ticks(self) -> list[Tick]: ...


@dataclass(frozen=True, slots=True)
class Linear:
    low: float
    high: float
    n_ticks: int = 5
    is_time: bool = False
    """Seconds, with labels such as `3 min`."""
    is_whole: bool = False
    """No ticks between whole numbers."""

    def place(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[Tick]:
        step = _nice_step(self.high - self.low, self.n_ticks)
        if self.is_whole:
            step = max(1.0, math.ceil(step))
        if self.is_time:
            step = _time_step(self.high - self.low, self.n_ticks)
        first = math.ceil(self.low / step - 1e-9)
        values = [step * (first + index) for index in range(2 + int((self.high - self.low) / step))]
        values = [0.0 if abs(value) < step * 1e-9 else value for value in values if value <= self.high + step * 1e-9]
        label = _time_label if self.is_time else lambda value: _label(value, step)
        return [Tick(self.place(value), label(value)) for value in values]

    @classmethod
    def around(cls, values: Sequence[float]) -> Linear:
        """Over all values, with some room at the ends."""
        low, high = min(values), max(values)
        room = (high - low) * _ROOM or abs(low) * 0.1 or 1.0
        return cls(low - room, high + room)


@dataclass(frozen=True, slots=True)
class Log:
    """Of positive values."""

    low: float
    high: float
    n_ticks: int = 5
    is_time: bool = False

    def place(self, value: float) -> float:
        if value <= 0.0:
            return -1.0
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[Tick]:
        decades = math.log10(self.high / self.low)
        values = self._decades(decades)
        if len(values) < 3:  # noqa: PLR2004  too few to read the scale by
            values = self._within_decades((1, 2, 5) if decades < _FEW_DECADES else (1, 3))
        label = _time_label if self.is_time else _short
        return [Tick(self.place(value), label(value)) for value in values]

    def _decades(self, decades: float) -> list[float]:
        stride = max(1, math.ceil(decades / self.n_ticks))
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1, stride)]

    def _within_decades(self, factors: tuple[int, ...]) -> list[float]:
        power = math.floor(math.log10(self.low))
        candidates = [factor * 10.0**exponent for exponent in range(power, power + 4) for factor in factors]
        inside = [value for value in candidates if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
        return inside[: self.n_ticks + 2] or [self.low, self.high]

    @classmethod
    def around(cls, values: Sequence[float], n_ticks: int = 5, *, is_time: bool = False) -> Log:
        low, high = min(values), max(values)
        room = (high / low) ** _ROOM if high > low else 1.5
        return cls(low / room, high * room, n_ticks, is_time)


@dataclass(frozen=True, slots=True)
class Categories:
    """As many bands of one width as there are labels; value i is in the middle of band i."""

    labels: tuple[str, ...]

    def place(self, value: float) -> float:
        return (value + 0.5) / len(self.labels)

    def ticks(self) -> list[Tick]:
        return [Tick(self.place(index), label) for index, label in enumerate(self.labels)]


def _nice_step(span: float, n_ticks: int) -> float:
    raw = span / max(1, n_ticks)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9))


_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def _time_step(span: float, n_ticks: int) -> float:
    raw = span / max(1, n_ticks)
    if raw < _TIME_STEPS[0]:
        return _nice_step(span, n_ticks)
    return next((step for step in _TIME_STEPS if step >= raw), 86400.0 * math.ceil(raw / 86400.0))


def _time_label(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.3g} s"
    if seconds < 3600:  # noqa: PLR2004
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 48 * 3600 else duration(seconds)


def _label(value: float, step: float) -> str:
    if value == 0.0:
        return "0"
    if (not _PLAIN_LOW <= abs(value) < _PLAIN_HIGH and step < _PLAIN_LOW / 10) or abs(value) >= _PLAIN_HIGH:
        return _short(value)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if step * 10**places % 1 > 1e-6:  # noqa: PLR2004  steps of 2.5
        places += 1
    return f"{value:.{places}f}".replace("-", MINUS)


def _short(value: float) -> str:
    """`0.001`, `1e-5`, `20k`."""
    if value >= 1e4:  # noqa: PLR2004
        return f"{value / 1e3:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M" if value < 1e9 else f"{value:.2g}"  # noqa: PLR2004
    if 0 < abs(value) < _PLAIN_LOW:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)
