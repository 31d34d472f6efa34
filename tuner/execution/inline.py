"""Training inside the calling process, one job at a time: for debuggers and tests."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from tuner.data.info import DataInfo
from tuner.execution.protocol import (
    EvaluateRequest,
    Evaluation,
    Event,
    Machine,
    Measured,
    MeasureRequest,
    PrepareRequest,
)
from tuner.execution.runner import Runner
from tuner.training.events import Decision, EpochEnd, TrialEnd
from tuner.training.job import TrainJob


class InlineExecutor:
    """Implements `tuner.execution.protocol.Executor` without any process."""

    def __init__(self) -> None:
        self._aborted = False
        self._runner = Runner(lambda: self._aborted)
        self._run: Generator[EpochEnd, Decision, TrialEnd] | None = None
        self._decision: Decision | None = None
        self._awaits_reply = False

    def start(self) -> None:
        """Nothing to start."""

    def machine(self) -> Machine:
        return self._runner.machine()

    def prepare(self, request: PrepareRequest) -> DataInfo:
        return self._runner.prepare(request)

    def measure(self, request: MeasureRequest) -> Measured:
        return self._runner.measure(request)

    def grow(self, n_slots: int) -> None:
        assert n_slots == 1, "one process trains one job at a time"

    def n_free(self) -> int:
        return int(self._run is None)

    def submit(self, job: TrainJob) -> None:
        assert self._run is None, "the only slot is taken"
        self._aborted = False
        self._run = self._runner.run(job)
        self._decision, self._awaits_reply = None, False

    def wait(self, timeout_s: float | None, wake: int | None = None) -> Sequence[Event]:  # noqa: ARG002
        if self._run is None or self._awaits_reply:
            return []
        try:
            end = next(self._run) if self._decision is None else self._run.send(self._decision)
        except StopIteration as stop:
            self._run = None
            ended: TrialEnd = stop.value
            return [ended]
        self._awaits_reply = True
        return [end]

    def reply(self, trial: int, decision: Decision) -> None:  # noqa: ARG002
        self._decision, self._awaits_reply = decision, False

    def renew(self) -> None:
        """There is no process to replace."""

    def abort(self) -> None:
        self._aborted = True

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        return self._runner.evaluate(request)

    def close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None
