"""log.txt and metrics.jsonl of the trials that a worker has at hand; both files of the latest ones stay open."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from tuner.training.events import EpochEnd, TrialEnd
from tuner.training.job import TrainJob

LOG_FILE = "log.txt"
METRICS_FILE = "metrics.jsonl"

MAX_OPEN = 64
"""Trials whose files are open at a time: hundreds of lanes would need more than a process may have open."""

_log = logging.getLogger("tuner")


@dataclass(frozen=True, slots=True)
class _Files:
    handler: logging.Handler
    metrics: IO[str]

    def close(self) -> None:
        self.handler.close()
        self.metrics.close()


@dataclass(slots=True)
class TrialLogs:
    """The open files, by trial, the latest used last."""

    _open: dict[int, _Files] = field(default_factory=dict)

    @contextmanager
    def to(self, job: TrainJob) -> Iterator[None]:
        """While entered, what is logged goes to the log of this job."""
        handler = self._files(job).handler
        _log.addHandler(handler)
        try:
            yield
        finally:
            _log.removeHandler(handler)

    def begin(self, job: TrainJob) -> None:
        with self.to(job):
            _log.info("trial %d, attempt %d on %s, %d threads", job.trial, job.attempt, job.device, job.threads)

    def events(self, jobs: Mapping[int, TrainJob], events: Sequence[EpochEnd] | Sequence[TrialEnd]) -> None:
        for event in events:
            if isinstance(event, EpochEnd):
                self._epoch(jobs[event.trial], event)
            else:
                self._end(jobs[event.trial], event)

    def _epoch(self, job: TrainJob, end: EpochEnd) -> None:
        """A line with all metrics, for people and for programs."""
        finite = {name: value if math.isfinite(value) else None for name, value in end.metrics.items()}
        line = {"epoch": end.epoch, "attempt": end.attempt, "seconds": round(end.seconds, 4), **finite}
        metrics = self._files(job).metrics
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        shown = " ".join(f"{name} {value:.6g}" for name, value in end.metrics.items())
        with self.to(job):
            for what, picked in end.picked.items():
                _log.info("%s: %s", what, picked)
            _log.info("epoch %d: %s (%.2f s)", end.epoch, shown, end.seconds)

    def _end(self, job: TrainJob, end: TrialEnd) -> None:
        with self.to(job):
            _log.info("%s", end.outcome.value)
        self._open.pop(job.trial).close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _files(self, job: TrainJob) -> _Files:
        files = self._open.pop(job.trial, None) or _open(job)
        self._open[job.trial] = files
        if len(self._open) > MAX_OPEN:
            self._open.pop(next(iter(self._open))).close()
        return files


def _open(job: TrainJob) -> _Files:
    _log.setLevel(logging.INFO)
    _log.propagate = False
    job.folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(job.folder / LOG_FILE, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return _Files(handler, (job.folder / METRICS_FILE).open("a", encoding="utf-8"))
