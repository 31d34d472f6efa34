"""The screen of a search in this process, redrawn in place on a terminal.

The driver's thread only notes what happens; a thread of its own draws, twice a second at most, and less often where a
drawing takes longer than a hundredth of the time until the next.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tuner.screen.draw import draw
from tuner.screen.follow import Follower
from tuner.screen.sentences import Sentences, is_lasting
from tuner.screen.view import Size, view
from tuner.workflows.progress import Progress

PERIOD_S = 0.5
MAX_SHARE = 0.01
"""Of one core, that drawing may take: it is taken from the driver."""


class LiveScreen:
    """Implements `tuner.workflows.progress.Reporter`; a context manager that leaves the terminal as it was."""

    def __init__(self, console: Console, follower: Follower) -> None:
        self._console = console
        self._follower = follower
        self._sentences = Sentences()
        self._news: deque[str] = deque()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="screen", daemon=True)
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),  # else it is data, for whom it goes to
        )

    def __enter__(self) -> Self:
        self._live.start()
        self._draw()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._is_over.set()
            self._thread.join(timeout=1.0)
            self._say()
        finally:  # whatever else is interrupted, the cursor comes back
            self._live.stop()

    def show(self, progress: Progress) -> None:
        self._follower.show(progress)
        line = self._sentences.of(progress)
        if line and is_lasting(progress):
            self._news.append(line)

    def _draw_on(self) -> None:
        pause = PERIOD_S
        while not self._is_over.wait(pause):
            started = time.thread_time()
            self._draw()
            pause = max(PERIOD_S, (time.thread_time() - started) / MAX_SHARE)

    def _draw(self) -> None:
        width, height = self._console.size
        lines = view(self._follower.state(), Size(width=width, height=height - 1))
        self._live.update(draw(lines, self._console))
        if not self._say():
            self._live.refresh()

    def _say(self) -> bool:
        """Print what should stay on the terminal above the screen, which draws that anew; False for nothing."""
        lines = []
        while self._news:
            lines.append(self._news.popleft())
        if lines:
            self._console.print(Text("\n".join(lines)))
        return bool(lines)
