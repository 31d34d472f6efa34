"""The decisions of a search without its trainings, for benchmarks and for other people's loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tuner.config.free_space import read_free
from tuner.control.controller import Controller as Decider
from tuner.control.controller import Job, TrialState
from tuner.space.parameters import Choices, Params, Space
from tuner.study.advisor import StudyAdvisor
from tuner.training.events import Decision

EPOCHS = "train.epochs"


class Controller:
    """Decides what to train, how far, and what not to go on with; the driver of `tuner search` decides the same.

    `space` and `search` are the mappings of a space file. Names are free; int or float follows from the bounds, or from
    `type`. A parameter called `train.epochs` says how many epochs its trial has, instead of `epochs`. Of `search`,
    `sampler`, `pruner` and `trials` count; time and workers are the caller's affair. Raises ConfigError.

    It reads and writes no file, starts no process, and decides the same whenever it is told the same.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        search: Mapping[str, Any] | None = None,
        *,
        epochs: int,
        direction: Literal["minimize", "maximize"] = "minimize",
        seed: int = 0,
    ) -> None:
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"direction: expected 'minimize' or 'maximize', got {direction!r}")
        if epochs < 1:
            raise ValueError(f"epochs: expected 1 or more, got {epochs}")
        parsed, settings = read_free(space, search or {})
        maximize = direction == "maximize"

        def epochs_of(params: Params) -> int:
            return int(params.get(EPOCHS, epochs) or 1)

        self._advisor = StudyAdvisor(
            name="controller",
            space=parsed,
            search=settings,
            maximize=maximize,
            seed=seed,
            max_epochs=_longest(parsed, epochs),
            epochs_of=epochs_of,
        )
        self._decider = Decider(advisor=self._advisor, maximize=maximize, n_trials=settings.trials, epochs_of=epochs_of)

    def ask(self) -> Job | None:
        """What to train next: a new trial, or, with `first_epoch` above 1, a paused one that goes on.

        Every job stays open until its `report` says pause or stop, so that several can be open at once. None when there
        is nothing to train: for good when no job is open, since the budget of `trials` is spent or everything was
        tried; else until another report.
        """
        return self._decider.ask()

    def report(self, trial: int, epoch: int, value: float) -> Literal["continue", "pause", "stop"]:
        """Take in the objective after an epoch, and say whether to train the next one.

        `pause` keeps the weights: `ask` may give the trial again. `stop` is for good; the last epoch is always one, and
        so is a value that is not finite. Raises KeyError for a trial that is not open.
        """
        decision = self._decider.report(trial, epoch, value)
        if decision is Decision.PAUSE:
            self._decider.pause(trial)
            return "pause"
        if decision is Decision.STOP:
            self._decider.finish(trial, TrialState.PRUNED)
            return "stop"
        if self._decider.is_at_end(trial):
            self._decider.finish(trial, TrialState.COMPLETE)
            return "stop"
        return "continue"

    def fail(self, trial: int) -> None:
        """Close an open trial that could not be trained, through no fault of its params."""
        self._decider.finish(trial, TrialState.FAILED)


def _longest(space: Space, epochs: int) -> int:
    """The most epochs that a trial can have."""
    domains = [item.domain for item in space.parameters if item.name == EPOCHS]
    most = [max(item.values) if isinstance(item, Choices) else item.high for item in domains]
    return int(max([epochs, *most]))
