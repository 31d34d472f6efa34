"""Columns of dates and times, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import numpy as np

from tuner.data.missing import is_missing
from tuner.data.numeric import Scale, affine
from tuner.data.scaling import Array
from tuner.errors import RowError

DAY_S = 86400.0
PERIODS_DAYS = {"week": 7.0, "year": 365.2425}
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DateColumn:
    """A date or a time, without a zone or in UTC."""

    name: str
    format: str
    """How text is read, as `datetime.strptime` has it; ISO 8601 when empty."""
    median_s: float
    first_s: float
    elapsed: tuple[float, float]
    """Mean and deviation of the days since the first date."""
    year: tuple[float, float]
    has_hours: bool
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, scale: Scale, date_format: str = "") -> Self:
        known = values[~np.isnat(values)]
        seconds = _seconds(known) if len(known) else np.zeros(1)
        first_s = float(seconds.min())
        how: Scale = "none" if scale == "none" else "standard"
        return cls(
            name=name,
            format=date_format,
            median_s=float(np.sort(seconds)[len(seconds) // 2]),  # a date of the data, not one between two
            first_s=first_s,
            elapsed=affine((seconds - first_s) / DAY_S, how),
            year=affine(_years(seconds), how),
            has_hours=bool((seconds % DAY_S != 0).any()),
            marks_missing=len(known) < len(values),
        )

    @property
    def n_features(self) -> int:
        return 8 + 2 * self.has_hours + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnat(values)
        seconds = np.where(missing, self.median_s, _seconds(values))
        days = seconds / DAY_S
        features = [
            ((seconds - self.first_s) / DAY_S - self.elapsed[0]) / self.elapsed[1],
            (_years(seconds) - self.year[0]) / self.year[1],
            *_circle(_month_of(seconds) / 12),
            *_circle((np.floor(days) + EPOCH_WEEKDAY) / PERIODS_DAYS["week"]),
            *_circle(_day_of_year(seconds) / PERIODS_DAYS["year"]),
        ]
        if self.has_hours:
            features += _circle(days)
        return np.stack([*features, missing] if self.marks_missing else features, axis=1)

    def read(self, values: Array) -> Array:
        """Values as a person gives them (dates, text, None) as datetime64."""
        if values.dtype.kind == "M":
            return values.astype("datetime64[us]")
        found = np.empty(len(values), dtype="datetime64[us]")
        for row, value in enumerate(values):
            try:
                found[row] = parse_date(value, self.format)
            except ValueError as error:
                raise RowError(row, f"column {self.name!r}: {error}") from error
        return found


def parse_date(value: Any, date_format: str) -> np.datetime64:
    """One date in UTC; ValueError says why it is none."""
    if is_missing(value):
        return np.datetime64("NaT", "us")
    if isinstance(value, np.datetime64):
        same: np.datetime64 = value.astype("datetime64[us]")
        return same
    moment = value if isinstance(value, date) else _moment(value, date_format)
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "us")


def _moment(value: Any, date_format: str) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no date")  # noqa: TRY004 - one kind of error for all values
    text = value.strip()
    try:
        return datetime.strptime(text, date_format) if date_format else datetime.fromisoformat(text)  # noqa: DTZ007 - utc below
    except ValueError as error:
        how = f"as data.date_format {date_format!r}" if date_format else "as 2026-01-31 or 2026-01-31T12:00"
        raise ValueError(f"{value!r} is no date {how}") from error


def _seconds(values: Array) -> Array:
    return values.astype("datetime64[us]").astype(np.int64) / 1e6


def _years(seconds: Array) -> Array:
    return _truncated(seconds, "Y").astype(np.int64) + 1970.0


def _month_of(seconds: Array) -> Array:
    """0 for January."""
    return _truncated(seconds, "M").astype(np.int64) % 12


def _day_of_year(seconds: Array) -> Array:
    days = _truncated(seconds, "D")
    since: Array = (days - _truncated(seconds, "Y").astype("datetime64[D]")).astype(np.int64)
    return since


def _truncated(seconds: Array, unit: str) -> Array:
    times: Array = np.floor(seconds).astype(np.int64).astype("datetime64[s]").astype(f"datetime64[{unit}]")
    return times


def _circle(turns: Array) -> list[Array]:
    return [np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)]
