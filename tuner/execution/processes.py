"""Worker processes on this machine: forked from a server that has torch loaded, or spawned where there is no fork."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

from tuner.data.info import DataInfo
from tuner.errors import MissingError
from tuner.execution import forkserver
from tuner.execution.protocol import (
    Command,
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
    Refused,
    Seat,
    Start,
    Tried,
    TryRequest,
    Vacancy,
    WorkerLost,
    WorkerSilent,
)
from tuner.execution.worker_process import Worker
from tuner.training.events import Decision, Outcome, TrialEnd
from tuner.training.job import TrainJob

ABORT_GRACE_S = 5.0
"""How long a worker may take to notice an abort before it is killed."""
MEASURE_GRACE_S = 60.0
"""How long a few training steps may take before their worker is given up."""


class ProcessExecutor:
    """Implements `tuner.execution.protocol.Executor` with one process a slot."""

    def __init__(self) -> None:
        self._context = forkserver.context()
        self._workers: list[Worker] = []
        self._request: PrepareRequest | None = None
        self._starting: threading.Thread | None = None
        self._failure: Exception | None = None
        self._is_closed = False
        # At its exit Python sends SIGTERM to the processes that are left and joins them; workers ignore SIGTERM.
        atexit.register(self.close)

    # -------------------------------------------------------------------------------------------------------- requests

    def start(self) -> None:
        """Begin to load torch in another process; everything else waits for it when it has to."""
        if self._starting is None:
            forkserver.begin()
            # In a thread, since starting a process returns when the fork server has loaded what it preloads.
            self._starting = threading.Thread(target=self._start_first, name="start-worker", daemon=True)
            self._starting.start()

    def _start_first(self) -> None:
        if self._is_closed:
            return
        try:
            worker = self._new_worker()
        except (OSError, EOFError) as error:
            self._failure = error
            return
        self._workers.append(worker)

    def _first(self) -> Worker:
        self.start()
        assert self._starting is not None
        self._starting.join()
        if self._failure is not None:
            raise MissingError(f"no worker process could be started: {self._failure}; see `tuner doctor`")
        return self._workers[0]

    def _new_worker(self) -> Worker:
        return Worker.begin(self._context)

    def machine(self) -> Machine:
        worker = self._first()
        if worker.machine is None:
            worker.machine = self._receive(worker)
        return worker.machine

    def prepare(self, request: PrepareRequest) -> DataInfo:
        self.machine()
        self._request = request
        info: DataInfo = self._ask(self._first(), request)
        first = self._first()
        first.is_prepared = first.has_data = True
        return info

    def try_out(self, request: TryRequest) -> Tried:
        tried: Tried | None = self._ask_briefly(request)
        return tried or Tried(problems=("",) * len(request.configs))

    def measure(self, request: MeasureRequest) -> Measured:
        measured: Measured | None = self._ask_briefly(request)
        return measured or Measured()

    def _ask_briefly(self, request: TryRequest | MeasureRequest) -> Any:
        """The first worker's answer; None when it died of the user's model, or hangs in it: its trials will say so."""
        worker = self._first()
        self._introduce(worker)
        try:
            worker.connection.send(request)
            while worker.connection.poll(MEASURE_GRACE_S):
                answer = worker.connection.recv()
                if isinstance(answer, (Tried, Measured)):
                    return answer
                self._note(worker, answer)
        except (EOFError, OSError):
            pass
        worker.end()
        self._workers[0] = self._new_worker()
        return None

    def measure_lanes(self, request: LanesRequest) -> LanesMeasured:
        index = next(index for index, worker in enumerate(self._workers) if worker.is_free)
        worker = self._workers[index]
        self._introduce(worker)
        try:
            worker.connection.send(request)
            while worker.connection.poll(MEASURE_GRACE_S):
                answer = worker.connection.recv()
                if isinstance(answer, LanesMeasured):
                    return answer
                self._note(worker, answer)
        except (EOFError, OSError):
            pass
        worker.end()
        self._workers[index] = self._new_worker()
        return LanesMeasured()

    def probe(self, requests: Sequence[ProbeRequest], total_s: float) -> Sequence[Probed | None]:
        end = time.monotonic() + total_s
        answers: dict[int, Probed] = {}
        waiting = list(enumerate(requests))
        busy: dict[int, tuple[int, float]] = {}  # by worker: the request, and when it is given up
        while waiting or busy:
            if time.monotonic() >= end:
                waiting.clear()
            for place in range(len(self._workers)):
                if waiting and place not in busy:
                    number, request = waiting.pop(0)
                    self._introduce(self._workers[place])
                    self._workers[place].send(request)
                    busy[place] = (number, time.monotonic() + request.budget_s + MEASURE_GRACE_S)
            wait([self._workers[place].connection for place in busy], 1.0)
            for place, (number, give_up_at) in list(busy.items()):
                answer = self._probed(place, give_up_at)
                if answer is not None:
                    answers[number] = answer
                    del busy[place]
        return [answers.get(number) for number in range(len(requests))]

    def _probed(self, place: int, give_up_at: float) -> Probed | None:
        """What a worker has answered by now; one that died or hangs is replaced, and that is the answer."""
        worker = self._workers[place]
        try:
            while worker.connection.poll():
                answer = worker.connection.recv()
                if isinstance(answer, Probed):
                    return answer
                self._note(worker, answer)
            if time.monotonic() < give_up_at:
                return None
        except (EOFError, OSError):
            worker.process.join(timeout=ABORT_GRACE_S)
        problem = f"the worker process {worker.death}"
        worker.end()
        self._workers[place] = self._new_worker()
        return Probed(problem=problem)

    def _introduce(self, worker: Worker) -> None:
        """Give a new worker the data; its answer comes first, and is passed over."""
        if not worker.is_prepared and self._request is not None:
            worker.send(self._request)
            worker.is_prepared = True

    def _note(self, worker: Worker, message: object) -> None:
        """What a new worker says first: what it found, and that it has the data; its jobs report if it has not."""
        if isinstance(message, Machine):
            worker.machine = message
        else:
            worker.has_data = True

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        self.machine()
        evaluation: Evaluation = self._ask(self._first(), request)
        return evaluation

    def _ask(self, worker: Worker, request: PrepareRequest | EvaluateRequest) -> Any:
        worker.connection.send(request)
        answer = self._receive(worker)
        if isinstance(answer, Refused):
            raise answer.error
        return answer

    def _receive(self, worker: Worker) -> Any:
        try:
            return worker.connection.recv()
        except (EOFError, OSError) as error:
            worker.process.join(timeout=ABORT_GRACE_S)
            raise MissingError(f"a worker process {worker.death} before it could train; see `tuner doctor`") from error

    # ------------------------------------------------------------------------------------------------------------ jobs

    def grow(self, n_slots: int) -> None:
        self._first()
        while len(self._workers) < n_slots:
            self._workers.append(self._new_worker())

    def n_free(self) -> int:
        return sum(worker.is_free for worker in self._workers)

    def _free_slot(self) -> int:
        """The next one, with a fresh process where the last job ran out of memory."""
        index = next(index for index, worker in enumerate(self._workers) if worker.is_free)
        if self._workers[index].ran_out_of_memory:
            self._workers[index].end()
            self._workers[index] = self._new_worker()
        return index

    def seat(self) -> Seat:
        index = self._free_slot()
        return Seat(slot=index, pid=self._workers[index].process.pid or 0)

    def submit(self, jobs: Sequence[TrainJob]) -> None:
        worker = self._workers[self._free_slot()]
        worker.slot.start(jobs)
        worker.watch.begin()
        worker.abort_by = None
        self._introduce(worker)
        worker.send(Start(jobs=tuple(jobs)))

    def vacancies(self) -> Sequence[Vacancy]:
        return [
            Vacancy(slot=index, trials=tuple(worker.slot.jobs))
            for index, worker in enumerate(self._workers)
            if worker.slot.has_vacancy
        ]

    def refill(self, slot: int, jobs: Sequence[TrainJob]) -> None:
        worker = self._workers[slot]
        worker.watch.heard()
        worker.send(worker.slot.refill(jobs))

    def wait(self, timeout_s: float | None, wake: int | None = None) -> Sequence[Event]:
        busy = [worker for worker in self._workers if not worker.is_free]
        if not busy:
            return []
        # A dead worker's connection stays open for as long as a process that it forked: its own end tells.
        watched: list[Any] = [item for worker in busy for item in (worker.connection, worker.process.sentinel)]
        end = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            ready = wait([*watched, *([wake] if wake is not None else [])], self._wait_s(busy, end))
            found = [event for worker in busy for event in self._heard(worker, ready)]
            found += [*self._overdue(), *self._hanging(busy)]
            if found or ready or time.monotonic() >= end:
                return found

    def _wait_s(self, busy: Sequence[Worker], end: float) -> float:
        """Until something is due: the caller's time, an abort's grace, a look at a worker that is silent."""
        now = time.monotonic()
        due = [end, *(worker.abort_by for worker in busy if worker.abort_by is not None)]
        looks = [worker.watch.next_look_s(list(worker.slot.jobs.values())) for worker in busy if not worker.is_free]
        return max(0.0, min([*looks, *(at - now for at in due)]))

    def _hanging(self, busy: Sequence[Worker]) -> list[WorkerLost | WorkerSilent]:
        """Workers that have said nothing for far too long; one that waits for an answer does not count."""
        found: list[WorkerLost | WorkerSilent] = []
        for worker in busy:
            jobs = list(worker.slot.jobs.values())
            if not jobs or worker.machine is None or worker.slot.is_waiting:
                continue
            finding = worker.watch.look(worker.process.pid or 0, jobs, is_ready=worker.has_data)
            if finding is not None and finding.ends:
                worker.write_stacks()
                found += self._lost(worker, kill=True, why=finding.message)
            elif finding is not None:
                found += [WorkerSilent(trial=job.trial, attempt=job.attempt, message=finding.message) for job in jobs]
        return found

    def _heard(self, worker: Worker, ready: Sequence[Any]) -> Sequence[Event]:
        if worker.connection in ready or (worker.process.sentinel in ready and worker.connection.poll()):
            return self._events(worker)
        return self._lost(worker, kill=False) if worker.process.sentinel in ready else []

    def _overdue(self) -> list[WorkerLost]:
        """Workers that have not heard an abort: they hang in a batch, or in the user's code."""
        now = time.monotonic()
        late = [item for item in self._workers if not item.is_free and now >= (item.abort_by or math.inf)]
        return [event for worker in late for event in self._lost(worker, kill=True)]

    def _events(self, worker: Worker) -> Sequence[Event]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._lost(worker, kill=False)
        worker.watch.heard(message if isinstance(message, Sequence) else ())
        if not isinstance(message, Sequence):
            self._note(worker, message)
            return []
        worker.slot.take(message)
        worker.ran_out_of_memory |= any(isinstance(item, TrialEnd) and item.outcome is Outcome.OOM for item in message)
        return message

    def _lost(self, worker: Worker, *, kill: bool, why: str = "") -> Sequence[WorkerLost]:
        """A worker that died, or has to (`why`, when it hangs): another process takes its place."""
        jobs = worker.slot.clear()
        if kill:
            worker.kill()
        worker.process.join(timeout=ABORT_GRACE_S)
        message = f"the worker process was ended: {why}" if why else f"the worker process {worker.death}"
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._new_worker()
        return [WorkerLost(trial=job.trial, attempt=job.attempt, message=message, has_hung=bool(why)) for job in jobs]

    def reply(self, trial: int, decision: Decision) -> None:
        worker = next((worker for worker in self._workers if trial in worker.slot.jobs), None)
        if worker is None:  # killed in the meantime, since it did not hear an abort
            return
        decisions = worker.slot.reply(trial, decision)
        if decisions is not None:
            worker.watch.heard()
            worker.send(decisions)

    def abort(self) -> None:
        for worker in self._workers:
            if not worker.is_free:
                worker.abort_by = time.monotonic() + ABORT_GRACE_S
                worker.send(Command.ABORT)

    def close(self) -> None:
        self._is_closed = True
        atexit.unregister(self.close)
        if self._starting is not None and self._starting.is_alive():
            forkserver.cancel()
            self._starting.join()
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.process.join(timeout=ABORT_GRACE_S)
        self._workers.clear()
