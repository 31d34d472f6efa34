"""Fault points: places where a test can make the process die, fail or wait.

`TUNER_FAULT="after_ask:kill@3,checkpoint_written:enospc"` kills this process when it reaches the point `after_ask`
for the third time and makes the first write of a checkpoint fail as a full disk does. With `TUNER_FAULT_ONCE=FILE` a
fault fires in one process only: the first to create FILE. Without TUNER_FAULT a point costs one comparison.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

POINTS = (
    "study_created",
    "after_ask",
    "job_sent",
    "checkpoint_written",
    "checkpoint_renamed",
    "epoch_recorded",
    "paused",
    "before_tell",
    "told",
    "confirm_planned",
)
"""Every durable step, in the order in which a trial passes them."""
SOME_POINTS = ("taken_over",)
"""Steps that only some searches have."""


class InjectedFaultError(RuntimeError):
    """Raised by the action `raise`."""


def _kill(_point: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(point: str) -> None:
    raise InjectedFaultError(f"injected at {point}")


def _sleep(_point: str) -> None:
    time.sleep(float(os.environ.get("TUNER_FAULT_SLEEP_S", "1")))


def _enospc(point: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)


ACTIONS: dict[str, Callable[[str], None]] = {"kill": _kill, "raise": _raise, "sleep": _sleep, "enospc": _enospc}


def _parse(text: str) -> dict[str, tuple[str, int]]:
    faults = {}
    for item in filter(None, text.split(",")):
        point, _, rest = item.partition(":")
        action, _, count = rest.partition("@")
        if point not in (*POINTS, *SOME_POINTS) or action not in ACTIONS:
            raise ValueError(
                f"TUNER_FAULT: {item!r} is no point:action[@count]; points {POINTS}, actions {tuple(ACTIONS)}"
            )
        faults[point] = (action, int(count or 1))
    return faults


_FAULTS: dict[str, tuple[str, int]] = {}
_PASSED: dict[str, int] = {}


def arm(text: str) -> None:
    """Set the faults of this process, as TUNER_FAULT does at its start."""
    _FAULTS.clear()
    _PASSED.clear()
    _FAULTS.update(_parse(text))


arm(os.environ.get("TUNER_FAULT", ""))


def _claimed() -> bool:
    once = os.environ.get("TUNER_FAULT_ONCE")
    if not once:
        return True
    try:
        Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def fault_point(point: str) -> None:
    """Do what TUNER_FAULT says for `point`, if anything."""
    if not _FAULTS or point not in _FAULTS:
        return
    _PASSED[point] = _PASSED.get(point, 0) + 1
    action, count = _FAULTS[point]
    if _PASSED[point] == count and _claimed():
        ACTIONS[action](point)
