"""What the screen shows of a state, as lines for a width and a height: a pure function.

    view(state, Size(width=80, height=24))

Columns do not move while numbers change, nothing is longer than the width, and where there is not room for everything
the number of what is left out is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.screen.lines import BLANK, Line, Part, Role, cut
from tuner.screen.panels import failure, head, params, running, workers
from tuner.screen.state import Phase, SearchState

LEAST_WIDTH = 60
"""Narrower terminals get the left part of lines that were made for this width."""
MAX_PARAM_LINES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    width: int
    height: int


def view(state: SearchState, size: Size) -> list[Line]:
    """The lines, at most `height` of them unless that is less than a dozen."""
    if state.phase is Phase.LOADING:
        return [(Part("loading torch and the data ...", Role.DIM),)]
    width = max(LEAST_WIDTH, size.width)
    top, bottom = head(state, width), failure(state, width)
    best = params(state, width)
    rows = _share_out(state, size.height - len(top) - len(bottom), len(best))
    middle = [
        _shortened(best, rows.params, state),
        _below_a_blank(running(state, width, rows.running)),
        _below_a_blank(workers(state, width, rows.workers)),
        _below_a_blank(bottom),
    ]
    return [cut(line, size.width) for part in (top, *middle) for line in part]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """How many lines there are for what can be shortened; those of tables without their header."""

    params: int
    running: int
    workers: int


def _share_out(state: SearchState, left: int, n_params: int) -> _Rows:
    """Params first, a few of them; of the rest a third for the workers and what they leave for the trials."""
    params = min(n_params, MAX_PARAM_LINES, max(2, left // 3))
    n_running, n_workers = len(state.running), len(state.workers)
    headers = 2 * (n_running > 0) + 2 * (n_workers > 0) + (state.failure is not None or bool(state.stopped))
    left -= params + headers
    workers = min(n_workers, max(1, left // 3))
    running = min(n_running, max(1, left - workers))
    return _Rows(params=params, running=running, workers=min(n_workers, max(1, left - running)))


def _shortened(lines: list[Line], n_rows: int, state: SearchState) -> list[Line]:
    if len(lines) <= n_rows or state.best is None:
        return lines
    command = f"tuner show {state.best.trial} --study {state.study}"
    return [*lines[: n_rows - 1], (Part(f"  all of them: {command}", Role.DIM),)]


def _below_a_blank(lines: list[Line]) -> list[Line]:
    return [BLANK, *lines] if lines else []
