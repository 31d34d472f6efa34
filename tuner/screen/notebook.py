"""The screen of a search in this process, in the output of a notebook's cell."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Any, Self

from tuner.screen.draw import as_html
from tuner.screen.follow import Follower
from tuner.screen.lines import BLANK, Line, Part, Role, fit
from tuner.screen.sentences import Sentences, is_lasting
from tuner.screen.state import Phase
from tuner.screen.view import Size, view
from tuner.workflows.progress import Progress

PERIOD_S = 1.0
"""A page is drawn by the browser, after a way through the notebook's server."""
SIZE = Size(width=100, height=40)
N_NEWS = 5


class NotebookScreen:
    """Implements `tuner.workflows.progress.Reporter`; a context manager that leaves the last state in the cell."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._sentences = Sentences()
        self._news: deque[str] = deque(maxlen=N_NEWS)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="screen", daemon=True)
        self._output: Any = None

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._html = HTML
        self._output = display(HTML(as_html(self._lines())), display_id=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=1.0)
        self._draw(is_over=True)

    def show(self, progress: Progress) -> None:
        self._follower.show(progress)
        line = self._sentences.of(progress)
        if line and is_lasting(progress):
            self._news.append(line)

    def _draw_on(self) -> None:
        while not self._is_over.wait(PERIOD_S):
            self._draw()

    def _draw(self, *, is_over: bool = False) -> None:
        self._output.update(self._html(as_html(self._lines(is_over=is_over))))

    def _lines(self, *, is_over: bool = False) -> list[Line]:
        state = self._follower.state()
        if is_over and state.phase is not Phase.LOADING:
            state = replace(state, phase=Phase.IDLE, running=(), workers=())
        news: list[Line] = [(Part(fit(line, SIZE.width), Role.DIM),) for line in tuple(self._news)]
        return [*view(state, SIZE), *([BLANK, *news] if news else [])]
