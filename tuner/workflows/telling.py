"""What whoever watches is told of the runs that a driver drives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.config.goals import Goals
from tuner.control.controller import TrialState
from tuner.training.events import EpochEnd
from tuner.workflows.progress import EpochEnded, Note, Reporter, TrialFinished, TrialStarted
from tuner.workflows.retention import Retention
from tuner.workflows.runs import OpenRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Words for a reporter; nothing is decided here."""

    reporter: Reporter
    goals: Goals
    retention: Retention
    """Which knows the front."""
    goal_of: Callable[[int], int]
    """The epoch at which a trial pauses, or ends."""

    def note(self, message: str) -> None:
        self.reporter.show(Note(message=message))

    def started(self, runs: Sequence[OpenRun]) -> None:
        for run in runs:
            self.reporter.show(
                TrialStarted(
                    trial=run.trial,
                    attempt=run.attempt,
                    params=run.params,
                    first_epoch=run.epoch + 1,
                    last_epoch=run.last_epoch,
                    goal=self.goal_of(run.trial),
                    worker=run.seat.slot + 1,
                    pid=run.seat.pid,
                    device=run.device,
                )
            )

    def epoch(self, run: OpenRun, end: EpochEnd, value: float) -> None:
        self.reporter.show(
            EpochEnded(
                trial=end.trial,
                epoch=end.epoch,
                last_epoch=run.last_epoch,
                value=value,
                seconds=end.seconds,
                metrics=end.metrics,
            )
        )

    def paused(self, run: OpenRun, reason: str) -> None:
        self.finished(run, TrialState.PAUSED, None, reason, "", is_best=False)

    def finished(
        self,
        run: OpenRun,
        state: TrialState,
        value: float | None,
        reason: str,
        message: str,
        *,
        is_best: bool,
        values: tuple[float, ...] = (),
    ) -> None:
        self.reporter.show(
            TrialFinished(
                trial=run.trial,
                state=state,
                value=value,
                epochs=run.epoch,
                seconds=run.seconds,
                reason=reason,
                message=message,
                is_best=is_best,
                params=run.params,
                n_front=self.retention.n_front,
                values=dict(zip(self.goals.keys, values, strict=True)) if values else {},
            )
        )
