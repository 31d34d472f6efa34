"""What fresh seeds say of the best trials, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.cli.tables import number, render, spread

if TYPE_CHECKING:
    from tuner.control.winner import Candidate, Confirmed
    from tuner.workflows.status import Status

FEW = 3
"""Up to so many seeds the spread that they show is hardly known."""


def confirmed_lines(status: Status) -> list[str]:
    """The winner, what to expect of it, and who cannot be told from it; nothing when nothing was trained again."""
    standing, name = status.standing, status.study.name
    if standing.confirmed is not None:
        return [*_winner(standing.confirmed, status.study.metric), *_ties(standing.confirmed, name)]
    if standing.n_open:
        done = len(standing.runs) - standing.n_open
        return [f"not confirmed yet: {done} of {len(standing.runs)} runs done; `tuner confirm --study {name}` goes on"]
    if standing.runs:
        return [f"not confirmed: a better trial came later, or fresh runs failed; `tuner confirm --study {name}`"]
    return []


def _winner(confirmed: Confirmed, metric: str) -> list[str]:
    winner = confirmed.winner
    n_seeds = len(winner.values)
    how = f"mean and standard deviation over {n_seeds} fresh seeds" if winner.std else _without_spread(n_seeds)
    rows = [
        [str(item.trial), number(item.search_value), number(item.mean), number(item.std or None), _values(item)]
        for item in confirmed.candidates
    ]
    table = render(["trial", "search", "mean", "std", "fresh seeds"], rows)
    expected = f"{number(winner.mean)}{spread(winner.std, n_seeds)}"
    return [
        f"confirmed: trial {winner.trial}; expect val/{metric} {expected} ({how})",
        *(f"  {line}" for line in table.splitlines()),
    ]


def _without_spread(n_seeds: int) -> str:
    return f"{n_seeds} fresh seeds, which says nothing about the spread" if n_seeds > 1 else "on one fresh seed"


def _values(item: Candidate) -> str:
    return " ".join("failed" if value is None else number(value) for value in item.values)


def _ties(confirmed: Confirmed, study: str) -> list[str]:
    n_seeds = len(confirmed.winner.values)
    more = f"`tuner confirm --seeds {max(5, 2 * n_seeds)} --study {study}` says more"
    if not confirmed.tied_with:
        return []
    tied = ", ".join(map(str, confirmed.tied_with))
    which = f"trial{'s' * (len(confirmed.tied_with) > 1)} {tied}"
    if n_seeds == 1:
        return [f"one seed says nothing about the spread: {which} may be as good; {more}"]
    few = f"; {n_seeds} seeds are few: {more}" if n_seeds <= FEW else ""
    return [f"not told apart from {which}: the differences are within their 95 % intervals{few}"]
