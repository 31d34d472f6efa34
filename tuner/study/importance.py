"""How much each parameter matters, by Optuna's evaluators, and how sure that is.

Every trial counts by what it came to after one and the same epoch: in a search that stops most trials early the few
complete ones say little. The evaluator is run on random halves of the trials, whose spread is that of the standard
error of the whole (the delete-half jackknife, Shao and Wu, 1989), and on shuffled values, which show what it says where
there is nothing to find.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from tuner.seeding import derive_32
from tuner.space.parameters import Choices, Domain, Params, Scalar, Space
from tuner.study.records import distribution_of

Method = Literal["fanova", "pedanova"]
Floats = npt.NDArray[np.float64]

FEWEST = 8
"""With fewer trials, or fewer that have a parameter, nothing is said."""
PER_PARAMETER = 5
"""Fewer trials a parameter are too few to rely on."""
REPEATS: dict[Method, tuple[int, int]] = {"fanova": (10, 5), "pedanova": (16, 12)}
"""Halves and shuffles: a forest takes its time."""
N_TREES = 16
LIKELY = 1.645
"""Of a normal distribution, .05 to either side."""
BEST_SHARE, FEWEST_BEST = 0.1, 5
"""PED-ANOVA: the share of trials that count as the best, and how many there should be at least (Optuna's advice)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Of one parameter: a share of the variance (fanova), or of the importance of all (pedanova)."""

    name: str
    share: float
    low: float
    high: float
    """The 90 % interval."""
    noise: float
    """What shuffled values give it: below this there is nothing to see."""
    n_trials: int
    """In so many trials it exists."""

    @property
    def is_clear(self) -> bool:
        return self.low > self.noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """Of all parameters of a space, the most important first."""

    method: Method
    rows: tuple[Importance, ...]
    n_trials: int

    @property
    def are_few(self) -> bool:
        return self.n_trials < PER_PARAMETER * len(self.rows)


def load() -> None:
    """Import Optuna's evaluators, and with them scikit-learn, which two threads cannot import at once."""
    import_module("optuna.importance")


def importances_of(space: Space, params: Sequence[Params], losses: Sequence[float], *, seed: int) -> Importances | None:
    """How much each parameter matters for a low loss; None with too few trials, or where all losses are the same.

    fANOVA where every parameter is in every trial; else PED-ANOVA, which knows parameters under conditions.
    """
    values = np.asarray(losses, dtype=np.float64)
    if len(params) < FEWEST or len(set(losses)) < 2:  # noqa: PLR2004  one value explains nothing
        return None
    known = {item.name: [one[item.name] for one in params if item.name in one] for item in space.parameters}
    names = [name for name, found in known.items() if len(found) >= FEWEST and len(set(found)) > 1]
    if not names:
        return None
    is_whole = all(name in one for one in params for name in names)
    method: Method = "fanova" if is_whole else "pedanova"
    study = _study(space, params, names)
    rng = np.random.default_rng(derive_32(seed, "importance"))
    whole = _evaluated(study, method, names, values, seed)
    if whole is None:
        return None
    n_halves, n_shuffles = REPEATS[method]
    halves = [_evaluated(study, method, names, _half(values, rng), seed + turn) for turn in range(n_halves)]
    shuffled = [_evaluated(study, method, names, rng.permutation(values), seed + turn) for turn in range(n_shuffles)]
    return _summed_up(method, names, params, whole, _known(halves), _known(shuffled))


def _study(space: Space, params: Sequence[Params], names: Sequence[str]) -> optuna.Study:
    """The trials as complete ones; their values are given when they are evaluated."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    domains = {item.name: item.domain for item in space.parameters if item.name in names}
    distributions = {name: _distribution(domain) for name, domain in domains.items()}
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="minimize")
    for one in params:
        known = {name: _value(domains[name], value) for name, value in one.items() if name in domains}
        held = {name: distributions[name] for name in known}
        study.add_trial(optuna.trial.create_trial(value=0.0, params=known, distributions=held))
    return study


def _distribution(domain: Domain) -> BaseDistribution:
    """As Optuna has it, but logarithmic ranges by their logarithm: its fANOVA weighs their values as they are."""
    if isinstance(domain, Choices) or not domain.log:
        return distribution_of(domain)
    return FloatDistribution(math.log(domain.low), math.log(domain.high))


def _value(domain: Domain, value: Scalar) -> Scalar:
    if isinstance(domain, Choices) or not domain.log:
        return value
    assert isinstance(value, (int, float))
    return min(math.log(domain.high), max(math.log(domain.low), math.log(value)))


def _half(values: Floats, rng: np.random.Generator) -> Floats:
    """The values of a random half of the trials; the others do not count."""
    left_out = rng.permutation(len(values))[: len(values) // 2]
    half = values.copy()
    half[left_out] = np.nan
    return half


def _evaluated(
    study: optuna.Study, method: Method, names: Sequence[str], values: Floats, seed: int
) -> dict[str, float] | None:
    """The importance of each parameter by Optuna; None where it finds no variance at all."""

    def target(trial: FrozenTrial) -> float:
        return float(values[trial.number])

    n_values = int(np.isfinite(values).sum())
    evaluator: optuna.importance.BaseImportanceEvaluator
    if method == "fanova":
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=N_TREES, seed=seed % 2**32)
    else:
        best = min(0.5, max(BEST_SHARE, FEWEST_BEST / n_values))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of low targets, which ours are, and of few trials, which we say ourselves
        try:
            found = evaluator.evaluate(study, params=list(names), target=target)
        except RuntimeError:  # "zero total variance in all trees"
            return None
    return {name: float(found.get(name, 0.0)) for name in names}


def _known(found: Sequence[dict[str, float] | None]) -> list[dict[str, float]]:
    return [item for item in found if item is not None]


def _summed_up(
    method: Method,
    names: Sequence[str],
    params: Sequence[Params],
    whole: Mapping[str, float],
    halves: Sequence[Mapping[str, float]],
    shuffled: Sequence[Mapping[str, float]],
) -> Importances:
    total = sum(whole.values())
    unit = 1.0 if method == "fanova" or not total else 1.0 / total
    rows = []
    for name in names:
        share = unit * whole[name]
        own = _units(method, halves, name)
        error = LIKELY * float(np.std(own)) if own else share
        noise = [unit * item[name] for item in shuffled]
        rows.append(
            Importance(
                name=name,
                share=share,
                low=max(0.0, share - error),
                high=min(1.0, share + error),
                noise=float(np.median(noise)) if noise else 0.0,
                n_trials=sum(name in one for one in params),
            )
        )
    rows.sort(key=lambda row: -row.share)
    return Importances(method=method, rows=tuple(rows), n_trials=len(params))


def _units(method: Method, found: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """The importances of one parameter, of PED-ANOVA as shares of all: their sum means nothing."""
    if method == "fanova":
        return [item[name] for item in found]
    return [item[name] / total for item in found if (total := sum(item.values())) > 0.0]
