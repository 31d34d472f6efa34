"""Ctrl-C and SIGTERM as something a loop can look at, instead of an exception anywhere."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, counts interrupts; `descriptor` becomes readable with each, to wake a waiting loop.

    Outside the main thread, where signals cannot be handled, it never counts anything.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: signal.Signals | None = None
        self.descriptor = -1
        self._previous: dict[signal.Signals, Any] = {}
        self._writer = -1

    def __enter__(self) -> Self:
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self.descriptor, False)
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.first = self.first or signal.Signals(number)
        with suppress(BlockingIOError):  # full: it is readable already
            os.write(self._writer, b"\0")

    def drain(self) -> None:
        """Make `descriptor` unreadable until the next interrupt."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)
