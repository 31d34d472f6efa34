"""A tracker in a thread of its own, behind a queue: whatever it does, a search does not wait for it.

One that raises, or is not installed, is told nothing more. One that is slow or hangs loses what does not fit into the
queue, and at the end it is left behind after a few seconds. Each is named once, with what to do.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from tuner.errors import TunerError
from tuner.trackers.base import Event, Tracker, tell

QUEUE_SIZE = 20_000
"""Events that wait for a tracker."""
CLOSE_S = 5.0
"""How long the end of a search waits for all trackers together."""

Build = Callable[[], Tracker]
Told = Event | Callable[[], Event]
"""An event, or what finds it out in the tracker's thread."""


class Channel:
    """One tracker. Everything but its thread is for the driver's thread, and returns at once."""

    def __init__(self, name: str, build: Build, *, size: int = QUEUE_SIZE) -> None:
        self.name = name
        self._build = build
        self._events: queue.Queue[Told | None] = queue.Queue(size)
        self._trouble: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_named = False
        self._is_broken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tracker {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, event: Told) -> None:
        """Hand an event over; it is lost when the tracker is broken, or so slow that the queue is full."""
        if self._is_broken.is_set():
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._is_broken.set()  # what comes later would have gaps before it
            self._trouble.put(f"is {self._events.maxsize} events behind")

    def trouble(self) -> str:
        """What went wrong, once; empty when there is nothing to say."""
        if self._is_named or self._trouble.empty():
            return ""
        self._is_named = True
        return (
            f"tracker {self.name} {self._trouble.get()}; nothing else waits for it, and "
            f"`tuner sync {self.name}` sends the study later"
        )

    def end(self) -> None:
        """Nothing follows."""
        with contextlib.suppress(queue.Full):
            self._events.put_nowait(None)

    def join(self, until: float) -> None:
        """Wait for the tracker to finish, until this moment of the monotonic clock."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._is_broken.set()
            self._trouble.put("did not finish in time")

    # ----------------------------------------------------------------------------------------------------- its thread

    def _run(self) -> None:
        try:
            tracker = self._build()
            for event in self._incoming(tracker):
                tell(tracker, event)
            tracker.close()
        except TunerError as error:
            self._fail(error.message)
        except (Exception, SystemExit) as error:  # noqa: BLE001  other people's code: it must not end the search
            text = str(error).strip().splitlines() or [""]
            self._fail(f"{type(error).__name__}: {text[0]}" if text[0] else type(error).__name__)

    def _incoming(self, tracker: Tracker) -> Iterator[Event]:
        """Events as they come; between two bursts of them the tracker is flushed. Ends when a search does."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                tracker.flush()
                event = self._events.get()
            if event is None or self._is_broken.is_set():
                return
            yield event() if callable(event) else event

    def _fail(self, message: str) -> None:
        self._is_broken.set()
        self._trouble.put(f"failed: {message}")
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()


def close_all(channels: Sequence[Channel]) -> None:
    """Let all of them finish, at once and together within a few seconds."""
    until = time.monotonic() + CLOSE_S
    for channel in channels:
        channel.end()
    for channel in channels:
        channel.join(until)
