"""Optuna's samplers and pruners over an in-memory mirror of the study, for studies that use one of them.

The mirror holds what studies.db holds, so that asking and judging cost no SQL, a suggestion exists as a whole before
the first byte of it is stored, and a resumed study is rebuilt from its records alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial

from tuner.config import schema
from tuner.control.controller import NONE, Excesses, TrialState
from tuner.control.grid import combinations
from tuner.space.parameters import Choices, Domain, FloatRange, Params, Scalar, Space
from tuner.study.records import AskedTrial, StoredTrial
from tuner.study.rungs import notes_of, takes_notes
from tuner.study.samplers import build_pruner, build_sampler

STUDY_ATTRS = "tuner:study_attrs"
"""System attribute of a trial: what suggesting it changed in the study's system attributes.

NSGA keeps the parents of a generation there, QMC its place in the sequence.
"""
_KEEPS_STUDY_ATTRS = (schema.QmcSampler, schema.Nsga2Sampler, schema.Nsga3Sampler)

_STATES = {
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
    TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
}


class OptunaMirror:
    """The part of an adviser that Optuna plays."""

    def __init__(
        self,
        *,
        name: str,
        space: Space,
        search: schema.Search,
        maximize: tuple[bool, ...],
        seed: int,
        max_epochs: int,
        history: Sequence[StoredTrial],
    ) -> None:
        self._space = space
        self._search = search
        self._seed = seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for every study that is made
        # Hyperband's brackets are a hash of the study's name and the trial's number: the mirror has the same name.
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=name,
            directions=["maximize" if maximized else "minimize" for maximized in maximize],
            pruner=build_pruner(search.pruner, max_epochs=max_epochs),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._open: dict[int, optuna.trial.Trial] = {}
        self._grid = self._combinations(history) if isinstance(search.sampler, schema.GridSampler) else None
        for trial in history:
            self._restore(trial)

    def _combinations(self, history: Sequence[StoredTrial]) -> Iterator[Params]:
        """What the grid has left: earlier trials are known by their params, whatever sampler suggested them."""
        assert isinstance(self._search.sampler, schema.GridSampler)
        done = {frozenset(trial.params.items()) for trial in history}
        found = combinations(self._space, self._search.sampler.points)
        return (params for params in found if frozenset(params.items()) not in done)

    def _restore(self, trial: StoredTrial) -> None:
        for key, value in trial.system_attrs.get(STUDY_ATTRS, {}).items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, value)  # noqa: SLF001  no public way
        self._study.add_trial(_frozen(trial, self._notes(trial)))
        if not trial.is_finished:
            self._open[trial.number] = self._handle(trial.number)

    def _notes(self, trial: StoredTrial) -> dict[str, Any]:
        """What the pruner left on a trial; the last epoch of an open one is still to be judged."""
        if not takes_notes(self._study.pruner):
            return {}
        last = max(trial.curve, default=0)
        curve = {epoch: value for epoch, value in trial.curve.items() if trial.is_finished or epoch != last}
        return notes_of(self._study.pruner, study_name=self._study.study_name, trial=trial.number, curve=curve)

    def _handle(self, number: int) -> optuna.trial.Trial:
        self._study.sampler = self._sampler(number)
        trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(  # noqa: SLF001
            self._study._study_id,  # noqa: SLF001
            number,
        )
        return optuna.trial.Trial(self._study, trial_id)

    def _sampler(self, trial: int, fixed: Params | None = None) -> optuna.samplers.BaseSampler:
        return build_sampler(
            self._search.sampler, seed=self._seed, trial=trial, is_conditional=self._space.is_conditional, fixed=fixed
        )

    def add(self, trial: AskedTrial) -> None:
        """Take in a trial that another sampler suggested."""
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(trial.params),
                distributions=dict(trial.distributions),
            )
        )
        self._open[trial.number] = self._handle(trial.number)

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        if self._grid is not None:
            fixed, combination = None, next(self._grid, None)
            if combination is None:
                return None
            self._study.enqueue_trial(dict(combination))
        self._study.sampler = self._sampler(trial, fixed)
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

    def sampler_attrs(self, trial: int) -> dict[str, Any]:
        """What the sampler noted on an open trial, which has to be stored with it."""
        frozen = self._study._storage.get_trial(self._open[trial]._trial_id)  # noqa: SLF001
        # Optuna takes `fixed_params` (the grid's way) for params that are still to be suggested.
        return {key: value for key, value in frozen.system_attrs.items() if key != "fixed_params"}

    def report(self, trial: int, epoch: int, value: float) -> None:
        handle = self._open[trial]
        if epoch not in handle._cached_frozen_trial.intermediate_values:  # noqa: SLF001  Optuna warns instead of telling
            handle.report(value, epoch)

    def should_stop(self, trial: int) -> bool:
        if len(self._study.directions) > 1:  # Optuna's pruners know one objective, and even its NopPruner refuses more
            return False
        with warnings.catch_warnings():
            # WilcoxonPruner warns at every epoch that the best trial, stopped early, does not have.
            warnings.simplefilter("ignore", UserWarning)
            return bool(self._open[trial].should_prune())

    def finish(
        self, trial: int, state: TrialState, value: float | Sequence[float] | None, constraints: Excesses = NONE
    ) -> None:
        if takes_notes(self._study.pruner):
            self.should_stop(trial)  # the last epoch is never cut short, but it is a rung that others compare with
        for name, excess in constraints.items():
            self._open[trial].set_constraint(name, excess)
        self._study.sampler = self._sampler(trial)
        self._study.tell(trial, value, state=_STATES[state])
        del self._open[trial]


def _frozen(trial: StoredTrial, notes: Mapping[str, Any]) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=_STATES[trial.state],
        value=None if trial.values else trial.value,
        values=trial.values or None,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        system_attrs={**trial.system_attrs, **notes},
        intermediate_values=dict(trial.curve),
    )


def _suggest(trial: optuna.trial.Trial, name: str, domain: Domain) -> Scalar:
    if isinstance(domain, Choices):
        value: Scalar = trial.suggest_categorical(name, domain.labels)
        return value
    if isinstance(domain, FloatRange):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)
    return trial.suggest_int(name, domain.low, domain.high, log=domain.log, step=domain.step)
