"""The kinds of columns that a table has, each fitted on the training part alone.

A numeric column becomes one feature (missing values take the training median) and, when the training part has missing
values, a second one that is 1 where the value is missing. A date becomes what is periodic in it (month, day of the week
and of the year, hour where there are hours) as sine and cosine, its year, and the days since the first one. A
categorical column becomes one feature a category, one for missing values when the training part has them, and one
shared by rare categories when there are any; or one code, 0 for all that has no embedding of its own. A category that
was not seen in training counts as a rare one, or as none of them where there are no rare ones.
"""

from __future__ import annotations

from typing import Literal

from tuner.data.categories import CategoricalColumn
from tuner.data.dates import DateColumn
from tuner.data.numeric import NumericColumn, PiecewiseColumn, QuantileColumn

__all__ = [
    "COLUMN_KINDS",
    "CategoricalColumn",
    "Column",
    "DateColumn",
    "NumericColumn",
    "PiecewiseColumn",
    "QuantileColumn",
]

Column = NumericColumn | QuantileColumn | PiecewiseColumn | CategoricalColumn | DateColumn
COLUMN_KINDS: dict[Literal["numeric", "quantile", "piecewise", "categorical", "date"], type[Column]] = {
    "numeric": NumericColumn,
    "quantile": QuantileColumn,
    "piecewise": PiecewiseColumn,
    "categorical": CategoricalColumn,
    "date": DateColumn,
}
