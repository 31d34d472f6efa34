"""Several jobs of one shape in one worker: trained together, one after another when that does not work.

A lane that ends makes room, which the driver may fill at the end of an epoch. A group that cannot be one program, or
whose code raises, goes on a job at a time, so that what went wrong has a trial's name, and together again when that one
has ended; one that runs out of memory goes on in halves. Nothing is lost by that: every job goes on from its newest
checkpoint.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch

from tuner.data.prepare import Prepared
from tuner.execution.failures import ended_by, is_out_of_memory, short
from tuner.training.events import Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.training.lanes import LaneGroup, is_stacked
from tuner.training.loop import AbortedError, described, outcome_of, over, resume, train_epoch_alone
from tuner.training.run import Run
from tuner.training.steps import TrainStep, build_step
from tuner.training.tape import TapeError

_log = logging.getLogger("tuner")

Events = Sequence[EpochEnd] | Sequence[TrialEnd]
Answer = Mapping[int, Decision] | Sequence[TrainJob]
"""To the ends of epochs a decision for each trial; to the ends of trials the jobs that take their places."""


@dataclass(slots=True, kw_only=True)
class LaneCrew:
    """The jobs of one group that are not over."""

    prepared_of: Callable[[TrainJob], Prepared]
    logging_to: Callable[[TrainJob], AbstractContextManager[None]]
    """While entered, what is logged goes to the log of that job."""
    should_abort: Callable[[], bool]
    jobs: dict[int, TrainJob] = field(default_factory=dict)
    """By trial, each with its newest checkpoints."""
    waiting: list[int] = field(default_factory=list)
    active: list[Run] = field(default_factory=list)
    capacity: int = 1
    _capacity_before: int = 0
    """Before a fallback whose cause may be one job alone; 0 for none."""
    _group: LaneGroup | None = None
    _alone: tuple[Run, TrainStep] | None = None

    def run(self, jobs: Sequence[TrainJob]) -> Generator[Events, Answer, Sequence[TrialEnd]]:
        """Train all jobs, and those that join, to their ends; returns the last ends."""
        self.capacity = len(jobs)
        ends = self._join(jobs)
        while True:
            if not self.jobs:
                return ends
            if ends:
                joining = yield ends
                assert isinstance(joining, Sequence)
                ends = self._join(joining)
                continue
            epochs, ends = self._next_epoch()
            if epochs:
                decisions = yield epochs
                assert isinstance(decisions, Mapping)
                ends = self._decide(epochs, decisions)

    # -- joining and leaving -------------------------------------------------------------------------------------------

    def _join(self, jobs: Sequence[TrainJob]) -> list[TrialEnd]:
        for job in jobs:
            self.jobs[job.trial] = job
            self.waiting.append(job.trial)
        return self._fill()

    def _fill(self) -> list[TrialEnd]:
        """Let waiting jobs into the program while there is room; the ends of those that cannot begin."""
        ends: list[TrialEnd] = []
        while self.waiting and len(self.active) < self.capacity:
            job = self.jobs[self.waiting.pop(0)]
            with self.logging_to(job):
                end = self._begin(job)
            if end is not None:
                ends.append(self._leave(end))
        return ends

    def _begin(self, job: TrainJob) -> TrialEnd | None:
        try:
            torch.set_num_threads(job.threads)
            run = self._build(job)
            run.measure()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the process edge: this trial's affair
            if self.active and is_out_of_memory(error):
                self._wait_for_room(job, error)
                return None
            return ended_by(job, error)
        if run.is_over:
            return _end(job, over(run))
        broken = job.goals.broken(job.config, run.costs.metrics()) if job.goals else ""
        if broken:
            _log.info("%s", broken)
            return replace(_end(job, Outcome.INFEASIBLE), message=broken, costs=run.costs.metrics())
        self._regroup([*self.active, run])
        return None

    def _build(self, job: TrainJob) -> Run:
        try:
            run = Run.build(job, self.prepared_of(job))
            resume(run)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return run
        free()  # what lanes that ended leave behind may be enough
        run = Run.build(job, self.prepared_of(job))
        resume(run)
        return run

    def _wait_for_room(self, job: TrainJob, error: BaseException) -> None:
        """The lanes that are there leave no memory for one more: it begins when one of them has ended."""
        self.capacity = len(self.active)
        self.waiting.insert(0, job.trial)
        _log.warning("no memory beside %d lanes (%s); waiting for one of them to end", self.capacity, short(error))

    def _leave(self, end: TrialEnd) -> TrialEnd:
        del self.jobs[end.trial]
        self._regroup([run for run in self.active if run.job.trial != end.trial])
        return end

    def _regroup(self, active: list[Run]) -> None:
        self.active, self._group, self._alone = active, None, None

    # -- an epoch ------------------------------------------------------------------------------------------------------

    def _next_epoch(self) -> tuple[list[EpochEnd], list[TrialEnd]]:
        """The ends of an epoch of all lanes, or the ends of trials that did not get there; neither after a fallback."""
        ends = self._fill()
        if ends:
            return [], ends
        try:
            return self._train(), []
        except AbortedError:
            return [], [self._leave(_end(job, Outcome.ABORTED)) for job in list(self.jobs.values())]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the process edge
            if len(self.active) > 1:
                self._fall_back(error)
                return [], []
            job = self.active[0].job
            self._restore_capacity()
            with self.logging_to(job):
                return [], [self._leave(ended_by(job, error))]

    def _restore_capacity(self) -> None:
        """A job has failed alone: it is what the others could not be trained with."""
        self.capacity, self._capacity_before = max(self.capacity, self._capacity_before), 0

    def _train(self) -> list[EpochEnd]:
        if len(self.active) == 1 and not is_stacked(self.active):
            run = self.active[0]
            if self._alone is None:
                self._alone = (run, build_step(run))
            with self.logging_to(run.job):
                return [train_epoch_alone(run, self._alone[1], self.should_abort)]
        if self._group is None:
            self._group = LaneGroup(self.active)
        return self._group.train_epoch(self.should_abort)

    def _fall_back(self, error: BaseException) -> None:
        """Fewer lanes from here on; all jobs go on from their checkpoints."""
        n_lanes = len(self.active)
        is_anybodys = isinstance(error, TapeError) or is_out_of_memory(error)
        self._capacity_before = 0 if is_anybodys else self.capacity
        self.capacity = n_lanes // 2 if is_out_of_memory(error) else 1
        why = str(error) if isinstance(error, TapeError) else short(error)
        self.waiting = [*(run.job.trial for run in self.active), *self.waiting]
        self._regroup([])
        free()
        for trial in self.waiting:
            with self.logging_to(self.jobs[trial]):
                _log.warning("%d lanes do not work (%s); going on with %d", n_lanes, why, self.capacity)

    def _decide(self, epochs: Sequence[EpochEnd], decisions: Mapping[int, Decision]) -> list[TrialEnd]:
        runs = {run.job.trial: run for run in self.active}
        ends: list[TrialEnd] = []
        for end in epochs:
            job, run = self.jobs[end.trial], runs[end.trial]
            if end.checkpoint is not None:
                kept = [item for item in job.checkpoints if item.epoch in end.kept and item.epoch != end.epoch]
                newest_first = sorted([*kept, end.checkpoint], key=lambda item: -item.epoch)
                self.jobs[end.trial] = run.job = replace(job, checkpoints=tuple(newest_first))
            outcome = outcome_of(run, end, decisions[end.trial])
            if outcome is not None:
                ends.append(self._leave(_end(job, outcome, described(end))))
        return ends


def free() -> None:
    """Let go of the memory of runs that are over: those that refer to themselves wait for the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _end(job: TrainJob, outcome: Outcome, message: str = "") -> TrialEnd:
    return TrialEnd(trial=job.trial, attempt=job.attempt, outcome=outcome, message=message)
