"""A search without training, for benchmarks of the driver: workers that cost nothing, and studies that are full."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import event

from tuner.config import schema
from tuner.config.spec import Spec, find_file, load
from tuner.control.controller import TrialState
from tuner.data.info import DataInfo
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
    Seat,
    Vacancy,
)
from tuner.space.parameters import Params
from tuner.study.advisor import StudyAdvisor
from tuner.study.records import StoredTrial
from tuner.study.store import NewAttempt, StudyStore
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob

SPACE = "mlp.yaml"
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_weighted",
    "roc_auc",
    "average_precision",
    "log_loss",
)
OUTCOMES = {
    Decision.CONTINUE: Outcome.COMPLETED,
    Decision.PAUSE: Outcome.PAUSED,
    Decision.STOP: Outcome.STOPPED,
}
INFO = DataInfo(
    kind="digits",
    task="classification",
    input_shape=(1, 8, 8),
    n_targets=10,
    labels=(),
    n_train=1078,
    n_val=359,
    n_test=360,
    fingerprint="benchmark",
    in_memory=True,
)


def spec_of(**search: object) -> Spec:
    """README's example, with other `search` settings; what fresh seeds cost is another question."""
    overrides: dict[str, object] = {f"search.{name}": value for name, value in search.items() if value is not None}
    overrides["confirm"] = "off"
    return load(find_file(SPACE), overrides=overrides)


def accuracy(params: Params, epoch: int, noise: float) -> float:
    """A learning curve: best near lr 0.01, with little dropout, the better the longer."""
    distance = abs(math.log10(float(params["optimizer.lr"] or 1.0)) + 2.0) + float(params["model.dropout"] or 0.0)
    return max(0.1, 1.0 - 0.2 * distance - 0.3 / epoch - 0.05 * noise)


def epoch_end(trial: int, attempt: int, epoch: int, value: float, seconds: float = 1.0) -> EpochEnd:
    """What a worker reports: eleven metrics and a checkpoint."""
    metrics = {f"val/{name}": value for name in METRICS} | {"val/loss": 1.0 - value, "train/loss": 1.0 - value}
    saved = Checkpoint(epoch=epoch, file=f"epoch-{epoch:05d}.pt", sha256="a" * 64, size_bytes=200_000)
    return EpochEnd(
        trial=trial, attempt=attempt, epoch=epoch, metrics=metrics, seconds=seconds, checkpoint=saved, kept=(epoch,)
    )


# ------------------------------------------------------------------------------------------------------------- executor


@dataclass(slots=True)
class _Running:
    job: TrainJob
    epoch: int
    last_epoch: int
    noise: float
    ready_at: float = 0.0


