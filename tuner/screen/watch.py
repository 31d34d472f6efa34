"""A search that runs elsewhere, watched through its database until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from tuner.screen.draw import draw
from tuner.screen.state import Phase, SearchState
from tuner.screen.stored import StoredSearch
from tuner.screen.view import Size, view
from tuner.wording import duration, named, number

PERIOD_S = 1.0
MAX_SHARE = 0.05
"""Of the time, in which the database is read: a driver's commit waits for readers."""
N_IDLE = 2
"""So many looks in a row that find no driver end it: between two sessions of a script there is one."""


def states(search: StoredSearch, sleep: Callable[[float], None] = time.sleep) -> Iterator[SearchState]:
    """The state again and again, until nobody drives the search any more."""
    n_idle = 0
    while n_idle < N_IDLE:
        started = time.perf_counter()
        state = search.state()
        yield state
        n_idle = n_idle + 1 if state.phase is Phase.IDLE else 0
        if n_idle < N_IDLE:
            sleep(max(PERIOD_S, (time.perf_counter() - started) / MAX_SHARE))


def on_terminal(search: StoredSearch) -> None:
    """Draw the states in place on stdout, which is left as it was."""
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        for state in states(search):
            width, height = console.size
            live.update(draw(view(state, Size(width=width, height=height - 1)), console), refresh=True)


def in_lines(search: StoredSearch) -> Iterator[str]:
    """A line for each state that says something new; nothing is ever cut."""
    last = ""
    for state in states(search):
        said = sentence(state)
        if said != last:
            yield f"{duration(_elapsed_s(state))}: {said}"
        last = said


def sentence(state: SearchState) -> str:
    """Where the search stands, in a line."""
    if state.confirming is not None:
        work = state.confirming.work
        return f"{state.study} {state.phase.value}, {work.n_done}/{work.n_total} runs on fresh seeds"
    counts = state.counts
    of = f"/{state.work.n_total}" if state.work.n_total is not None else ""
    by_state = {
        "complete": counts.complete,
        "pruned": counts.pruned,
        "paused": counts.paused,
        "failed": counts.failed,
        "running": counts.running,
    }
    said = ", ".join(f"{count} {name}" for name, count in by_state.items() if count)
    found = state.best
    best = ""
    if found is not None:
        best = f"; best {named(found.values) if found.values else number(found.value)} (trial {found.trial})"
    return f"{state.study} {state.phase.value}, {state.work.n_done}{of} trials: {said or 'none yet'}{best}"


def _elapsed_s(state: SearchState) -> float:
    return (state.confirming.work if state.confirming is not None else state.work).elapsed_s
