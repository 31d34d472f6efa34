"""A name for every way in which a job can end without being over."""

from __future__ import annotations

import logging

import torch

from tuner.data.describing import place_of
from tuner.data.loaders import LoaderError
from tuner.errors import TunerError
from tuner.training.events import Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.training.loop import AbortedError
from tuner.training.own_errors import OwnCodeError

_log = logging.getLogger("tuner")


def ended_by(job: TrainJob, error: BaseException) -> TrialEnd:
    """The end of a job that raised; a crash is logged with its traceback."""
    if isinstance(error, AbortedError):
        return _end(job, Outcome.ABORTED)
    if isinstance(error, TunerError):
        _log.error("%s", error)
        return _end(job, Outcome.INFEASIBLE, str(error), f"{type(error).__name__}: {error}")
    if isinstance(error, (OwnCodeError, LoaderError)):
        _log.error("%s", error)
        return _end(job, Outcome.CRASHED, str(error), str(error))
    if is_out_of_memory(error):
        return _end(job, Outcome.OOM, _first_line(error) or "out of memory", "out of memory")
    _log.error("trial %d crashed", job.trial, exc_info=error)
    return _end(job, Outcome.CRASHED, short(error), f"{type(error).__name__} {place_of(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host has no memory left; torch says so in several ways."""
    text = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def short(error: BaseException) -> str:
    """`Type: message, in file.py:12`."""
    return f"{type(error).__name__}: {error}, in {place_of(error)}"


def _end(job: TrainJob, outcome: Outcome, message: str = "", cause: str = "") -> TrialEnd:
    return TrialEnd(trial=job.trial, attempt=job.attempt, outcome=outcome, message=message, cause=cause)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