@dataclass(slots=True)
class SleepingExecutor:
    """Implements `tuner.execution.protocol.Executor` by workers that only sleep for `epoch_s` an epoch.

    A worker that has reported, or is without a job, waits for the driver: `waited_s` is the sum over all workers.
    """

    epoch_s: float
    last_epoch_of: Callable[[TrainJob], int]
    n_slots: int = 0
    n_epochs: int = 0
    n_trials: int = 0
    waited_s: float = 0.0
    first_at: float = 0.0
    """When there were slots to fill, on the clock; what the session did before is its start."""
    first_cpu: float = 0.0
    _running: dict[int, _Running] = field(default_factory=dict)
    _ready: list[tuple[float, int]] = field(default_factory=list)
    _idle_since: list[float] = field(default_factory=list)
    _ends: list[TrialEnd] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def start(self) -> None:
        """Nothing to start."""

    def machine(self) -> Machine:
        return Machine(devices=(), device_names=(), versions={})

    def prepare(self, request: PrepareRequest) -> DataInfo:  # noqa: ARG002  the protocol's signature
        return INFO

    def grow(self, n_slots: int) -> None:
        self._idle_since = [time.perf_counter()] * n_slots
        self.n_slots = n_slots
        self.first_at, self.first_cpu = time.perf_counter(), time.process_time()

    def n_free(self) -> int:
        return len(self._idle_since)

    def measure(self, request: MeasureRequest) -> Measured:  # noqa: ARG002
        return Measured()

    def measure_lanes(self, request: LanesRequest) -> LanesMeasured:  # noqa: ARG002
        return LanesMeasured()

    def vacancies(self) -> Sequence[Vacancy]:
        return []

    def refill(self, slot: int, jobs: Sequence[TrainJob]) -> None:  # noqa: ARG002
        raise AssertionError("nobody waits for jobs")

    def seat(self) -> Seat:
        return Seat()

    def submit(self, jobs: Sequence[TrainJob]) -> None:
        (job,) = jobs
        self.waited_s += time.perf_counter() - self._idle_since.pop(0)
        begun = job.checkpoints[0].epoch if job.checkpoints else 0
        running = _Running(job=job, epoch=begun, last_epoch=self.last_epoch_of(job), noise=self._random.random())
        self._running[job.trial] = running
        self._train(running)

    def _train(self, running: _Running) -> None:
        seconds = self.epoch_s * (0.8 + 0.4 * self._random.random())
        running.epoch += 1
        running.ready_at = time.perf_counter() + seconds
        heapq.heappush(self._ready, (running.ready_at, running.job.trial))

    def wait(self, timeout_s: float | None, wake: int | None = None) -> Sequence[Event]:  # noqa: ARG002
        if not self._ends and self._ready:
            left = self._ready[0][0] - time.perf_counter()
            time.sleep(max(0.0, left if timeout_s is None else min(left, timeout_s)))
        events: list[Event] = list(self._ends)
        self._ends.clear()
        now = time.perf_counter()
        while self._ready and self._ready[0][0] <= now:
            running = self._running[heapq.heappop(self._ready)[1]]
            value = accuracy(_params(running.job), running.epoch, running.noise)
            events.append(epoch_end(running.job.trial, running.job.attempt, running.epoch, value, self.epoch_s))
        self.n_epochs += sum(isinstance(found, EpochEnd) for found in events)
        return events

    def reply(self, trial: int, decision: Decision) -> None:
        running = self._running[trial]
        now = time.perf_counter()
        self.waited_s += now - running.ready_at
        if decision is Decision.CONTINUE and running.epoch < running.last_epoch:
            self._train(running)
        else:
            self._end(trial, OUTCOMES[decision])

    def _end(self, trial: int, outcome: Outcome) -> None:
        running = self._running.pop(trial)
        self.n_trials += 1
        self._idle_since.append(time.perf_counter())
        self._ends.append(TrialEnd(trial=trial, attempt=running.job.attempt, outcome=outcome))

    def abort(self) -> None:
        self._ready.clear()
        for trial in list(self._running):
            self._end(trial, Outcome.ABORTED)

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        raise NotImplementedError

    def close(self) -> None:
        """There is no process to end."""


def _params(job: TrainJob) -> Params:
    model = job.config.model
    dropout = model.dropout if isinstance(model, schema.Mlp) else 0.0
    return {"optimizer.lr": job.config.optimizer.lr, "model.dropout": dropout if isinstance(dropout, float) else 0.0}


# --------------------------------------------------------------------------------------------------------- full studies


def fill(url: str, n_trials: int, n_epochs: int, n_open: int) -> None:
    """Make a study of README's example with random trials, the last few unfinished; not synced, so that it is quick."""
    spec = spec_of()
    store = StudyStore.open(url, spec.study)
    event.listen(store._engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous=OFF"))  # noqa: SLF001
    store.create(spec, INFO, {}, {})
    store.begin_session()
    store.history()
    advisor = random_advisor(spec)
    noise, config = random.Random(1), spec.base.model_dump_json()
    for trial in range(n_trials):
        params = advisor.suggest(trial)
        assert params is not None
        store.record_ask(advisor.record_of(trial), config=config, seed=trial)
        store.begin_attempt(NewAttempt(trial=trial, attempt=1, first_epoch=1, threads=1, device="cpu"))
        level = noise.random()
        values = [accuracy(params, epoch, level) for epoch in range(1, n_epochs + 1)]
        ends = [epoch_end(trial, 1, epoch, value) for epoch, value in enumerate(values, start=1)]
        store.record_epochs(ends, "val/accuracy")
        if trial < n_trials - n_open:
            _finish(store, trial, max(values) if trial % 3 else None)
    store.end_session()
    store.close()


def _finish(store: StudyStore, trial: int, value: float | None) -> None:
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    outcome = Outcome.STOPPED if value is None else Outcome.COMPLETED
    store.end_attempt(trial, 1, outcome, seconds=1.0)
    store.finish(trial, state, value=value, best_epoch=0 if value is None else 1)


def random_advisor(spec: Spec) -> StudyAdvisor:
    """Params at random, as long as it is told nothing."""
    return advisor_of(spec, schema.Search(pruner=schema.NoPruner()))


def advisor_of(spec: Spec, search: schema.Search | None = None, history: Sequence[StoredTrial] = ()) -> StudyAdvisor:
    """The adviser of a study, as a session makes it."""
    return StudyAdvisor(
        name=spec.study,
        space=spec.space,
        search=search or spec.search,
        maximize=spec.maximize,
        seed=spec.seed,
        max_epochs=spec.max_epochs(),
        history=history,
    )


def url_in(folder: str | Path) -> str:
    return f"sqlite:///{Path(folder) / 'studies.db'}"
