"""What each class of a part came to, and their confusion, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.cli.tables import number, render

MAX_ROWS = 30
MAX_CONFUSED = 12
"""A matrix of more classes does not fit a line; --json has it."""


def details_text(details: Mapping[str, Any], part: str) -> str:
    """The tables of a part; of many classes those with the lowest F1."""
    names = details.get("labels") or details.get("targets") or []
    columns = [name for name in details if name not in ("labels", "targets", "confusion")]
    order = sorted(range(len(names)), key=lambda row: _worst_first(details, row))[:MAX_ROWS]
    shown = sorted(order)
    rows = [[str(names[row]), *(number(details[column][row]) for column in columns)] for row in shown]
    text = render([f"{part}: {'class' if 'labels' in details else 'target'}", *columns], rows)
    if len(names) > MAX_ROWS:
        text += f"\nthe {MAX_ROWS} of {len(names)} with the lowest f1; --json has all"
    return text + _confusion(details)


def _worst_first(details: Mapping[str, Any], row: int) -> float:
    return float(details["f1"][row]) if "f1" in details else 0.0


def _confusion(details: Mapping[str, Any]) -> str:
    matrix, labels = details.get("confusion"), details.get("labels")
    if not matrix or not labels or len(labels) > MAX_CONFUSED or isinstance(matrix[0][0], list):
        return ""
    rows = [[str(label), *map(str, counts)] for label, counts in zip(labels, matrix, strict=True)]
    return "\n\n" + render(["true, by predicted", *map(str, labels)], rows)
