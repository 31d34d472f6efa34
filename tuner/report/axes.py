"""The axis of a parameter: its range as the space has it, its choices as bands, and a place for where it is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuner.report.scales import Categories, Linear, Log, Scale, Tick
from tuner.report.text import scalar
from tuner.space.parameters import Choices, Domain, Scalar


@dataclass(frozen=True, slots=True)
class Axis:
    """Values of a parameter as numbers on a scale."""

    name: str
    scale: Scale
    _indices: Mapping[str, int] | None = None

    @classmethod
    def of(cls, name: str, domain: Domain, margin: float = 0.0) -> Axis:
        if isinstance(domain, Choices):
            labels = tuple(scalar(label) for label in domain.labels)
            return cls(name, Categories(labels), {label: index for index, label in enumerate(labels)})
        low, high = float(domain.low), float(domain.high)
        if low == high:
            return cls(name, Linear(low - 0.5, high + 0.5))
        if domain.log:
            room = (high / low) ** margin
            return cls(name, Log(low / room, high * room, n_ticks=4))
        room = margin * (high - low)
        is_whole = isinstance(domain.low, int)
        return cls(name, Linear(low - room, high + room, n_ticks=4, is_whole=is_whole))

    @property
    def is_categorical(self) -> bool:
        return self._indices is not None

    def number(self, value: Scalar) -> float:
        """A value as the scale takes it."""
        if self._indices is not None:
            return float(self._indices[scalar(value)])
        assert isinstance(value, (int, float))
        return float(value)

    def place(self, value: Scalar) -> float:
        return self.scale.place(self.number(value))

    def ticks(self) -> list[Tick]:
        return self.scale.ticks()
