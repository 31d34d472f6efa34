"""The way to show a search that suits where it runs: a notebook, a terminal, or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from tuner.screen.sentences import Sentences
from tuner.screen.state import SearchState
from tuner.workflows.progress import Progress, Reporter


class LineReporter:
    """A line on stderr for each thing that happened; nothing is ever cut."""

    def __init__(self) -> None:
        self._sentences = Sentences()

    def show(self, progress: Progress) -> None:
        line = self._sentences.of(progress)
        if line:
            print(line, file=sys.stderr, flush=True)  # noqa: T201  what it is for


@contextmanager
def shown(storage: str) -> Iterator[Reporter]:
    """A screen where there is one on stderr, else lines."""
    if not is_notebook() and not is_terminal(sys.stderr):
        yield LineReporter()
        return
    from tuner.screen.follow import Follower

    follower = Follower(partial(_stored, storage))
    if is_notebook():
        from tuner.screen.notebook import NotebookScreen

        with NotebookScreen(follower) as in_cell:
            yield in_cell
        return
    from rich.console import Console

    from tuner.screen.live import LiveScreen

    with LiveScreen(Console(stderr=True), follower) as screen:
        yield screen


def _stored(storage: str, study: str) -> SearchState:
    from tuner.screen.stored import state_or_nothing  # SQLAlchemy, when the driver has it too

    return state_or_nothing(storage, study)


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can be drawn on."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def is_notebook() -> bool:
    """Whether there is a cell to draw in; Jupyter's kernel and Google Colab's have IPython loaded before us."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter
