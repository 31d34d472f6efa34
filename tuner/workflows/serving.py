"""How servers on this machine begin and end."""

from __future__ import annotations

import select
import signal
from collections.abc import Callable

from tuner.errors import UsageError
from tuner.workflows.interrupts import Interrupts


def port_taken(port: int) -> UsageError:
    return UsageError(f"port {port} is taken; name another with --port, or 0 for a free one")


def serve_until_interrupted(start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Start a server in the background, and stop it at Ctrl-C or SIGTERM.

    An exception of Ctrl-C can come where Python only prints it, such as in a finalizer: then a server would go on.
    """
    with Interrupts() as interrupts:
        start()
        select.select([interrupts.descriptor], [], [])
        stop()
    if interrupts.first is signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # whoever asked for the server knows how to end
