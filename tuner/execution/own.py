"""Jobs of own training code in one worker: one after another, never as lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from tuner.data.info import NO_DATA
from tuner.data.offered import OfferedData
from tuner.data.prepare import Prepared
from tuner.errors import ConfigError, TunerError
from tuner.execution.failures import ended_by, short
from tuner.execution.lanes import Answer, Events, free
from tuner.execution.protocol import Evaluation, PrepareRequest
from tuner.execution.stored import stored_state, write_tensors
from tuner.training.events import Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.training.loop import AbortedError, outcome_of, over, resume
from tuner.training.own import OwnCode, OwnRun
from tuner.training.own_state import Packed

STATE, WEIGHTS = "state.pt", "model.pt"
"""Files of an export."""


def check_code(request: PrepareRequest) -> OwnCode:
    """Import the base config's function before any trial is asked for; ConfigError says why that does not work."""
    try:
        return OwnCode.load(request.config, request.base_dir)
    except TunerError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"train.target: importing it raised {short(error)}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCrew:
    """Trains jobs as `tuner.execution.lanes.LaneCrew` does."""

    prepared_of: Callable[[TrainJob], Prepared]
    logging_to: Callable[[TrainJob], AbstractContextManager[None]]
    should_abort: Callable[[], bool]

    def run(self, jobs: Sequence[TrainJob]) -> Generator[Events, Answer, Sequence[TrialEnd]]:
        """Train all jobs, and those that join, to their ends; returns the last end."""
        waiting = deque(jobs)
        while True:
            end = yield from self._train(waiting.popleft())
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                free()
            if not waiting:
                return [end]
            joining = yield [end]
            assert isinstance(joining, Sequence)
            waiting.extend(joining)

    def _train(self, job: TrainJob) -> Generator[Events, Answer, TrialEnd]:
        run: OwnRun | None = None
        try:
            with self.logging_to(job):
                run = self._begin(job)
            while not run.is_over:
                with self.logging_to(job):
                    end = self._next_epoch(run)
                if end is None:
                    break
                decisions = yield [end]
                assert isinstance(decisions, Mapping)
                outcome = _decided(run, end, decisions[job.trial])
                if outcome is not None:
                    return _ended(job, outcome)
            return _ended(job, over(run))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the process edge: this trial's affair
            with self.logging_to(job):
                return ended_by(job, error)
        finally:
            if run is not None:
                with self.logging_to(job):
                    run.close()

    def _begin(self, job: TrainJob) -> OwnRun:
        torch.set_num_threads(job.threads)
        code = OwnCode.load(job.config, job.base_dir)
        threadpool_limits(limits=job.threads)  # NumPy's and scikit-learn's, which the import above may have loaded
        data = OfferedData.of(self.prepared_of(job)) if code.takes_data else None
        run = OwnRun.build(job, code, data)
        resume(run)
        return run

    def _next_epoch(self, run: OwnRun) -> EpochEnd | None:
        if self.should_abort():
            raise AbortedError
        return run.train_epoch(self.should_abort)


def write_state(job: TrainJob, epoch: int, folder: Path) -> Evaluation:
    """Write the state of an epoch for an export, and its model alone where that is a state_dict.

    There is nothing to evaluate: what the numbers mean is known to the user's code alone.
    """
    state = Packed.from_plain(stored_state(job, epoch)["own"]).state
    if state is not None:
        write_tensors(folder / STATE, state)
    model = state.get("model") if isinstance(state, dict) else None
    if isinstance(model, dict) and model and all(isinstance(value, Tensor) for value in model.values()):
        write_tensors(folder / WEIGHTS, dict(model))
    return Evaluation(metrics={}, data=NO_DATA, preprocess={}, n_outputs=0)


def _decided(run: OwnRun, end: EpochEnd, decision: Decision) -> Outcome | None:
    if end.checkpoint is not None:
        kept = [item for item in run.job.checkpoints if item.epoch in end.kept and item.epoch != end.epoch]
        newest_first = sorted([*kept, end.checkpoint], key=lambda item: -item.epoch)
        run.job = replace(run.job, checkpoints=tuple(newest_first))
    return outcome_of(run, end, decision)


def _ended(job: TrainJob, outcome: Outcome) -> TrialEnd:
    return TrialEnd(trial=job.trial, attempt=job.attempt, outcome=outcome)
