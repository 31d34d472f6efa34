"""The kinds of columns that a table has, each fitted on the training part alone.

A numeric column becomes one feature (missing values take the training median) and, when the training part has missing
values, a second one that is 1 where the value is missing. A date becomes what is periodic in it (month, day of the week
and of the year, hour where there are hours) as sine and cosine, its year, and the days since the first one. A
categorical column becomes one feature a category, one for missing values when the training part has them, and one
shared by rare categories when there are any; or one code, 0 for all that has no embedding of its own. A category that
was not seen in training counts as a rare one, or as none of them where there are no rare ones.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import NormalDist
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from tuner.data.scaling import Array
from tuner.errors import DataError, RowError

Scale = Literal["standard", "minmax", "robust", "quantile", "piecewise", "none"]

N_KNOTS = 200
"""Quantiles that a map to the normal distribution keeps, where a column has more distinct values."""
QUARTERS = (0.25, 0.75)
N_SHOWN = 3
DAY_S = 86400.0
PERIODS_DAYS = {"week": 7.0, "year": 365.2425}
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericColumn:
    """x -> (x - mean) / std; for `minmax` the least value and the range, for `robust` median and quartiles."""

    name: str
    median: float
    mean: float
    std: float
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, scale: Scale) -> Self:
        median, filled, marks_missing = _filled(values)
        mean, std = _affine(filled, scale)
        return cls(name=name, median=median, mean=mean, std=std, marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        scaled = (np.where(missing, self.median, values) - self.mean) / self.std
        return np.stack([scaled, missing] if self.marks_missing else [scaled], axis=1)

    def read(self, values: Array) -> Array:
        """Values as a person gives them (numbers, text, None) as float64."""
        return read_numbers(self.name, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileColumn:
    """A number as the normal score of its rank in the training part, so that the feature is normally distributed.

    Equal values share the middle of their ranks; values between two known ones are interpolated, those outside clipped.
    """

    name: str
    median: float
    knots: tuple[float, ...]
    scores: tuple[float, ...]
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        median, filled, marks_missing = _filled(values)
        knots, counts = np.unique(filled, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(filled)
        if len(knots) > N_KNOTS:  # evenly by rank, the ends among them
            wanted = np.linspace(ranks[0], ranks[-1], N_KNOTS)
            kept = np.unique(np.searchsorted(ranks, wanted).clip(0, len(knots) - 1))
            knots, ranks = knots[kept], ranks[kept]
        normal = NormalDist()
        scores = tuple(normal.inv_cdf(float(rank)) for rank in ranks)
        return cls(name=name, median=median, knots=tuple(knots.tolist()), scores=scores, marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        scores = np.interp(np.where(missing, self.median, values), self.knots, self.scores)
        return np.stack([scores, missing] if self.marks_missing else [scores], axis=1)

    def read(self, values: Array) -> Array:
        return read_numbers(self.name, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecewiseColumn:
    """A number as its place in each of several bins: 0 below, 1 above, and between them the share of the way.

    Gorishniy et al., 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", equation 1: a network then
    draws a piecewise linear curve of a number, as trees draw steps. Deviations: the first and last bins end at 0 and 1
    too, so that a value beyond those of training is one at the edge; and half of the edges are quantiles of the
    distinct values, where the paper takes quantiles of the rows alone, as most rows of a column may have one value.
    """

    name: str
    median: float
    edges: tuple[float, ...]
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, n_bins: int) -> Self:
        median, filled, marks_missing = _filled(values)
        distinct = np.unique(filled)
        edges = distinct
        if len(distinct) > n_bins + 1:
            of_rows = np.quantile(filled, np.linspace(0, 1, n_bins // 2 + 1), method="inverted_cdf")
            of_values = np.quantile(distinct, np.linspace(0, 1, n_bins - n_bins // 2 + 1), method="inverted_cdf")
            edges = np.unique(np.concatenate([of_rows, of_values]))
        if len(edges) == 1:
            edges = np.array([edges[0], edges[0] + 1.0])
        return cls(name=name, median=median, edges=tuple(edges.tolist()), marks_missing=marks_missing)

    @property
    def n_features(self) -> int:
        return len(self.edges) - 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        edges = np.array(self.edges)
        filled = np.where(missing, self.median, values)[:, None]
        shares = np.clip((filled - edges[:-1]) / np.diff(edges), 0.0, 1.0)
        return np.concatenate([shares, missing[:, None]], axis=1) if self.marks_missing else shares

    def read(self, values: Array) -> Array:
        return read_numbers(self.name, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalColumn:
    name: str
    categories: tuple[str, ...]
    marks_missing: bool
    marks_other: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, max_categories: int, min_count: int = 1) -> Self:
        counts = Counter(value for value in values if value is not None)
        ordered = sorted(counts, key=lambda text: (-counts[text], text))
        frequent = [text for text in ordered[:max_categories] if counts[text] >= min_count]
        return cls(
            name=name,
            categories=tuple(sorted(frequent)),
            marks_missing=sum(counts.values()) < len(values),
            marks_other=len(counts) > len(frequent),
        )

    @property
    def n_features(self) -> int:
        return len(self.categories) + self.marks_missing + self.marks_other

    @property
    def n_codes(self) -> int:
        """Codes where the column is embedded: 0, and one a category."""
        return len(self.categories) + 1

    def encode(self, values: Array) -> Array:
        """One feature a category [N, n_features]."""
        missing = len(self.categories) if self.marks_missing else -1
        unseen = max(missing + 1, len(self.categories)) if self.marks_other else -1
        codes = self._numbers(values, unseen=unseen, missing=missing)
        codes = np.where(codes < 0, unseen, codes)  # missing where training had none: as an unseen category
        return np.asarray(codes[:, None] == np.arange(self.n_features))

    def codes(self, values: Array) -> Array:
        """One code a row [N, 1], from 1; 0 for missing, rare and unseen."""
        return self._numbers(values, unseen=-1, missing=-1)[:, None] + 1

    def _numbers(self, values: Array, *, unseen: int, missing: int) -> npt.NDArray[np.int64]:
        number_of: dict[str | None, int] = {category: number for number, category in enumerate(self.categories)}
        number_of[None] = missing
        return np.fromiter((number_of.get(value, unseen) for value in values), dtype=np.int64, count=len(values))

    def read(self, values: Array) -> Array:
        """Values as a person gives them as category names; DataError for numbers where all names were text."""
        if self.categories and _are_numbers(values) and not any(_is_number(name) for name in self.categories):
            shown = ", ".join(self.categories[:N_SHOWN])
            raise DataError(
                f"input: column {self.name!r}: numbers, but in training it had names such as {shown}; give the names,"
                " in a DataFrame or a list of mappings"
            )
        return category_names(values)


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
        affine: Scale = "none" if scale == "none" else "standard"
        return cls(
            name=name,
            format=date_format,
            median_s=float(np.sort(seconds)[len(seconds) // 2]),  # a date of the data, not one between two
            first_s=first_s,
            elapsed=_affine((seconds - first_s) / DAY_S, affine),
            year=_affine(_years(seconds), affine),
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


Column = NumericColumn | QuantileColumn | PiecewiseColumn | CategoricalColumn | DateColumn
COLUMN_KINDS: dict[Literal["numeric", "quantile", "piecewise", "categorical", "date"], type[Column]] = {
    "numeric": NumericColumn,
    "quantile": QuantileColumn,
    "piecewise": PiecewiseColumn,
    "categorical": CategoricalColumn,
    "date": DateColumn,
}


# -------------------------------------------------------------------------------------------------------------- numbers


def _filled(values: Array) -> tuple[float, Array, bool]:
    """The median, the values with it where they are missing, and whether any are."""
    known = values[~np.isnan(values)]
    median = float(np.median(known)) if len(known) else 0.0
    return median, np.where(np.isnan(values), median, values), len(known) < len(values)


def _affine(values: Array, scale: Scale) -> tuple[float, float]:
    """What is subtracted, and what is divided by: 1 where all values are equal."""
    if scale == "none":
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    if scale == "minmax":
        return low, high - low
    if scale == "robust":
        first, third = np.quantile(values, QUARTERS)
        if third > first:
            return float(np.median(values)), float(third - first)
    return _moments(values)  # also where more than half of the values are equal: quartiles say nothing then


def _moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation; the sums are exactly rounded, so that every machine gets the same bits."""
    mean = math.fsum(values) / len(values)
    deviations = values - mean
    largest = float(np.abs(deviations).max())  # keeps the squares in range
    return mean, largest * math.sqrt(math.fsum((deviations / largest) ** 2) / len(values))


