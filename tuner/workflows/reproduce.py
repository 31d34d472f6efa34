"""Train a trial again from what is stored of it, and compare every number with the stored curve.

An epoch is a function of the config, the trial's seed, the data, the code and the arithmetic. So the same CPU set-up
gives the same bits, with the threads that each attempt had; elsewhere rounding differs, and training amplifies it, so
that only a tolerance can be asked for. Nothing in the study changes: the weights go to a temporary folder.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from tuner.config.code import fingerprints, named, reachable_targets
from tuner.config.metrics import TIMED
from tuner.config.schema import TrialConfig
from tuner.config.spec import Spec
from tuner.errors import NotFoundError, VerificationError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Executor, PrepareRequest, WorkerLost, WorkerSilent
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.study.confirmations import confirm_uid
from tuner.study.confirmed import run_detail, run_of, standing_of
from tuner.study.machines import machines_of
from tuner.study.queries import StudyReader
from tuner.study.rows import AttemptRow, EpochRow, StudyRow, TrialDetail
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.workflows.machine import cpu_name, n_cores
from tuner.workflows.session import versions

TOLERANCE = 0.05
"""Of the largest value that a metric has in the stored curve; asked for where bits cannot be."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that was another when the trial was trained."""

    what: str
    stored: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One metric of one epoch; None for what was not finite."""

    epoch: int
    metric: str
    stored: float | None
    again: float | None
    share: float
    """The difference as a share of the metric's largest stored value; inf when only one of the two is finite."""

    @property
    def is_identical(self) -> bool:
        return self.stored == self.again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How a trial did when it was trained again."""

    study: str
    trial: int
    repeat: int
    """The confirmation run that was trained again; 0 for the trial itself."""
    metric: str
    n_epochs: int
    n_missing: int
    """Stored epochs that the new training did not reach."""
    numbers: tuple[Compared, ...]
    environment: tuple[Difference, ...]
    asks_for_bits: bool
    """Whether nothing that bits depend on has changed."""
    tolerance: float

    @property
    def is_identical(self) -> bool:
        return not self.n_missing and all(number.is_identical for number in self.numbers)

    @property
    def worst(self) -> Compared | None:
        return max(self.numbers, key=lambda number: number.share, default=None)

    @property
    def holds(self) -> bool:
        if self.asks_for_bits or self.n_missing:
            return self.is_identical
        return all(number.share <= self.tolerance for number in self.numbers)

    def to_json(self) -> dict[str, Any]:
        worst = self.worst
        return {
            "study": self.study,
            "trial": self.trial,
            "confirm_run": self.repeat or None,
            "metric": self.metric,
            "reproduced": self.holds,
            "identical": self.is_identical,
            "bits_expected": self.asks_for_bits,
            "tolerance": 0.0 if self.asks_for_bits else self.tolerance,
            "epochs": self.n_epochs,
            "epochs_missing": self.n_missing,
            "largest_difference": worst
            and {
                "epoch": worst.epoch,
                "metric": worst.metric,
                "stored": worst.stored,
                "again": worst.again,
                "share": worst.share if math.isfinite(worst.share) else None,
            },
            "environment": [{"what": item.what, "stored": item.stored, "now": item.now} for item in self.environment],
            "curve": [
                {"epoch": item.epoch, "stored": item.stored, "again": item.again}
                for item in self.numbers
                if item.metric == self.metric
            ],
        }


def reproduce(
    trial: int,
    *,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    repeat: int = 0,
    tolerance: float = TOLERANCE,
    executor: Executor | None = None,
) -> Reproduction:
    """Train trial `trial` again as far as it came, or its confirmation run `repeat`.

    Raises NotFoundError (no such trial, no epoch of it), VerificationError when data or code are not what they were.
    """
    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    detail, uid, number = _stored(reader, row, trial, repeat)
    if not detail.curve:
        raise NotFoundError(
            f"trial {trial} of study {row.name!r} ({detail.row.state.value}) has no epoch to compare with"
        )
    header = reader.header(row)
    spec = Spec.from_json(header["spec"])
    _refuse_other_code(spec, header["code"], row.name)
    machines = machines_of(reader, row.uid, uid, number)
    executor = executor or ProcessExecutor()
    executor.start()
    try:
        _prepare(executor, spec, StudyPaths.of(storage, row.name), header, row.name)
        segments = _segments(detail, _devices(executor))
        with tempfile.TemporaryDirectory(prefix="tuner-reproduce-") as folder:
            ends = _train(executor, segments, lambda *of: _job(spec, detail, Path(folder), *of))
    finally:
        executor.close()
    environment = _environment(segments, machines)
    return Reproduction(
        study=row.name,
        trial=trial,
        repeat=repeat,
        metric=f"val/{row.metric}",
        n_epochs=len(detail.curve),
        n_missing=sum(epoch.epoch not in ends for epoch in detail.curve),
        numbers=tuple(_compared(detail.curve, ends)),
        environment=environment,
        asks_for_bits=not environment and not _is_inexact(detail, segments),
        tolerance=tolerance,
    )


def _stored(reader: StudyReader, study: StudyRow, trial: int, repeat: int) -> tuple[TrialDetail, str, int]:
    """What is stored, and the uid and number that it is stored under."""
    if not repeat:
        return reader.trial(study, trial), study.uid, trial
    run = run_of(standing_of(reader, study, reader.outline(study)[1]), trial, repeat)
    return run_detail(reader, study, run), confirm_uid(study.uid), run.run


def _refuse_other_code(spec: Spec, stored: Mapping[str, str], study: str) -> None:
    now = fingerprints(reachable_targets(spec), spec.base_dir)
    changed = [target for target, digest in now.items() if stored.get(target, digest) != digest]
    if changed:
        raise VerificationError(
            f"{named(changed)} is not what study {study!r} was trained with; bring the old one back"
        )


def _prepare(executor: Executor, spec: Spec, paths: StudyPaths, header: Mapping[str, Any], study: str) -> None:
    info = executor.prepare(
        PrepareRequest(
            config=spec.base,
            metric=spec.objective.metric,
            seed=spec.seed,
            base_dir=spec.base_dir,
            data_dir=paths.data,
            threads=1,
        )
    )
    if info.fingerprint != header["data"]["fingerprint"]:
        raise VerificationError(
            f"the data of study {study!r} is not what it was trained on (fingerprint "
            f"{header['data']['fingerprint'][:12]}, now {info.fingerprint[:12]}); bring the old data back"
        )


# ------------------------------------------------------------------------------------------------------------- training


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """Epochs in a row that were trained with the same threads on the same device."""

    attempt: AttemptRow
    device: str
    """Where they are trained now."""
    last_epoch: int


_JobOf = Callable[[_Segment, int, Sequence[Checkpoint]], TrainJob]


def _devices(executor: Executor) -> tuple[str, ...]:
    return (*executor.machine().devices, "cpu")


def _segments(detail: TrialDetail, devices: Sequence[str]) -> list[_Segment]:
    attempts = {attempt.attempt: attempt for attempt in detail.attempts}

    def place(row: EpochRow) -> tuple[int, str]:
        return attempts[row.attempt].threads, attempts[row.attempt].device

    found = []
    for (_, device), rows in groupby(detail.curve, key=place):
        last = list(rows)[-1]
        here = device if device in devices else devices[0]
        found.append(_Segment(attempt=attempts[last.attempt], device=here, last_epoch=last.epoch))
    return found


def _job(
    spec: Spec, detail: TrialDetail, folder: Path, segment: _Segment, attempt: int, checkpoints: Sequence[Checkpoint]
) -> TrainJob:
    return TrainJob(
        trial=detail.row.number,
        attempt=attempt,
        seed=detail.seed,
        config=TrialConfig.model_validate(detail.config),
        metric=f"val/{spec.objective.metric}",
        maximize=spec.maximize,
        checkpoints=tuple(checkpoints),
        folder=folder,
        base_dir=spec.base_dir,
        threads=segment.attempt.threads,
        device=segment.device,
        n_cores=n_cores(),
        goals=replace(spec.goals, is_enforced=False),  # what took a millisecond too long now was fast enough then
    )


def _train(executor: Executor, segments: Sequence[_Segment], job_of: _JobOf) -> dict[int, EpochEnd]:
    """Train the segments one after the other, each from the checkpoint of the one before; the ends of all epochs."""
    executor.grow(1)
    ends: dict[int, EpochEnd] = {}
    checkpoints: list[Checkpoint] = []
    for attempt, segment in enumerate(segments, start=1):
        job = job_of(segment, attempt, checkpoints)
        executor.submit([job])
        is_over = False
        while not is_over:
            for event in executor.wait(None):
                if isinstance(event, WorkerSilent):
                    continue
                if not isinstance(event, EpochEnd):
                    is_over = True
                    _refuse_fault(job, event)
                    continue
                ends[event.epoch] = event
                if event.checkpoint is not None:
                    kept = [item for item in checkpoints if item.epoch in event.kept and item.epoch != event.epoch]
                    checkpoints = sorted([*kept, event.checkpoint], key=lambda item: -item.epoch)
                ahead = event.epoch < segment.last_epoch
                executor.reply(job.trial, Decision.CONTINUE if ahead else Decision.PAUSE)
        if segment.last_epoch not in ends:  # it stopped early, or diverged
            break
    return ends


def _refuse_fault(job: TrainJob, end: TrialEnd | WorkerLost) -> None:
    """A training that broke says nothing about the stored numbers."""
    has_no_value = isinstance(end, TrialEnd) and end.outcome is Outcome.UNDEFINED  # which its curve says, too
    if end.message and not has_no_value:
        raise VerificationError(f"trial {job.trial} cannot be trained again: {end.message}")


# ----------------------------------------------------------------------------------------------------------- comparing


def _compared(curve: Sequence[EpochRow], ends: Mapping[int, EpochEnd]) -> list[Compared]:
    scales: dict[str, float] = {}
    for row in curve:
        for name, value in row.metrics.items():
            scales[name] = max(scales.get(name, 0.0), abs(value or 0.0))
    return [
        _compare(row.epoch, name, stored, ends[row.epoch].metrics.get(name), scales[name])
        for row in curve
        if row.epoch in ends
        for name, stored in row.metrics.items()
        if name not in TIMED
    ]


def _compare(epoch: int, metric: str, stored: float | None, again: float | None, scale: float) -> Compared:
    if again is not None and not math.isfinite(again):
        again = None
    if stored is None or again is None:
        share = 0.0 if stored is again else math.inf
    else:
        share = abs(stored - again) / scale if scale else abs(stored - again)
    return Compared(epoch=epoch, metric=metric, stored=stored, again=again, share=share)


def _environment(segments: Sequence[_Segment], machines: Mapping[int, Mapping[str, str]]) -> tuple[Difference, ...]:
    """What differs from the time of the trial, each once."""
    now = {"processor": cpu_name(), **versions()}
    found: dict[Difference, None] = {}
    for segment in segments:
        stored = machines.get(segment.attempt.attempt) or {"processor": UNKNOWN}
        for what, value in stored.items():
            if what != "tuner" and value != now.get(what):
                found[Difference(what=what, stored=value, now=now.get(what, "not installed"))] = None
        if segment.device != segment.attempt.device:
            found[Difference(what="device", stored=segment.attempt.device, now=segment.device)] = None
    return tuple(found)


def _is_inexact(detail: TrialDetail, segments: Sequence[_Segment]) -> bool:
    """Whether the arithmetic of the trial cannot be repeated to the bit: an accelerator's, or that of vmapped lanes."""
    on_cpu = all(segment.device == "cpu" for segment in segments)
    return not on_cpu or any("vmap" in attempt.picked.get("step", "") for attempt in detail.attempts)
