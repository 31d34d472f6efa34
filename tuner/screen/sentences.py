"""A line of text for what happens in a search."""

from __future__ import annotations

from tuner.control.controller import TrialState
from tuner.wording import duration, named, number
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    Note,
    Progress,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)


class Sentences:
    """Says what is news, each thing once."""

    def __init__(self) -> None:
        self._n_trials: int | None = None
        self._paused: set[int] = set()

    def of(self, progress: Progress) -> str:
        """A line without its end; empty where there is nothing to say."""
        match progress:
            case StudyStarted():
                self._n_trials = progress.n_trials
                return headline(progress)
            case TrialStarted():
                self._paused.discard(progress.trial)
            case TrialFinished():
                return "" if self._is_old(progress) else self._trial(progress)
            case ConfirmStarted():
                return confirm_headline(progress)
            case ConfirmStep():
                return _run(progress)
            case Note():
                return progress.message
        return ""

    def _is_old(self, trial: TrialFinished) -> bool:
        """Whether a trial that was said to pause is over without having trained again."""
        was_paused = trial.trial in self._paused
        self._paused.discard(trial.trial)
        if trial.state is TrialState.PAUSED:
            self._paused.add(trial.trial)
        return was_paused and trial.state is TrialState.PRUNED

    def _trial(self, trial: TrialFinished) -> str:
        return _outcome(trial, f"trial {trial.trial}{f'/{self._n_trials}' if self._n_trials else ''}")


def is_lasting(progress: Progress) -> bool:
    """Whether the line of it is worth keeping beside a screen that shows the rest."""
    match progress:
        case StudyStarted() | ConfirmStarted() | Note():
            return True
        case TrialFinished():
            return progress.is_best or progress.state is TrialState.FAILED
        case ConfirmStep(step=TrialFinished()):
            return True
    return False


def headline(started: StudyStarted) -> str:
    """What is searched, the budget, and where."""
    verb = "going on with" if started.n_finished else "searching"
    budget = (
        f"{started.n_finished} of {started.n_trials} trials done"
        if started.n_finished
        else f"{started.n_trials} trials"
    )
    if started.n_trials is None:
        budget = f"{started.n_finished} trials done" if started.n_finished else "no limit of trials"
    if started.confirm_top:
        budget += f", then the best {started.confirm_top} again on {_n_seeds(started.confirm_seeds)}"
    if started.timeout_s is not None:
        budget += f", {duration(max(0.0, started.timeout_s - started.seconds_before))} left"
    workers = f"{started.workers} worker{'s' * (started.workers > 1)} on {', '.join(started.devices)}"
    threads = f"{started.threads} thread{'s' * (started.threads > 1)} each"
    wanted = ", ".join(started.objectives) or started.metric
    return f"{verb} {started.study} for {wanted}: {budget}; {workers}, {threads}"


def _n_seeds(count: int) -> str:
    return f"{count} fresh seed{'s' * (count > 1)}"


def confirm_headline(started: ConfirmStarted) -> str:
    """Which trials are trained again, and how often."""
    trials = ", ".join(map(str, started.trials))
    done = f", {started.n_finished} of {started.n_runs} runs done" if started.n_finished else ""
    which = f"trial{'s' * (len(started.trials) > 1)} {trials}"
    return (
        f"confirming {which} of {started.study} on {_n_seeds(started.seeds)}{' each' * (len(started.trials) > 1)}{done}"
    )


def _run(progress: ConfirmStep) -> str:
    if not isinstance(progress.step, TrialFinished):
        return ""
    return _outcome(progress.step, f"trial {progress.step.trial}, fresh seed {progress.repeat}/{progress.seeds}")


def _outcome(trial: TrialFinished, name: str) -> str:
    outcome = trial.state.value + (f" ({trial.reason})" if trial.reason and trial.reason != trial.state.value else "")
    value = f" {number(trial.value)}" if trial.value is not None else ""
    best = "  best so far" if trial.is_best else ""
    if trial.values:
        value, best = f" {named(trial.values)}", "  on the front" if trial.is_best else ""
    message = f": {trial.message.splitlines()[0]}" if trial.message else ""
    epochs = f"{trial.epochs} epoch{'s' * (trial.epochs != 1)}"
    return f"{name}: {outcome}{value} after {epochs}, {duration(trial.seconds)}{best}{message}"
