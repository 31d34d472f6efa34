"""Jobs in, events out: what a driver knows of the processes that train.

Everything here crosses a pipe, so it is plain and picklable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from tuner.config.recorded import Recorded
from tuner.config.schema import TrialConfig
from tuner.data.info import DataInfo
from tuner.errors import TunerError
from tuner.training.events import Decision, EpochEnd, TrialEnd
from tuner.training.job import TrainJob


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """Decode the data and try the base config on one batch, before any trial is asked for."""

    config: TrialConfig
    metric: str
    seed: int
    """The study's seed, which fixes the split."""
    base_dir: Path
    data_dir: Path
    threads: int
    precisions: tuple[str, ...] = ()
    """Those of the space, which the device must have too."""
    metrics: tuple[str, ...] = ()
    """What objectives and constraints are made of: each must have a value on the validation rows."""
    recorded: Recorded = field(default_factory=Recorded)
    """Metrics of the user's own are tried out, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """Take a few training steps of the base config; the data is prepared."""

    prepare: PrepareRequest
    thread_choices: tuple[int, ...]
    device: str
    """The CPU, where the numbers of threads are compared, or a GPU, whose use is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRequest:
    """Build the parts of configs, and look at one batch with each; the data is prepared."""

    configs: tuple[TrialConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The answer to a TryRequest."""

    problems: tuple[str, ...]
    """Of each config why it cannot be trained; empty where nothing speaks against it, or nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What a trial of the base config takes of a GPU."""

    free_bytes: int
    """Of the card, before."""
    peak_bytes: int
    busy_share: float
    """Of the time of a step, in which the card computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The answer to a MeasureRequest; empty when the steps failed, which the trials will report."""

    step_seconds: dict[int, float] = field(default_factory=dict)
    """By number of threads."""
    gpu: GpuUse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesRequest:
    """Take a few training steps of a job, alone and in lanes; nothing is kept of them."""

    job: TrainJob
    sizes: tuple[int, ...]
    """Numbers of lanes; without any no step is taken, and the model's parameters are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesMeasured:
    """The answer to a LanesRequest; empty when the steps failed, which the trials will report."""

    step_seconds: dict[int, float] = field(default_factory=dict)
    """Seconds of a step of one lane, by the number of lanes; 1 is a run alone."""
    n_params: int | None = None
    """Where they were to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """Train a job for a moment, to see what it takes; nothing is kept of it."""

    job: TrainJob
    budget_s: float
    """About how long; an epoch that takes longer is measured by its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The answer to a ProbeRequest: what a trial of this config takes."""

    setup_s: float = 0.0
    """Once a trial: building it, and what its first step takes longer than the others."""
    epoch_s: float = 0.0
    """Of an epoch with its validation and checkpoint."""
    n_params: int = 0
    curve: tuple[float, ...] = ()
    """The objective after each epoch that was trained; empty where an epoch takes too long."""
    is_over: bool = False
    """Whether it stopped early by itself within that curve."""
    wait_share: float = 0.0
    """Of its time, in which it could have run but other processes had the cores."""
    memory_bytes: int | None = None
    """The most that the worker had of its own, besides mapped data; None where the system does not say."""
    gpu_bytes: int | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    """Those that objectives and constraints name."""
    problem: str = ""
    """Why a trial of this config could not be trained; empty when it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """Evaluate the weights of one epoch again: on the validation part, and at most once on the sealed test part."""

    prepare: PrepareRequest
    job: TrainJob
    epoch: int
    weights: Path
    """Where the plain state_dict is written."""
    opens_test: bool = True
    """False when these weights have their score on the test part already."""
    examines: bool = False
    """Whether the validation part is looked at closely, for a report."""
    sample: Path | None = None
    """Where a batch of the validation part is written, with its scores, for comparing formats of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The answer to an EvaluateRequest; metrics by `<split>/<metric>`."""

    metrics: dict[str, float]
    data: DataInfo
    preprocess: dict[str, object]
    n_outputs: int
    n_params: int | None = None
    """Parameters of the model; None of own training code."""
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By part, what `tuner.training.details` tells of it."""
    examined: dict[str, Any] = field(default_factory=dict)
    """What `tuner.training.examine` tells of the validation part, where it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a worker found where it runs."""

    devices: tuple[str, ...]
    """Accelerators by name, `cuda:0` ...; empty on a machine without."""
    device_names: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost:
    """A worker's process died, or stopped answering, while it trained this trial."""

    trial: int
    attempt: int
    message: str
    has_hung: bool = False
    """It was ended, since nothing was heard of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSilent:
    """Nothing was heard of this trial's worker for long; it goes on."""

    trial: int
    attempt: int
    message: str


Event = EpochEnd | TrialEnd | WorkerLost | WorkerSilent


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A slot, and the process that trains in it now."""

    slot: int = 0
    pid: int = 0
    """0 where nobody knows."""


class Command(Enum):
    """Messages that carry nothing."""

    ABORT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The answer to a request that ended in a TunerError."""

    error: TunerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Jobs of one shape that a worker trains as lanes of one program; a single job is trained alone."""

    jobs: tuple[TrainJob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacancy:
    """A slot whose lanes wait at the end of an epoch, since some of them are over: answered by `refill`."""

    slot: int
    trials: tuple[int, ...]
    """Those that go on."""


class Executor(Protocol):
    """Trains jobs, several at a time, and reports what happens to them.

    A slot trains one job, or several of one shape as lanes. After an EpochEnd the job waits for `reply`, and with it
    the other lanes of its slot. A slot all of whose jobs have ended (TrialEnd, WorkerLost) is free again; one that goes
    on with fewer lanes waits for `refill`.
    """

    def start(self) -> None:
        """Begin to get ready in the background; every other call waits for it when it has to."""

    def prepare(self, request: PrepareRequest) -> DataInfo:
        """Decode the data; raises the TunerError that it is refused with."""

    def try_out(self, request: TryRequest) -> Tried:
        """Whether configs could be trained, after `prepare`; what cannot be found out counts as no problem."""

    def measure(self, request: MeasureRequest) -> Measured:
        """Measure training steps after `prepare`; empty when that goes wrong in any way."""

    def measure_lanes(self, request: LanesRequest) -> LanesMeasured:
        """Measure in a free slot, of which there must be one; empty when that goes wrong in any way."""

    def probe(self, requests: Sequence[ProbeRequest], total_s: float) -> Sequence[Probed | None]:
        """What jobs take, measured in all slots at once, which must be free; after `total_s` nothing more is begun.

        None for what was not begun; a job that ends its worker has that as its problem.
        """

    def machine(self) -> Machine:
        """What there is to train on."""

    def grow(self, n_slots: int) -> None:
        """Have this many slots from now on."""

    def n_free(self) -> int:
        """Slots that could take a job now."""

    def seat(self) -> Seat:
        """The slot that the next `submit` takes, of which there must be one."""

    def submit(self, jobs: Sequence[TrainJob]) -> None:
        """Start jobs of one shape in a free slot, as lanes of one program."""

    def vacancies(self) -> Sequence[Vacancy]:
        """The slots that wait for `refill`."""

    def refill(self, slot: int, jobs: Sequence[TrainJob]) -> None:
        """Let a slot with a vacancy go on, with these jobs besides those that it has; they may be none."""

    def wait(self, timeout_s: float | None, wake: int | None = None) -> Sequence[Event]:
        """Events since the last call, as soon as there is one.

        Nothing after `timeout_s`, when the descriptor `wake` is readable, when a new worker has only introduced itself,
        and at once when no job is running.
        """

    def reply(self, trial: int, decision: Decision) -> None:
        """Answer the EpochEnd of a trial."""

    def abort(self) -> None:
        """Make every running job end at its next batch, with a TrialEnd."""

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Evaluate stored weights and write them as a plain state_dict.

        Raises VerificationError when they cannot be trusted or evaluated, StorageError when they cannot be written.
        """

    def close(self) -> None:
        """End all workers at once; what they had not reported is lost."""
