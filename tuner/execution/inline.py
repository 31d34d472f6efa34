"""Training inside the calling process, one job at a time: for debuggers and tests."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence

from tuner.data.info import DataInfo
from tuner.execution.lanes import Answer, Events
from tuner.execution.protocol import (
    EvaluateRequest,
    Evaluation,
    Event,
    LanesMeasured,
    LanesRequest,
    Machine,
    Measured,
    MeasureRequest,
    PrepareRequest,
    Probed,
    ProbeRequest,
    Seat,
    Tried,
    TryRequest,
    Vacancy,
)
from tuner.execution.runner import Runner
from tuner.execution.slot import Slot
from tuner.training.events import Decision, TrialEnd
from tuner.training.job import TrainJob


class InlineExecutor:
    """Implements `tuner.execution.protocol.Executor` without any process."""

    def __init__(self) -> None:
        self._aborted = False
        self._runner = Runner(lambda: self._aborted)
        self._group: Generator[Events, Answer, Sequence[TrialEnd]] | None = None
        self._slot = Slot()
        self._answer: Answer | None = None

    def start(self) -> None:
        """Nothing to start."""

    def machine(self) -> Machine:
        return self._runner.machine()

    def prepare(self, request: PrepareRequest) -> DataInfo:
        return self._runner.prepare(request)

    def try_out(self, request: TryRequest) -> Tried:
        return self._runner.try_out(request)

    def measure(self, request: MeasureRequest) -> Measured:
        return self._runner.measure(request)

    def measure_lanes(self, request: LanesRequest) -> LanesMeasured:
        return self._runner.measure_lanes(request)

    def probe(self, requests: Sequence[ProbeRequest], total_s: float) -> Sequence[Probed | None]:
        end = time.monotonic() + total_s
        return [self._runner.probe(request) if time.monotonic() < end else None for request in requests]

    def grow(self, n_slots: int) -> None:
        assert n_slots == 1, "one process trains one job at a time"

    def n_free(self) -> int:
        return int(self._group is None)

    def seat(self) -> Seat:
        return Seat(slot=0, pid=os.getpid())

    def submit(self, jobs: Sequence[TrainJob]) -> None:
        assert self._group is None, "the only slot is taken"
        self._aborted = False
        self._group = self._runner.run_group(jobs)
        self._slot.start(jobs)
        self._answer = None

    def vacancies(self) -> Sequence[Vacancy]:
        return [Vacancy(slot=0, trials=tuple(self._slot.jobs))] if self._slot.has_vacancy else []

    def refill(self, slot: int, jobs: Sequence[TrainJob]) -> None:  # noqa: ARG002
        self._answer = self._slot.refill(jobs)

    def wait(self, timeout_s: float | None, wake: int | None = None) -> Sequence[Event]:  # noqa: ARG002
        if self._group is None or self._slot.is_waiting:
            return []
        try:
            events: Events = next(self._group) if self._answer is None else self._group.send(self._answer)
        except StopIteration as stop:
            self._group = None
            events = stop.value
        self._slot.take(events)
        return events

    def reply(self, trial: int, decision: Decision) -> None:
        answer = self._slot.reply(trial, decision)
        if answer is not None:
            self._answer = answer

    def abort(self) -> None:
        self._aborted = True

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        return self._runner.evaluate(request)

    def close(self) -> None:
        if self._group is not None:
            self._group.close()
            self._group = None
