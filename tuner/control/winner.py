"""Which of the re-trained candidates wins, and which of them cannot be told from it.

The search's own values play no part: they chose the candidates, so they are the luckiest of many. A candidate is judged
by its fresh runs alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

_QUANTILES = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""Student's t, quantile .975, with 1, 2, ... degrees of freedom: scipy's import would take a second for one number."""
_NORMAL = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of the best trials of the search, and what its configuration gave on fresh seeds."""

    trial: int
    search_value: float
    values: tuple[float | None, ...]
    """Of each fresh run; None where it diverged or failed."""

    @property
    def known(self) -> tuple[float, ...]:
        """The values, when every run has one; else none: what diverges on a fresh seed cannot be relied on."""
        found = tuple(value for value in self.values if value is not None)
        return found if len(found) == len(self.values) else ()

    @property
    def mean(self) -> float | None:
        return fmean(self.known) if self.known else None

    @property
    def std(self) -> float | None:
        """The sample's; None for fewer than two runs."""
        return stdev(self.known) if len(self.known) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The candidates, the winner first, those that failed last."""

    candidates: tuple[Candidate, ...]
    tied_with: tuple[int, ...]
    """Trials whose difference to the winner is within its 95 % interval: all of them, when there is one seed only."""

    @property
    def winner(self) -> Candidate:
        return self.candidates[0]

    def to_json(self) -> dict[str, Any]:
        winner = self.winner
        return {
            "trial": winner.trial,
            "mean": winner.mean,
            "std": winner.std,
            "seeds": len(winner.values),
            "n": len(self.candidates),
            "tied_with": list(self.tied_with),
            "search_value": winner.search_value,
            "candidates": [
                {
                    "trial": item.trial,
                    "search_value": item.search_value,
                    "values": list(item.values),
                    "mean": item.mean,
                    "std": item.std,
                }
                for item in self.candidates
            ],
        }


def choose(candidates: Sequence[Candidate], *, maximize: bool) -> Confirmed | None:
    """The candidate with the best mean; None when no candidate came through all of its runs.

    Equal means are decided by the search, then by the number. The interval of a difference is Student's for two
    samples, with the spread of these two: one candidate that collapses on a seed must not make all others equal.
    """
    sign = -1.0 if maximize else 1.0

    def rank(item: Candidate) -> tuple[float, float, int]:
        return (math.inf if item.mean is None else sign * item.mean, sign * item.search_value, item.trial)

    ranked = tuple(sorted(candidates, key=rank))
    if not ranked or ranked[0].mean is None:
        return None
    tied = (item.trial for item in ranked[1:] if item.known and _is_tied(ranked[0].known, item.known))
    return Confirmed(candidates=ranked, tied_with=tuple(tied))


def _is_tied(first: Sequence[float], second: Sequence[float]) -> bool:
    freedom = len(first) + len(second) - 2
    if not freedom:
        return True
    squares = sum((value - fmean(values)) ** 2 for values in (first, second) for value in values)
    error = math.sqrt(squares / freedom * (1 / len(first) + 1 / len(second)))
    return abs(fmean(first) - fmean(second)) <= quantile(freedom) * error


def quantile(freedom: int) -> float:
    """Student's t, .975; beyond the table Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5, two terms)."""
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    z = _NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
