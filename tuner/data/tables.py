"""Tables: columns of numbers, dates and categories as float32 features."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from tuner.config.messages import suggestion
from tuner.data.columns import (
    COLUMN_KINDS,
    CategoricalColumn,
    Column,
    DateColumn,
    NumericColumn,
    PiecewiseColumn,
    QuantileColumn,
)
from tuner.data.missing import without_marks
from tuner.data.numeric import Scale
from tuner.data.scaling import Array
from tuner.errors import DataError, RowError

Columns = Mapping[str, Array]
"""Values by column: float64 with nan for missing (numeric), datetime64 with NaT (dates), or names with None (text)."""

TABLE_NDIM = 2
LARGEST_EXACT = 2**53
"""Above it not every whole number is a float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFit:
    """How columns become features."""

    scale: Scale = "standard"
    n_bins: int = 16
    """Of a piecewise number."""
    embeds: bool = False
    """Categories as codes for an embedding, instead of a feature each."""
    max_categories: int = 50
    min_count: int = 1
    """Categories with fewer training rows count as rare."""
    date_format: str = ""
    dates: tuple[str, ...] = ()
    """Columns that `date_format` is for; other dates are ISO 8601."""
    missing: tuple[str, ...] = ()
    """Texts that stand for a missing value."""

    def column(self, name: str, values: Array) -> Column:
        """Measure a column; what it is, is told by the type of its values."""
        if values.dtype == np.float64:
            if self.scale == "quantile":
                return QuantileColumn.fit(name, values)
            if self.scale == "piecewise":
                return PiecewiseColumn.fit(name, values, n_bins=self.n_bins)
            return NumericColumn.fit(name, values, scale=self.scale)
        if values.dtype.kind == "M":
            date_format = self.date_format if name in self.dates else ""
            return DateColumn.fit(name, values, scale=self.scale, date_format=date_format)
        return CategoricalColumn.fit(name, values, max_categories=self.max_categories, min_count=self.min_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEncoder:
    """The fitted columns; rows are stored as float32 [F], ready for the model.

    With `embeds` the codes of the categorical columns come last, in the order of those columns.
    """

    columns: tuple[Column, ...]
    embeds: bool = False
    missing: tuple[str, ...] = ()

    @classmethod
    def fit(cls, columns: Columns, how: TableFit) -> Self:
        """Measure the training part."""
        fitted = tuple(how.column(name, values) for name, values in columns.items())
        return cls(columns=fitted, embeds=how.embeds, missing=how.missing)

    @property
    def categories(self) -> tuple[int, ...]:
        """Number of codes of each embedded column."""
        return tuple(c.n_codes for c in self.columns if isinstance(c, CategoricalColumn)) if self.embeds else ()

    @property
    def shape(self) -> tuple[int]:
        return (sum(1 if self._is_embedded(column) else column.n_features for column in self.columns),)

    @property
    def dtype(self) -> Literal["float32"]:
        return "float32"

    def encode(self, source: Any) -> Array:
        """Take a pandas DataFrame, a list of mappings (one a row), a mapping of columns, or numbers [N, n_columns]."""
        raw = _raw_columns(source, tuple(column.name for column in self.columns))
        columns = {column.name: column.read(without_marks(raw[column.name], self.missing)) for column in self.columns}
        for name, values in columns.items():
            if values.dtype == np.float64 and np.isinf(values).any():
                row = int(np.flatnonzero(np.isinf(values))[0])
                raise RowError(row, f"column {name!r}: infinite; give a finite number, or leave it missing")
        return self.encode_columns(columns)

    def encode_columns(self, columns: Columns) -> Array:
        """The features [N, F] of values that have been read already."""
        with np.errstate(over="ignore"):
            features = [self._encoded(column, columns[column.name]).astype(np.float32) for column in self.columns]
        for column, feature in zip(self.columns, features, strict=True):
            if not np.isfinite(feature).all():
                raise DataError(f"column {column.name!r}: values outside float32's range; scale the column, or drop it")
        last = [self._is_embedded(column) for column in self.columns]
        ordered = [features[number] for number in np.argsort(last, kind="stable")]
        return np.concatenate(ordered, axis=1)

    def _is_embedded(self, column: Column) -> bool:
        return self.embeds and isinstance(column, CategoricalColumn)

    def _encoded(self, column: Column, values: Array) -> Array:
        if self.embeds and isinstance(column, CategoricalColumn):
            return column.codes(values)
        return column.encode(values)

    def to_json(self) -> dict[str, Any]:
        kind_of = {column: kind for kind, column in COLUMN_KINDS.items()}
        return {
            "kind": "table",
            "columns": [{"kind": kind_of[type(c)], **asdict(c)} for c in self.columns],
            "embeds": self.embeds,
            "missing": list(self.missing),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            columns=tuple(_column_from_json(column) for column in data["columns"]),
            embeds=data.get("embeds", False),
            missing=tuple(data.get("missing", ())),
        )


def _column_from_json(data: Mapping[str, Any]) -> Column:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "kind"}
    kind: Any = COLUMN_KINDS[data["kind"]]
    column: Column = kind(**fields)
    return column


def _raw_columns(source: Any, names: Sequence[str]) -> dict[str, Array]:
    pandas = sys.modules.get("pandas")  # whoever holds a DataFrame has imported it
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return {name: series_values(source[_present(name, list(source.columns))], exact=True) for name in names}
    if isinstance(source, Mapping):
        return {name: _object_array(source[_present(name, list(source))]) for name in names}
    if isinstance(source, (list, tuple)) and all(isinstance(row, Mapping) for row in source):
        return {name: _object_array([row[_present(name, list(row))] for row in source]) for name in names}
    array = np.asarray(source)
    array = array.astype(object) if array.dtype.kind == "U" else array  # of which some may stand for a missing value
    array = array[None] if array.ndim == 1 else array
    if array.ndim != TABLE_NDIM or array.shape[1] != len(names):
        raise DataError(f"input: shape {array.shape}; expected (N, {len(names)}): {', '.join(names)}")
    return {name: array[:, column] for column, name in enumerate(names)}


def series_values(series: Any, *, exact: bool = False) -> Array:
    """A pandas column as numbers with nan for missing, dates with NaT, or objects with None for missing.

    `exact` is for columns whose values are names: whole numbers that float64 would merge stay whole.
    """
    if exact and series.dtype.kind in "iu" and _is_beyond_float(series):
        return _whole(series)
    if series.dtype.kind in "iuf":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if series.dtype.kind == "M":
        plain = series.dt.tz_convert(None) if getattr(series.dtype, "tz", None) is not None else series
        return np.asarray(plain.to_numpy(dtype="datetime64[us]"))
    return np.asarray(series.astype(object).where(series.notna(), None).to_numpy(dtype=object))


def _is_beyond_float(series: Any) -> bool:
    known = series.dropna()
    return bool(len(known)) and max(abs(int(known.min())), abs(int(known.max()))) > LARGEST_EXACT


def _whole(series: Any) -> Array:
    """Whole numbers as they are; objects with None where some are missing."""
    if series.isna().any():
        return np.asarray(series.astype(object).where(series.notna(), None).to_numpy(dtype=object))
    return np.asarray(series.to_numpy(dtype=f"{series.dtype.kind}8"))


def _object_array(values: Any) -> Array:
    return np.array([values] if np.ndim(values) == 0 else [*values], dtype=object)


def _present(name: str, present: list[Any]) -> str:
    if name not in present:
        raise DataError(f"input: no column {name!r}{suggestion(name, map(str, present))}")
    return name
