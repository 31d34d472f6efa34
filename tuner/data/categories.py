"""Columns of categories, and what categories are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tuner.data.missing import is_missing
from tuner.data.scaling import Array
from tuner.errors import DataError

N_SHOWN = 3


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
