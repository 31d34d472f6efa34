"""Time columns: numbers or dates as numbers in which a regular series has equal steps, and where its steps differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tuner.data.scaling import Array
from tuner.data.splits import Indices

Unit = Literal["", "ns", "months", "business days"]
NS_A_DAY = 86_400_000_000_000
SHORTEST_MONTH_DAYS = 28
FRIDAY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A time for each row."""

    values: Array
    """int64 or float64 [R]; calendar units where steps are equal in them alone."""
    unit: Unit = ""

    def step_text(self, step: float) -> str:
        if self.unit == "ns":
            import pandas as pd

            return str(pd.Timedelta(int(step), unit="ns")).removesuffix(" 00:00:00")
        return f"{step:g} {self.unit}".strip()


class NoTimeError(Exception):
    """A row whose time cannot be read, and why."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.row = row


def read_times(column: Any) -> Times:
    """A pandas column as times. Raises NoTimeError."""
    import pandas as pd

    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise NoTimeError(int(missing[0]), "the time is missing; fill it in, or remove the row")
    if pd.api.types.is_numeric_dtype(column):
        return Times(values=column.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            dates = pd.to_datetime(column, errors="coerce", utc=True)
        except (UserWarning, ValueError, TypeError) as error:
            raise NoTimeError(0, f"{column.iloc[0]!r} can be read in several ways; {HOW_DATES_ARE}") from error
    wrong = np.flatnonzero(dates.isna().to_numpy())
    if len(wrong):
        raise NoTimeError(int(wrong[0]), f"{column.iloc[int(wrong[0])]!r} is no date; {HOW_DATES_ARE}")
    return _of_dates(dates)


HOW_DATES_ARE = "write dates as 2026-01-31 or 2026-01-31T12:00, or give a column of numbers"


def _of_dates(dates: Any) -> Times:
    """Months and business days are no equal steps in nanoseconds, so series of those are counted in them."""
    ns = dates.dt.as_unit("ns").astype("int64").to_numpy()
    steps = np.diff(np.unique(ns))
    typical_days = float(np.median(steps)) / NS_A_DAY if len(steps) else 0.0
    midnight = bool((ns % NS_A_DAY == ns[0] % NS_A_DAY).all())
    if midnight and typical_days >= SHORTEST_MONTH_DAYS and _is_monthly(dates):
        return Times(values=(dates.dt.year * 12 + dates.dt.month).to_numpy().astype(np.int64), unit="months")
    if midnight and typical_days == 1.0 and bool((dates.dt.day_of_week <= FRIDAY).all()):
        days = (ns // NS_A_DAY).astype("datetime64[D]")
        return Times(values=np.busday_count(days.min(), days), unit="business days")
    return Times(values=ns, unit="ns")


def _is_monthly(dates: Any) -> bool:
    return bool((dates.dt.day == dates.dt.day.iloc[0]).all() or dates.dt.is_month_end.all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Irregular:
    """Rows that do not come one regular step after the row before."""

    rows: Indices
    """In the order of the sorted table."""
    step: float
    steps: Array
    """What each of them comes after the one before."""


def irregular(times: Array, series: Indices) -> Irregular:
    """Compare the steps of a table that is sorted by series and time with their median."""
    steps = np.diff(times)
    inside = series[1:] == series[:-1]
    if not inside.any():
        return Irregular(rows=np.arange(0), step=0.0, steps=steps[:0])
    typical = float(np.median(steps[inside]))
    wrong = np.flatnonzero(inside & (np.abs(steps - typical) > 1e-6 * abs(typical)))
    return Irregular(rows=wrong + 1, step=typical, steps=steps[wrong])


def repeated(times: Array, series: Indices) -> int | None:
    """The first row of a sorted table that has the time of the row before, in the same series."""
    again = np.flatnonzero((np.diff(times) == 0) & (series[1:] == series[:-1]))
    return int(again[0]) + 1 if len(again) else None
