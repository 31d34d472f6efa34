"""Tells trackers what a search does: the events of the driver, in their words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from tuner.config.spec import Spec
from tuner.config.tracking import label
from tuner.paths import StudyPaths
from tuner.study.queries import StudyReader
from tuner.trackers import base
from tuner.trackers.channel import Channel, Told, close_all
from tuner.trackers.kinds import build
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Note,
    Progress,
    Reporter,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)


@contextmanager
def tracked(spec: Spec, storage: str, reporter: Reporter) -> Iterator[Reporter]:
    """A reporter that tells the trackers of a space file, too; at the end they have a few seconds to finish."""
    if not spec.trackers:
        yield reporter
        return
    channels = [Channel(label(section), partial(build, section, spec.base_dir)) for section in spec.trackers]
    tracking = Tracking(reporter, channels, partial(began, spec, storage))
    for channel in channels:
        channel.start()
    try:
        yield tracking
    finally:
        close_all(channels)
        tracking.name_trouble()


class Tracking:
    """Implements `tuner.workflows.progress.Reporter`; an event costs a few microseconds a tracker."""

    def __init__(self, inner: Reporter, channels: Sequence[Channel], began: Callable[[], base.StudyBegan]) -> None:
        self._inner = inner
        self._channels = channels
        self._began = began
        self._is_told = False

    def show(self, progress: Progress) -> None:
        self._inner.show(progress)
        if isinstance(progress, (StudyStarted, ConfirmStarted)) and not self._is_told:
            self._is_told = True
            self.tell([self._began])  # it is read from the database: not by the driver, which must not fail of it
        event = event_of(progress)
        if event is not None:
            self.tell([event])
        self.name_trouble()

    def tell(self, events: Sequence[Told]) -> None:
        """Hand events to all trackers."""
        for event in events:
            for channel in self._channels:
                channel.put(event)

    def name_trouble(self) -> None:
        """Say which tracker does not work; each once."""
        for channel in self._channels:
            trouble = channel.trouble()
            if trouble:
                self._inner.show(Note(message=trouble))


def began(spec: Spec, storage: str) -> base.StudyBegan:
    """The study, which is in the database by now."""
    return base.StudyBegan(
        study=spec.study,
        uid=StudyReader.open(storage).study(spec.study).uid,
        objectives={
            name: "maximize" if maximize else "minimize"
            for name, maximize in zip(spec.goals.keys, spec.goals.maximize, strict=True)
        },
        document=spec.document,
        folder=StudyPaths.of(storage, spec.study).root,
    )


def event_of(progress: Progress) -> base.Event | None:
    """What trackers are told of it; None for what is not theirs."""
    match progress:
        case ConfirmStep():
            return _of_trial(progress.step, progress.repeat)
        case TrialStarted() | EpochEnded() | TrialFinished():
            return _of_trial(progress, 0)
    return None


def _of_trial(step: TrialStarted | EpochEnded | TrialFinished, repeat: int) -> base.Event:
    match step:
        case EpochEnded():
            return base.EpochEnded(
                trial=step.trial, repeat=repeat, epoch=step.epoch, seconds=step.seconds, metrics=step.metrics
            )
        case TrialStarted():
            return base.TrialBegan(trial=step.trial, repeat=repeat, params=step.params, first_epoch=step.first_epoch)
        case TrialFinished():
            return base.TrialEnded(
                trial=step.trial,
                repeat=repeat,
                state=step.state.value,
                value=step.value,
                values=step.values,
                epochs=step.epochs,
                seconds=step.seconds,
                reason=step.reason,
                message=step.message,
                is_best=step.is_best,
                params=step.params,
            )
