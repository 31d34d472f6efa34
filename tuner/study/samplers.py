"""Optuna's samplers and pruners, and our own rules, built from their sections through explicit tables.

A sampler is built afresh for every trial, with a seed derived from the study's seed and the trial's number: then the
params of trial N depend on the trials before it and on nothing else, and a resumed study goes on as if it had never
stopped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning

from tuner.config import schema
from tuner.control.percentile import PercentileRule
from tuner.seeding import derive_32
from tuner.space.parameters import Params


def build_sampler(
    config: schema.Sampler, *, seed: int, trial: int, is_conditional: bool, fixed: Params | None = None
) -> samplers.BaseSampler:
    """The sampler that suggests the params of one trial, those that are not fixed.

    A grid has none, see tuner.study.grid; that of `auto` is our own, see tuner.control.parzen.
    """
    with warnings.catch_warnings():
        # group=True, GP, QMC, PartialFixedSampler: our tests cover what we use
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = _SAMPLERS[type(config)](config, seed, trial, is_conditional)
        return samplers.PartialFixedSampler(dict(fixed), sampler) if fixed else sampler


def _random(_config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.RandomSampler(seed=derive_32(seed, "sampler", trial))


def _tpe(config: Any, seed: int, trial: int, is_conditional: bool) -> samplers.BaseSampler:
    # Without group=True, TPE models only the parameters that every trial has.
    return samplers.TPESampler(
        n_startup_trials=config.n_startup_trials,
        n_ei_candidates=config.n_ei_candidates,
        group=is_conditional,
        seed=derive_32(seed, "sampler", trial),
    )


def _gp(config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.GPSampler(n_startup_trials=config.n_startup_trials, seed=derive_32(seed, "sampler", trial))


def _cmaes(config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.CmaEsSampler(
        n_startup_trials=config.n_startup_trials,
        sigma0=config.sigma0,
        warn_independent_sampling=False,
        seed=derive_32(seed, "sampler", trial),
    )


def _qmc(config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.QMCSampler(
        qmc_type=config.qmc_type,
        scramble=config.scramble,
        seed=derive_32(seed, "sampler"),  # one sequence for the whole study
        independent_sampler=samplers.RandomSampler(seed=derive_32(seed, "sampler", trial)),
        warn_independent_sampling=False,
    )


def _nsga2(config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.NSGAIISampler(population_size=config.population_size, seed=derive_32(seed, "sampler", trial))


def _nsga3(config: Any, seed: int, trial: int, _is_conditional: bool) -> samplers.BaseSampler:
    return samplers.NSGAIIISampler(population_size=config.population_size, seed=derive_32(seed, "sampler", trial))


_SAMPLERS: dict[type[Any], Callable[[Any, int, int, bool], samplers.BaseSampler]] = {
    schema.RandomSampler: _random,
    schema.AutoSampler: _random,  # never asked: the mirror of an `auto` study only judges
    schema.GridSampler: _random,  # never asked: the grid fixes every param
    schema.TpeSampler: _tpe,
    schema.GpSampler: _gp,
    schema.CmaEsSampler: _cmaes,
    schema.QmcSampler: _qmc,
    schema.Nsga2Sampler: _nsga2,
    schema.Nsga3Sampler: _nsga3,
}


OWN_PRUNERS = (
    schema.AutoPruner,
    schema.NoPruner,
    schema.MedianPruner,
    schema.PercentilePruner,
    schema.AshaPruner,
)
"""Pruners that need no Optuna: `build_rule` and tuner.control.asha have them."""


def build_rule(config: schema.Pruner, *, max_epochs: int, maximize: bool) -> PercentileRule | None:
    """The rule of one of OWN_PRUNERS; None for the one that never stops anything."""
    if isinstance(config, schema.AutoPruner):
        config = schema.MedianPruner(n_warmup_epochs=max(1, max_epochs // 10))
    if not isinstance(config, (schema.MedianPruner, schema.PercentilePruner)):
        return None
    return PercentileRule(
        percentile=config.percentile if isinstance(config, schema.PercentilePruner) else 50.0,
        n_startup_trials=config.n_startup_trials,
        n_warmup_epochs=config.n_warmup_epochs,
        interval_epochs=config.interval_epochs,
        n_min_trials=config.n_min_trials,
        maximize=maximize,
    )


def build_pruner(config: schema.Pruner, *, max_epochs: int) -> pruners.BasePruner:
    """Optuna's pruner of a study whose trials train at most `max_epochs`; resources are integers, never "auto"."""
    if isinstance(config, OWN_PRUNERS):
        return pruners.NopPruner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _PRUNERS[type(config)](config, max_epochs)


def _median(config: Any, _max_epochs: int) -> pruners.BasePruner:
    return pruners.MedianPruner(
        n_startup_trials=config.n_startup_trials,
        n_warmup_steps=config.n_warmup_epochs,
        interval_steps=config.interval_epochs,
        n_min_trials=config.n_min_trials,
    )


def _successive_halving(config: Any, _max_epochs: int) -> pruners.BasePruner:
    return pruners.SuccessiveHalvingPruner(
        min_resource=config.min_epochs,
        reduction_factor=config.eta,
        min_early_stopping_rate=config.min_early_stopping_rate,
    )


def _hyperband(config: Any, max_epochs: int) -> pruners.BasePruner:
    return pruners.HyperbandPruner(
        min_resource=config.min_epochs,
        max_resource=max(config.min_epochs, config.max_epochs or max_epochs),
        reduction_factor=config.eta,
    )


def _patient(config: Any, max_epochs: int) -> pruners.BasePruner:
    wrapped = None if config.wrapped is None else _median(config.wrapped, max_epochs)
    return pruners.PatientPruner(wrapped, patience=config.patience, min_delta=config.min_delta)


def _threshold(config: Any, _max_epochs: int) -> pruners.BasePruner:
    return pruners.ThresholdPruner(
        lower=config.lower,
        upper=config.upper,
        n_warmup_steps=config.n_warmup_epochs,
        interval_steps=config.interval_epochs,
    )


def _wilcoxon(config: Any, _max_epochs: int) -> pruners.BasePruner:
    return pruners.WilcoxonPruner(p_threshold=config.p_threshold, n_startup_steps=config.n_startup_epochs)


_PRUNERS: dict[type[Any], Callable[[Any, int], pruners.BasePruner]] = {
    schema.SuccessiveHalvingPruner: _successive_halving,
    schema.HyperbandPruner: _hyperband,
    schema.PatientPruner: _patient,
    schema.ThresholdPruner: _threshold,
    schema.WilcoxonPruner: _wilcoxon,
}
