"""What the columns of a table are: numbers, categories, dates, texts, and what is no property of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

from tuner.data.sources.csv_table import ISO_DATE, is_number

SENTENCE = 25
"""Characters in the mean of a column that is text, and not a category."""
HALF = 0.5
MOST = 0.9
MANY_ROWS = 20
"""From so many rows on, a text that is another one in each of them names the row."""
MARKS = frozenset({"?", "-", "--", ".", "n.a.", "none", "missing", "unknown", "#n/a"})
"""What people write where a number is missing, besides what pandas knows."""
IDENTIFIER = re.compile(r"(?i)(^|.*[_ .-])(id|ids|uuid|guid|key|index|rowid|nr|no)|\w*[a-z](?-i:I[dD])|unnamed.*|")
GROUP = re.compile(
    r"(?i)(patient|customer|client|user|subject|person|participant|household|session|speaker|device)s?"
    r"([_ -]?(id|nr|no|number|name))?"
)
TIME = re.compile(r"(?i).*(date|time|year|month|day|hour|timestamp|period|quarter).*")
FORMATS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y", "%d %b %Y", "%b %d, %Y")
CLOCKS = ("", " %H:%M", " %H:%M:%S")


class Role(Enum):
    NUMBER = "number"
    CATEGORY = "category"
    DATE = "date"
    TEXT = "text"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    NESTED = "nested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: what it is, and whether the rows are in its order."""

    name: str
    role: Role
    date_format: str = ""
    """How its dates are written; empty for those that are found without it."""
    is_sorted: bool = False
    """Of a date, or a number that is called a time: no row is before the one above it."""
    n_distinct: int = 0
    has_gaps: bool = False

    @classmethod
    def of(cls, name: str, values: Any) -> Column:
        """`values` is a pandas Series."""
        known = values.dropna()
        if any(isinstance(value, (list, dict, np.ndarray)) for value in known.head(MANY_ROWS)):
            return cls(name=name, role=Role.NESTED)
        role, date_format = _role(name, known, n_rows=len(values))
        return cls(
            name=name,
            role=role,
            date_format=date_format,
            is_sorted=_is_sorted(name, known, role, date_format),
            n_distinct=int(known.nunique()),
            has_gaps=len(known) < len(values),
        )

    @property
    def is_time(self) -> bool:
        """Whether its order may be that in which rows came to be."""
        return self.role is Role.DATE or (self.is_sorted and self.role is Role.NUMBER)

    def is_group(self, n_rows: int) -> bool:
        """Whether it may tell who or what several rows are of."""
        return bool(GROUP.fullmatch(self.name)) and 1 < self.n_distinct <= n_rows * HALF


def _role(name: str, known: Any, *, n_rows: int) -> tuple[Role, str]:
    from pandas.api import types

    n_distinct = known.nunique()
    if n_distinct <= 1:
        return Role.CONSTANT, ""
    if types.is_bool_dtype(known):
        return Role.CATEGORY, ""
    if types.is_datetime64_any_dtype(known) or all(isinstance(value, date) for value in known):
        return Role.DATE, ""
    if types.is_numeric_dtype(known) or all(isinstance(value, Decimal) for value in known):
        counts_rows = n_distinct == n_rows and bool((known % 1 == 0).all()) and IDENTIFIER.fullmatch(name)
        return (Role.IDENTIFIER if counts_rows else Role.NUMBER), ""
    return _role_of_texts(known.astype(str), n_rows=n_rows)


def _role_of_texts(texts: Any, *, n_rows: int) -> tuple[Role, str]:
    date_format = date_format_of(texts.unique().tolist())
    if date_format is not None:
        return Role.DATE, date_format
    if is_text(texts):
        return Role.TEXT, ""
    return (Role.IDENTIFIER if texts.nunique() == n_rows >= MANY_ROWS else Role.CATEGORY), ""


def is_text(texts: Any) -> bool:
    """Whether most are sentences, or titles of which hardly any comes twice."""
    spaces = texts.str.count(" ")
    is_long = texts.str.len().mean() > SENTENCE and (spaces > 0).mean() > HALF
    is_title = spaces.mean() >= 2 and texts.nunique() > MOST * len(texts) >= MOST * MANY_ROWS  # noqa: PLR2004 - 3 words
    return bool(is_long or is_title)


def date_format_of(texts: Sequence[str]) -> str | None:
    """How dates are written; empty where they are found by themselves, None where these are none."""
    if all(ISO_DATE.match(text) for text in texts):
        return ""
    wanted = [day + clock for day in FORMATS for clock in CLOCKS]
    return next((wanted for wanted in wanted if all(_is_date(text, wanted) for text in texts)), None)


def _is_date(text: str, date_format: str) -> bool:
    try:
        datetime.strptime(text.strip(), date_format)  # noqa: DTZ007 - only whether it is one
    except ValueError:
        return False
    return True


def _is_sorted(name: str, known: Any, role: Role, date_format: str) -> bool:
    if role is Role.NUMBER:
        return bool(TIME.fullmatch(name) and known.is_monotonic_increasing)
    if role is not Role.DATE:
        return False
    return bool(moments(known, date_format).is_monotonic_increasing)


def moments(values: Any, date_format: str) -> Any:
    """A column of dates as pandas has them."""
    import pandas as pd

    return pd.to_datetime(values, format=date_format or "ISO8601", utc=True, errors="coerce")


def step_of(values: Any, date_format: str) -> float | None:
    """Seconds from one row to the next, where they are the same for nearly all."""
    steps = moments(values, date_format).diff().dropna().dt.total_seconds()
    usual = steps.median()
    is_regular = len(steps) > MANY_ROWS and usual > 0 and ((steps / usual - 1).abs() < MOST / 10).mean() > MOST
    return float(usual) if is_regular else None


# ------------------------------------------------------------------------------------------------ how a file is written


def marks_in(values: Any) -> list[str]:
    """Texts that stand for a missing value among the numbers of a column, or a lone question mark among words."""
    from pandas.api import types

    if types.is_numeric_dtype(values) or types.is_datetime64_any_dtype(values):
        return []
    texts = values.dropna().astype(str)
    others = [text for text in texts.unique().tolist() if not is_number(text)]
    share = float(texts.map(is_number).mean()) if len(texts) else 0.0
    if share > HALF and others and all(text.strip().lower() in MARKS for text in others):
        return others
    return [text for text in others if text.strip() == "?"]


def has_decimal_commas(frame: Any) -> bool:
    """Whether numbers are written as 3,14, and none as 3.14."""
    from pandas.api import types

    if any(types.is_float_dtype(frame[name]) and (frame[name].dropna() % 1 != 0).any() for name in frame.columns):
        return False
    texts = [frame[name].dropna().astype(str) for name in frame.columns if not types.is_numeric_dtype(frame[name])]
    return any(
        len(column) and column.str.fullmatch(r"\s*-?\d+(,\d+)?\s*").all() and column.str.contains(",").any()
        for column in texts
    )
