"""When a search is given up: one trial after another fails alike, or none has ever had a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.errors import SearchFailedError

MAX_ALIKE = 3
"""Trials in a row that may fail with the same cause before the search is given up."""
MAX_UNDEFINED = 10
"""Trials that may end without a value while none has had one: a metric may be undefined for some predictions only."""


@dataclass(slots=True, kw_only=True)
class GivingUp:
    """Counts what speaks against going on; raises SearchFailedError when it is enough."""

    _cause: str = ""
    _n_alike: int = 0
    _has_value: bool = False
    _n_undefined: int = 0

    def reported(self, value: float) -> None:
        """An epoch is over."""
        self._has_value = self._has_value or math.isfinite(value)

    def ended(self) -> None:
        """An attempt ended in another way than by a fault."""
        self._cause, self._n_alike = "", 0

    def failed(self, cause: str, message: str, see: str) -> None:
        """A trial failed for good; `see` says where its log is."""
        self._n_alike = self._n_alike + 1 if self._cause == cause else 1
        self._cause = cause
        if self._n_alike >= MAX_ALIKE:
            raise SearchFailedError(
                f"{self._n_alike} trials in a row failed alike: {message}\n"
                f"see {see}; after mending it the same command goes on with the trials that are left"
            )

    def was_undefined(self, message: str) -> None:
        """A trial ended since its objective had no value beside a loss that had one."""
        self._n_undefined += 1
        if self._n_undefined >= MAX_UNDEFINED and not self._has_value:
            raise SearchFailedError(
                f"{self._n_undefined} trials, and no epoch of any has a value to compare them by: {message}\n"
                "take a metric that has one for this data, or mend the function that measures it; then start another "
                "study with --study NAME"
            )
