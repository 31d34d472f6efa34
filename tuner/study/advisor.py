"""The adviser of a study: our own sampler and rules, and Optuna's for what they do not cover.

Where both are our own, nothing of Optuna runs: asking costs a few milliseconds at thousands of trials, judging a few
microseconds. What either knows is rebuilt from the study's records alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuner.config import schema
from tuner.control.asha import build_schedule
from tuner.control.auto import AutoSampler
from tuner.control.controller import NONE, Excesses, TrialState, Values, is_feasible
from tuner.control.defaults import pruner_of
from tuner.control.levels import levels_of
from tuner.control.pareto_rule import ParetoRule
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
        first: Params | None = None,
        history: Sequence[StoredTrial] = (),
        objectives: tuple[bool, ...] = (),
        lead: int = 0,
    ) -> None:
        """`epochs_of` tells how many epochs a trial of given params trains at most, where it is not `max_epochs`.

        `first` are the params of the base config, which `auto` begins with. `objectives` says of each of several ones
        whether it is maximised; `maximize` is that of the one at `lead`.
        """
        signs = tuple(-1.0 if maximized else 1.0 for maximized in objectives) if len(objectives) > 1 else ()
        self._lead = lead
        self._distributions = {parameter.name: distribution_of(parameter.domain) for parameter in space.parameters}
        self._asked: dict[int, Params] = {}
        is_own = isinstance(search.sampler, schema.AutoSampler)
        pruner = pruner_of(search, max_epochs=max_epochs)
        self._rule = build_rule(pruner, maximize=maximize, signs=signs)
        self.schedule = build_schedule(pruner, max_epochs=max_epochs, maximize=maximize, signs=signs)
        self._sampler: AutoSampler | None = None
        if is_own:
            levels = levels_of(pruner, max_epochs=max_epochs)
            self._sampler = AutoSampler(
                space, seed=seed, maximize=maximize, signs=signs, level_epochs=levels, first=first
            )
        self._epochs_of = epochs_of or (lambda _params: max_epochs)
        self._mirror: OptunaMirror | None = None
        if not is_own or not isinstance(pruner, OWN_PRUNERS):
            self._mirror = OptunaMirror(
                name=name,
                space=space,
                search=search.model_copy(update={"pruner": pruner}),
                maximize=objectives if signs else (maximize,),
                seed=seed,
                max_epochs=max_epochs,
                history=history,
            )
        for trial in history:
            self._restore(trial)

    def _restore(self, trial: StoredTrial) -> None:
        curve, state = dict(trial.curve), trial.state if trial.is_finished else None
        curve |= {epoch: vector[self._lead] for epoch, vector in trial.vectors.items()}
        if self._sampler is not None:
            self._sampler.recall(trial.number, trial.params, curve, trial.reason, trial.vectors)
            if state is not None:
                self._sampler.finish(trial.number, state, trial.value, trial.values, trial.constraints)
        if self.schedule is not None:
            last_epoch = self._epochs_of(trial.params)
            self.schedule.recall(trial.number, last_epoch, curve, trial.state, trial.reason, trial.vectors)
            if state is not None and not is_feasible(trial.constraints):
                self.schedule.refuse(trial.number)
        for epoch in sorted(curve):
            self._judge(trial.number, epoch, curve[epoch], trial.vectors.get(epoch, ()))
        if state is not None and self._rule is not None:
            is_complete = state is TrialState.COMPLETE and is_feasible(trial.constraints)
            self._rule.finish(trial.number, is_complete=is_complete)

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

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        self._take_in(trial, epoch, value, values)
        if self._mirror is not None and not values:  # Optuna's trials have no curve of several objectives
            self._mirror.report(trial, epoch, value)

    def _take_in(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        if self._sampler is not None:
            self._sampler.report(trial, epoch, value, values)
        if self.schedule is not None:
            self.schedule.report(trial, epoch, value, values)
        self._judge(trial, epoch, value, values)

    def _judge(self, trial: int, epoch: int, value: float, values: Values) -> None:
        if isinstance(self._rule, ParetoRule):
            self._rule.report(trial, epoch, values)
        elif self._rule is not None:
            self._rule.report(trial, epoch, value)

    def diverge(self, trial: int) -> None:
        if self._sampler is not None:
            self._sampler.diverge(trial)
        if self.schedule is not None:
            self.schedule.diverge(trial)

    def should_stop(self, trial: int) -> bool:
        if self.schedule is not None:
            return self.schedule.should_stop(trial)
        if self._rule is not None:
            return self._rule.should_stop(trial)
        return self._mirror is not None and self._mirror.should_stop(trial)

    def finish(
        self, trial: int, state: TrialState, value: float | None, values: Values = (), constraints: Excesses = NONE
    ) -> None:
        self._close(trial, state, value, values, constraints)
        if self._mirror is not None:
            self._mirror.finish(trial, state, values or value, constraints)
        self._asked.pop(trial, None)

    def _close(self, trial: int, state: TrialState, value: float | None, values: Values, constraints: Excesses) -> None:
        if self.schedule is not None:
            self.schedule.finish(trial, state)
            if not is_feasible(constraints):
                self.schedule.refuse(trial)
        if self._sampler is not None:
            self._sampler.finish(trial, state, value, values, constraints)
        if self._rule is not None:
            # What breaks a constraint is no measure for others: it may be good because it breaks it.
            self._rule.finish(trial, is_complete=state is TrialState.COMPLETE and is_feasible(constraints))
