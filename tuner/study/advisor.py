"""The adviser of a study: our own sampler and rules, and Optuna's for what they do not cover.

Where both are our own, nothing of Optuna runs: asking costs a few milliseconds at thousands of trials, judging a few
microseconds. What either knows is rebuilt from the study's records alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuner.config import schema
from tuner.control.asha import build_schedule
from tuner.control.controller import DIVERGED, TrialState
from tuner.control.parzen import ParzenSampler
from tuner.space.parameters import Params, Space
from tuner.study.mirror import OptunaMirror
from tuner.study.records import AskedTrial, StoredTrial, distribution_of
from tuner.study.samplers import OWN_PRUNERS, build_rule


class StudyAdvisor:
    """Implements `tuner.control.controller.Advisor`."""

    def __init__(
        self,
        *,
        name: str,
        space: Space,
        search: schema.Search,
        maximize: bool,
        seed: int,
        max_epochs: int,
        epochs_of: Callable[[Params], int] | None = None,
        history: Sequence[StoredTrial] = (),
    ) -> None:
        """`epochs_of` tells how many epochs a trial of given params trains at most, where it is not `max_epochs`."""
        self._distributions = {parameter.name: distribution_of(parameter.domain) for parameter in space.parameters}
        self._asked: dict[int, Params] = {}
        is_own = isinstance(search.sampler, schema.AutoSampler)
        self._sampler = ParzenSampler(space, seed=seed, maximize=maximize) if is_own else None
        self._rule = build_rule(search.pruner, max_epochs=max_epochs, maximize=maximize)
        self.schedule = build_schedule(search.pruner, max_epochs=max_epochs, maximize=maximize)
        self._epochs_of = epochs_of or (lambda _params: max_epochs)
        self._mirror: OptunaMirror | None = None
        if not is_own or not isinstance(search.pruner, OWN_PRUNERS):
            self._mirror = OptunaMirror(
                name=name,
                space=space,
                search=search,
                maximize=maximize,
                seed=seed,
                max_epochs=max_epochs,
                history=history,
            )
        for trial in history:
            self._restore(trial)

    def _restore(self, trial: StoredTrial) -> None:
        if self._sampler is not None:
            self._sampler.add(trial.number, trial.params)
        self._enter(trial.number, trial.params)
        for epoch in sorted(trial.curve):
            self._take_in(trial.number, epoch, trial.curve[epoch])
        if trial.reason == DIVERGED:
            self.diverge(trial.number)
        if trial.is_finished:
            self._close(trial.number, trial.state, trial.value)

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        if self._sampler is None:
            assert self._mirror is not None
            params = self._mirror.suggest(trial, fixed)
        else:
            params = self._sampler.suggest(trial, fixed)
        if params is None:
            return None
        self._asked[trial] = params
        self._enter(trial, params)
        if self._sampler is not None and self._mirror is not None:
            self._mirror.add(self.record_of(trial))
        return params

    def _enter(self, trial: int, params: Params) -> None:
        if self.schedule is not None:
            self.schedule.add(trial, self._epochs_of(params))

    def record_of(self, trial: int) -> AskedTrial:
        """The new trial as it has to be stored."""
        params = self._asked[trial]
        has_notes = self._mirror is not None and self._sampler is None
        return AskedTrial(
            number=trial,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            system_attrs=self._mirror.sampler_attrs(trial) if has_notes and self._mirror else {},
        )

    def report(self, trial: int, epoch: int, value: float) -> None:
        self._take_in(trial, epoch, value)
        if self._mirror is not None:
            self._mirror.report(trial, epoch, value)

    def _take_in(self, trial: int, epoch: int, value: float) -> None:
        if self._sampler is not None:
            self._sampler.report(trial, epoch, value)
        if self._rule is not None:
            self._rule.report(trial, epoch, value)
        if self.schedule is not None:
            self.schedule.report(trial, epoch, value)

    def diverge(self, trial: int) -> None:
        if self.schedule is not None:
            self.schedule.diverge(trial)

    def should_stop(self, trial: int) -> bool:
        if self.schedule is not None:
            return self.schedule.should_stop(trial)
        if self._rule is not None:
            return self._rule.should_stop(trial)
        return self._mirror is not None and self._mirror.should_stop(trial)

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:
        self._close(trial, state, value)
        if self._mirror is not None:
            self._mirror.finish(trial, state, value)
        self._asked.pop(trial, None)

    def _close(self, trial: int, state: TrialState, value: float | None) -> None:
        if self.schedule is not None:
            self.schedule.finish(trial, state)
        if self._sampler is not None:
            self._sampler.finish(trial, state, value)
        if self._rule is not None:
            self._rule.finish(trial, is_complete=state is TrialState.COMPLETE)
