"""What a missing value is: None, nan, NaT, an empty text, and the texts that a table is told to have for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from tuner.data.scaling import Array


def is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, str) and not value):
        return True
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    # pandas' NaT is a datetime that is not equal to itself
    return isinstance(value, (date, np.datetime64)) and bool(value != value)  # noqa: PLR0124


def without_marks(values: Array, marks: Sequence[str]) -> Array:
    """Values of which those that `marks` name are missing; a mark that is a number also stands for that number."""
    if not marks or values.dtype.kind not in "iufO":
        return values
    numbers = {number for number in map(_number, marks) if number is not None}
    if values.dtype != object:
        marked = np.isin(values, list(numbers))
    else:
        texts = frozenset(marks)
        marked = np.fromiter((_is_marked(value, texts, numbers) for value in values), dtype=bool, count=len(values))
    if not marked.any():
        return values
    if values.dtype.kind == "f":
        return np.where(marked, np.nan, values)
    objects = values.astype(object)
    objects[marked] = None
    return objects


def _is_marked(value: Any, texts: frozenset[str], numbers: set[float]) -> bool:
    if isinstance(value, str):
        return value in texts or (bool(numbers) and _number(value) in numbers)
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and value in numbers


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
