"""Tables: numeric, categorical and missing columns as float32 features, fitted on the training part alone.

A numeric column becomes one feature (missing values take the training median; scaled with `normalize`) and, when the
training part has missing values, a second one that is 1 where the value is missing. A categorical column becomes one
feature a category, one for missing values when the training part has them, and one shared by the categories beyond
`max_categories` when there are any. A category that was not seen in training counts as a rare one, or as none of them
where there are no rare ones.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from tuner.config.messages import suggestion
from tuner.data.scaling import Array
from tuner.errors import DataError

Columns = Mapping[str, Array]
"""Values by column: float64 with nan for missing (numeric), or category names with None for missing (categorical)."""

TABLE_NDIM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericColumn:
    name: str
    median: float
    mean: float
    std: float
    marks_missing: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, normalize: bool) -> Self:
        known = values[~np.isnan(values)]
        median = float(np.median(known)) if len(known) else 0.0
        filled = np.where(np.isnan(values), median, values)
        mean, std = _moments(filled) if normalize else (0.0, 1.0)
        return cls(name=name, median=median, mean=mean, std=std, marks_missing=len(known) < len(values))

    @property
    def n_features(self) -> int:
        return 1 + self.marks_missing

    def encode(self, values: Array) -> Array:
        missing = np.isnan(values)
        scaled = (np.where(missing, self.median, values) - self.mean) / self.std
        return np.stack([scaled, missing] if self.marks_missing else [scaled], axis=1)

    def read(self, values: Array) -> Array:
        """Values as a person gives them (numbers, text, None) as float64."""
        if values.dtype.kind in "biuf":
            return values.astype(np.float64)
        numbers = np.empty(len(values))
        for row, value in enumerate(values):
            try:
                numbers[row] = math.nan if is_missing(value) else float(value)
            except (TypeError, ValueError) as error:
                raise DataError(f"input: row {row}: column {self.name!r}: {value!r} is not a number") from error
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalColumn:
    name: str
    categories: tuple[str, ...]
    marks_missing: bool
    marks_other: bool

    @classmethod
    def fit(cls, name: str, values: Array, *, max_categories: int) -> Self:
        counts = Counter(value for value in values if value is not None)
        frequent = sorted(counts, key=lambda text: (-counts[text], text))[:max_categories]
        return cls(
            name=name,
            categories=tuple(sorted(frequent)),
            marks_missing=sum(counts.values()) < len(values),
            marks_other=len(counts) > len(frequent),
        )

    @property
    def n_features(self) -> int:
        return len(self.categories) + self.marks_missing + self.marks_other

    def encode(self, values: Array) -> Array:
        code_of: dict[str | None, int] = {category: code for code, category in enumerate(self.categories)}
        missing = code_of[None] = len(code_of) if self.marks_missing else -1
        unseen = max(missing + 1, len(self.categories)) if self.marks_other else -1
        codes = np.fromiter((code_of.get(value, unseen) for value in values), dtype=np.int64, count=len(values))
        codes = np.where(codes < 0, unseen, codes)  # missing where training had none: as an unseen category
        return np.asarray(codes[:, None] == np.arange(self.n_features))

    def read(self, values: Array) -> Array:
        """Values as a person gives them as category names."""
        return category_names(values)


Column = NumericColumn | CategoricalColumn
COLUMN_KINDS: dict[Literal["numeric", "categorical"], type[Column]] = {
    "numeric": NumericColumn,
    "categorical": CategoricalColumn,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEncoder:
    """The fitted columns; rows are stored as float32 [F], ready for the model."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, columns: Columns, *, normalize: bool, max_categories: int) -> Self:
        """Measure the training part; which columns are categorical is told by the type of their values."""
        fitted: list[Column] = []
        for name, values in columns.items():
            if values.dtype == np.float64:
                fitted.append(NumericColumn.fit(name, values, normalize=normalize))
            else:
                fitted.append(CategoricalColumn.fit(name, values, max_categories=max_categories))
        return cls(columns=tuple(fitted))

    @property
    def shape(self) -> tuple[int]:
        return (sum(column.n_features for column in self.columns),)

    @property
    def dtype(self) -> Literal["float32"]:
        return "float32"

    def encode(self, source: Any) -> Array:
        """Take a pandas DataFrame, a list of mappings (one a row), a mapping of columns, or numbers [N, n_columns]."""
        raw = _raw_columns(source, tuple(column.name for column in self.columns))
        columns = {column.name: column.read(raw[column.name]) for column in self.columns}
        for name, values in columns.items():
            if values.dtype == np.float64 and np.isinf(values).any():
                row = int(np.flatnonzero(np.isinf(values))[0])
                raise DataError(
                    f"input: row {row}: column {name!r}: infinite; give a finite number, or leave it missing"
                )
        return self.encode_columns(columns)

    def encode_columns(self, columns: Columns) -> Array:
        """The features [N, F] of values that have been read already."""
        with np.errstate(over="ignore"):
            features = [column.encode(columns[column.name]).astype(np.float32) for column in self.columns]
        for column, feature in zip(self.columns, features, strict=True):
            if not np.isfinite(feature).all():
                raise DataError(f"column {column.name!r}: values outside float32's range; scale the column, or drop it")
        return np.concatenate(features, axis=1)

    def to_json(self) -> dict[str, Any]:
        kind_of = {column: kind for kind, column in COLUMN_KINDS.items()}
        return {"kind": "table", "columns": [{"kind": kind_of[type(c)], **asdict(c)} for c in self.columns]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(columns=tuple(_column_from_json(column) for column in data["columns"]))


def _column_from_json(data: Mapping[str, Any]) -> Column:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "kind"}
    kind: Any = COLUMN_KINDS[data["kind"]]
    column: Column = kind(**fields)
    return column


def _moments(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation; a constant column has deviation 1.

    The sums are exactly rounded, so that every machine gets the same bits.
    """
    if values.min() == values.max():
        return float(values[0]), 1.0
    mean = math.fsum(values) / len(values)
    deviations = values - mean
    largest = float(np.abs(deviations).max())  # keeps the squares in range
    return mean, largest * math.sqrt(math.fsum((deviations / largest) ** 2) / len(values))


def is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, (float, np.floating)) and math.isnan(value))


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


def _category_name(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if is_missing(value):
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _raw_columns(source: Any, names: Sequence[str]) -> dict[str, Array]:
    pandas = sys.modules.get("pandas")  # whoever holds a DataFrame has imported it
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return {name: series_values(source[_present(name, list(source.columns))]) for name in names}
    if isinstance(source, Mapping):
        return {name: _object_array(source[_present(name, list(source))]) for name in names}
    if isinstance(source, (list, tuple)) and all(isinstance(row, Mapping) for row in source):
        return {name: _object_array([row[_present(name, list(row))] for row in source]) for name in names}
    array = np.asarray(source)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != TABLE_NDIM or array.shape[1] != len(names):
        raise DataError(f"input: shape {array.shape}; expected (N, {len(names)}): {', '.join(names)}")
    return {name: array[:, column] for column, name in enumerate(names)}


def series_values(series: Any) -> Array:
    """A pandas column as numbers with nan for missing, or as objects with None for missing."""
    if series.dtype.kind in "iuf":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(series.astype(object).where(series.notna(), None).to_numpy(dtype=object))


def _object_array(values: Any) -> Array:
    return np.array([values] if np.ndim(values) == 0 else [*values], dtype=object)


def _present(name: str, present: list[Any]) -> str:
    if name not in present:
        raise DataError(f"input: no column {name!r}{suggestion(name, map(str, present))}")
    return name
