"""Optuna as an adviser: its samplers and pruners over an in-memory mirror of the study.

The mirror holds what studies.db holds, so that asking and judging cost no SQL, a suggestion exists as a whole before
the first byte of it is stored, and a resumed study is rebuilt from its records alone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial

from tuner.config import schema
from tuner.control.controller import TrialState
from tuner.space.parameters import Choices, Domain, FloatRange, Params, Scalar, Space
from tuner.study.grid import combinations
from tuner.study.rungs import notes_of, takes_notes
from tuner.study.samplers import build_pruner, build_sampler

STUDY_ATTRS = "tuner:study_attrs"
"""System attribute of a trial: what suggesting it changed in the study's system attributes.

NSGA keeps the parents of a generation there, QMC its place in the sequence.
"""
_KEEPS_STUDY_ATTRS = (schema.QmcSampler, schema.Nsga2Sampler, schema.Nsga3Sampler)

_TOLD = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
}


def distribution_of(domain: Domain) -> BaseDistribution:
    """Optuna's name for a domain."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.labels)
    if isinstance(domain, FloatRange):
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


class OptunaAdvisor:
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
        history: Sequence[FrozenTrial] = (),
    ) -> None:
        self._space = space
        self._search = search
        self._seed = seed
        # Hyperband's brackets are a hash of the study's name and the trial's number: the mirror has the same name.
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=name,
            direction="maximize" if maximize else "minimize",
            pruner=build_pruner(search.pruner, max_epochs=max_epochs),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._open: dict[int, optuna.trial.Trial] = {}
        self._grid = self._combinations(history) if isinstance(search.sampler, schema.GridSampler) else None
        for trial in history:
            self._restore(trial)

    def _combinations(self, history: Sequence[FrozenTrial]) -> Iterator[Params]:
        """What the grid has left: earlier trials are known by their params, whatever sampler suggested them."""
        assert isinstance(self._search.sampler, schema.GridSampler)
        done = {frozenset(trial.params.items()) for trial in history}
        found = combinations(self._space, self._search.sampler.points)
        return (params for params in found if frozenset(params.items()) not in done)

    def _restore(self, trial: FrozenTrial) -> None:
        for key, value in trial.system_attrs.get(STUDY_ATTRS, {}).items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, value)  # noqa: SLF001  no public way
        self._study.add_trial(self._with_notes(trial))
        if not trial.state.is_finished():
            self._open[trial.number] = self._handle(trial.number)

    def _with_notes(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as the pruner left it; the last epoch of an open one is still to be judged."""
        if not takes_notes(self._study.pruner):
            return trial
        values = trial.intermediate_values
        last = trial.last_step
        curve = {epoch: value for epoch, value in values.items() if trial.state.is_finished() or epoch != last}
        notes = notes_of(self._study.pruner, study_name=self._study.study_name, trial=trial.number, curve=curve)
        noted = copy.copy(trial)
        noted.system_attrs = {**trial.system_attrs, **notes}
        return noted

    def _handle(self, number: int) -> optuna.trial.Trial:
        self._study.sampler = self._sampler(number)
        trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(  # noqa: SLF001
            self._study._study_id,  # noqa: SLF001
            number,
        )
        return optuna.trial.Trial(self._study, trial_id)

    def _sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        return build_sampler(
            self._search.sampler, seed=self._seed, trial=trial, is_conditional=self._space.is_conditional
        )

    def suggest(self, trial: int) -> Params | None:
        if self._grid is not None:
            fixed = next(self._grid, None)
            if fixed is None:
                return None
            self._study.enqueue_trial(dict(fixed))
        self._study.sampler = self._sampler(trial)
        before = self._study_attrs()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            asked = self._study.ask()
            params = self._suggest_all(asked)
        assert asked.number == trial, f"the mirror is at trial {asked.number}, the study at {trial}"
        self._keep_study_attrs(asked, before)
        self._open[trial] = asked
        return params

    def _suggest_all(self, trial: optuna.trial.Trial) -> dict[str, Scalar]:
        params: dict[str, Scalar] = {}
        for parameter in self._space.parameters:
            if parameter.is_active(params):
                params[parameter.name] = _suggest(trial, parameter.name, parameter.domain)
        return params

    def _study_attrs(self) -> dict[str, Any]:
        if not isinstance(self._search.sampler, _KEEPS_STUDY_ATTRS):
            return {}
        return dict(self._study._storage.get_study_system_attrs(self._study._study_id))  # noqa: SLF001

    def _keep_study_attrs(self, trial: optuna.trial.Trial, before: dict[str, Any]) -> None:
        changed = {key: value for key, value in self._study_attrs().items() if before.get(key) != value}
        if changed:
            self._study._storage.set_trial_system_attr(trial._trial_id, STUDY_ATTRS, changed)  # noqa: SLF001

    def record_of(self, trial: int) -> FrozenTrial:
        """The open trial as it has to be stored: params, distributions and the sampler's own attributes."""
        frozen = self._study._storage.get_trial(self._open[trial]._trial_id)  # noqa: SLF001
        # Optuna takes `fixed_params` (the grid's way) for params that are still to be suggested.
        attrs = {key: value for key, value in frozen.system_attrs.items() if key != "fixed_params"}
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=frozen.params,
            distributions=frozen.distributions,
            system_attrs=attrs,
        )

    def report(self, trial: int, epoch: int, value: float) -> None:
        handle = self._open[trial]
        if epoch not in handle._cached_frozen_trial.intermediate_values:  # noqa: SLF001  Optuna warns instead of telling
            handle.report(value, epoch)

    def should_stop(self, trial: int) -> bool:
        with warnings.catch_warnings():
            # WilcoxonPruner warns at every epoch that the best trial, stopped early, does not have.
            warnings.simplefilter("ignore", UserWarning)
            return bool(self._open[trial].should_prune())

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:
        if takes_notes(self._study.pruner):
            self.should_stop(trial)  # the last epoch is never cut short, but it is a rung that others compare with
        self._study.sampler = self._sampler(trial)
        self._study.tell(trial, value, state=_TOLD[state])
        del self._open[trial]


def _suggest(trial: optuna.trial.Trial, name: str, domain: Domain) -> Scalar:
    if isinstance(domain, Choices):
        value: Scalar = trial.suggest_categorical(name, domain.labels)
        return value
    if isinstance(domain, FloatRange):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)
    return trial.suggest_int(name, domain.low, domain.high, log=domain.log, step=domain.step)