def read_numbers(name: str, values: Array) -> Array:
    """Values as a person gives them (numbers, text, None) as float64, nan for missing."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            numbers[row] = math.nan if is_missing(value) else float(value)
        except (TypeError, ValueError) as error:
            raise RowError(row, f"column {name!r}: {value!r} is not a number") from error
    return numbers


# ---------------------------------------------------------------------------------------------------------------- names


def is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, str) and not value):
        return True
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    # pandas' NaT is a datetime that is not equal to itself
    return isinstance(value, (date, np.datetime64)) and bool(value != value)  # noqa: PLR0124


def _are_numbers(values: Array) -> bool:
    """Whether there are values, and all are numbers."""
    if values.dtype != object:
        return values.dtype.kind in "iuf" and not bool(np.isnan(values.astype(np.float64)).all())
    known = [value for value in values if not is_missing(value)]
    return bool(known) and all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in known)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def category_names(values: Array) -> Array:
    """Category names, None where missing.

    1, 1.0 and "1" are the same category: one missing value makes pandas read 1 as 1.0.
    """
    if values.dtype.kind in "biuf":  # few distinct values: name each once
        distinct, where = np.unique(values, return_inverse=True)
        return category_names(distinct.astype(object))[where]
    names = np.empty(len(values), dtype=object)
    names[:] = [_category_name(value) for value in values]
    return names


def as_numbers_are_named(text: str) -> str:
    """How a category is called where pandas read its column as numbers, or as true and false."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    for number in (int, float):
        try:
            return str(_category_name(number(text)))
        except (ValueError, OverflowError):
            continue
    return text


def _category_name(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if is_missing(value):
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


# ---------------------------------------------------------------------------------------------------------------- dates


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
