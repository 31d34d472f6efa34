"""Metrics of the user's own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tuner.config.schema.base import Direction, Section


class OwnMetric(Section):
    """A function of the user's: `function(y_true, y_pred, **options)` gives one number."""

    target: str
    """`package.module:name` or `file.py:name`; a file is relative to the space file."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] | None = None
    """What it is called in the file and in curves; null is the function's own name."""
    direction: Direction | None = None
    """Which way is better; an objective needs it."""
    options: dict[str, Any] = {}
    """More keyword arguments for the function."""

    @property
    def label(self) -> str:
        return self.name or self.target.rpartition(":")[2].rpartition(".")[2]
