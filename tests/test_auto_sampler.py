"""The sampler of `auto`: inside the space, a function of what it was told, better than chance, never the same twice."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from tuner.config.free_space import read_free
from tuner.control import gaussian
from tuner.control.auto import MAX_COMBINATIONS, AutoSampler
from tuner.control.controller import DIVERGED, TrialState
from tuner.control.gaussian import Kernel, Posterior, Prior
from tuner.control.levels import Levels, level_epochs
from tuner.control.surrogate import MAX_POINTS, Surrogate, fitted_size, scores, thinned
from tuner.space.parameters import AnyOf, Belief, Choices, FloatRange, IntRange, MoreThan, Parameter, Params, Space

EPOCHS = 9
LEVELS = level_epochs(max_epochs=EPOCHS, min_epochs=1, eta=3)
BOWL = Space(
    parameters=(
        Parameter(name="lr", domain=FloatRange(low=1e-5, high=1.0, log=True)),
        Parameter(name="x", domain=FloatRange(low=0.0, high=1.0)),
        Parameter(name="units", domain=IntRange(low=1, high=512, log=True)),
        Parameter(name="kind", domain=Choices(values=("good", "bad", "worse"))),
        Parameter(
            name="momentum", domain=FloatRange(low=0.0, high=1.0), conditions=(AnyOf(parent="kind", labels=("good",)),)
        ),
    )
)

TREE = Space(
    parameters=(
        Parameter(name="kind", domain=Choices(values=("adamw", "sgd", None, 5, 1.5, True, [1, 2]))),
        Parameter(
            name="momentum",
            domain=FloatRange(low=0.5, high=0.99),
            conditions=(AnyOf(parent="kind", labels=("sgd", None)),),
        ),
        Parameter(name="depth", domain=IntRange(low=1, high=4)),
        *(
            Parameter(
                name=f"width.{layer}",
                domain=IntRange(low=16, high=512, log=True),
                conditions=(MoreThan(parent="depth", bound=layer),),
            )
            for layer in range(4)
        ),
        Parameter(name="heads", domain=IntRange(low=2, high=300, step=7)),
        Parameter(name="dropout", domain=FloatRange(low=0.0, high=0.6, step=0.05)),
        Parameter(name="fine", domain=FloatRange(low=0.1, high=0.9, step=0.001)),
        Parameter(name="one", domain=IntRange(low=3, high=3)),
        Parameter(name="point", domain=FloatRange(low=0.5, high=0.5)),
    )
)


def is_inside(space: Space, params: Params) -> bool:
    active = [parameter for parameter in space.parameters if parameter.is_active(params)]
    return [parameter.name for parameter in active] == list(params) and all(
        is_legal(parameter, params[parameter.name]) for parameter in active
    )


def is_legal(parameter: Parameter, value: Any) -> bool:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return any(type(value) is type(label) and value == label for label in domain.labels)
    steps = 0.0 if domain.step is None else (value - domain.low) / domain.step
    is_typed = type(value) is (int if isinstance(domain, IntRange) else float)
    return is_typed and domain.low <= value <= domain.high and abs(steps - round(steps)) < 1e-8


def bowl(params: Params) -> float:
    """Lower is better; the best is 0, at the edge of x."""
    lr, units = (float(params[name]) for name in ("lr", "units"))  # type: ignore[arg-type]
    loss = (math.log10(lr) + 2.0) ** 2 / 4 + float(params["x"]) + (math.log2(units) - 6) ** 2 / 20  # type: ignore[arg-type]
    rest = {"good": 0.0, "bad": 0.4, "worse": 1.0}[str(params["kind"])]
    return loss + rest + (float(params.get("momentum", 0.8)) - 0.8) ** 2  # type: ignore[arg-type]


def sampler_of(
    space: Space = BOWL, seed: int = 3, *, maximize: bool = False, first: Params | None = None
) -> AutoSampler:
    return AutoSampler(space, seed=seed, maximize=maximize, level_epochs=LEVELS, first=first)


def train(sampler: AutoSampler, trial: int, loss: Callable[[Params], float], n_epochs: int = EPOCHS) -> Params | None:
    """Ask for a trial and train it; complete when it has all epochs."""
    params = sampler.suggest(trial)
    if params is None:
        return None
    for epoch in range(1, n_epochs + 1):
        sampler.report(trial, epoch, loss(params) + 2.0 / epoch)
    if n_epochs == EPOCHS:
        sampler.finish(trial, TrialState.COMPLETE, loss(params) + 2.0 / EPOCHS)
    return params


# --------------------------------------------------------------------------------------------------------- the sampler


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_params_are_legal_and_exist_where_their_conditions_hold(seed: int) -> None:
    draw, sampler = random.Random(seed), sampler_of(TREE, seed)
    for trial in range(30):
        params = sampler.suggest(trial)
        assert params is not None
        assert is_inside(TREE, params)
        for epoch in range(1, draw.choice((1, 3, EPOCHS)) + 1):
            sampler.report(trial, epoch, draw.random())


@pytest.mark.parametrize("maximize", (False, True))
def test_it_finds_more_than_chance(maximize: bool) -> None:
    sign = -1.0 if maximize else 1.0

    def best_of(suggest: Callable[[int], Params | None], sampler: AutoSampler, n: int) -> float:
        found = []
        for trial in range(n):
            params = suggest(trial)
            assert params is not None
            found.append(bowl(params))
            for epoch in range(1, EPOCHS + 1):
                sampler.report(trial, epoch, sign * (bowl(params) + 2.0 / epoch))
            sampler.finish(trial, TrialState.COMPLETE, sign * bowl(params))
        return min(found)

    modelled = [
        best_of(own.suggest, own, 50) for own in (sampler_of(seed=seed, maximize=maximize) for seed in range(3))
    ]
    draw = random.Random(0)
    uniform = [
        {
            "lr": 10 ** draw.uniform(-5, 0),
            "x": draw.random(),
            "units": 2 ** draw.uniform(0, 9),
            "kind": kind,
            "momentum": draw.random(),
        }
        for kind in ("good", "bad", "worse") * 50
    ]
    chance = [min(map(bowl, uniform[start : start + 50])) for start in (0, 50, 100)]
    assert np.mean(modelled) < 0.6 * np.mean(chance)


def test_a_first_epoch_that_misleads_is_overruled_by_the_last() -> None:
    """The order after one epoch is the reverse of that at the end; every third trial is trained to its end."""
    sampler = sampler_of()
    late = []
    for trial in range(60):
        params = sampler.suggest(trial)
        assert params is not None
        loss = bowl(params)
        sampler.report(trial, 1, -loss)
        if trial % 3 == 0:
            for epoch in range(2, EPOCHS + 1):
                sampler.report(trial, epoch, loss - 10.0)
            sampler.finish(trial, TrialState.COMPLETE, loss - 10.0)
        late += [loss] if trial >= 45 else []
    assert np.median(late) < 1.6  # 2.1 of random ones
    assert "values at the end" in sampler.explain()


def test_a_region_that_diverges_is_left() -> None:
    sampler = sampler_of()
    n_diverged = []
    for trial in range(60):
        params = sampler.suggest(trial)
        assert params is not None
        if float(params["lr"]) > 1e-2:  # type: ignore[arg-type]  60 % of the space
            sampler.diverge(trial)
            sampler.finish(trial, TrialState.PRUNED, None)
            n_diverged.append(trial)
        else:
            sampler.report(trial, 1, bowl(params))
    assert sum(trial < 12 for trial in n_diverged) >= 4
    assert sum(trial >= 40 for trial in n_diverged) <= 7  # random ones, and those beside the border where it is best


def test_what_it_suggests_is_a_function_of_what_it_was_told() -> None:
    """Rebuilt from the curves, whatever it had fitted before."""
    grown, told = sampler_of(), []
    for trial in range(40):
        params = train(grown, trial, bowl, n_epochs=(1, 3, 1, EPOCHS)[trial % 4])
        assert params is not None
        told.append(params)
    rebuilt = sampler_of()
    for trial, params in enumerate(told):
        n_epochs = (1, 3, 1, EPOCHS)[trial % 4]
        curve = {epoch: bowl(params) + 2.0 / epoch for epoch in range(1, n_epochs + 1)}
        rebuilt.recall(trial, params, curve, "")
        if n_epochs == EPOCHS:
            rebuilt.finish(trial, TrialState.COMPLETE, curve[EPOCHS])
    assert [rebuilt.suggest(trial) for trial in (40, 41)] == [grown.suggest(trial) for trial in (40, 41)]


def test_a_diverged_trial_is_recalled_as_one() -> None:
    told, recalled = sampler_of(), sampler_of()
    params = told.suggest(0)
    assert params is not None
    told.report(0, 1, 0.5)
    told.diverge(0)
    told.finish(0, TrialState.PRUNED, None)
    recalled.recall(0, params, {1: 0.5}, DIVERGED)
    recalled.finish(0, TrialState.PRUNED, None)
    for sampler in (told, recalled):
        assert [level.values.tolist() for level in sampler._levels.observed()] == [[0.5], [math.inf], []]


def test_the_base_config_is_the_first_trial_and_only_that() -> None:
    base: dict[str, Any] = {"lr": 0.003, "x": 0.25, "units": 64, "kind": "good", "momentum": 0.9}
    sampler = sampler_of(first=base)
    assert sampler.suggest(0) == base
    assert sampler.suggest(1) != base


def test_fixed_params_are_kept_and_the_others_follow_them() -> None:
    sampler = sampler_of()
    for trial in range(20):
        train(sampler, trial, bowl)
    for trial in range(20, 26):
        params = sampler.suggest(trial, {"kind": "bad", "units": 100})
        assert params is not None
        assert (params["kind"], params["units"], "momentum" in params) == ("bad", 100, False)


def test_running_trials_keep_others_away() -> None:
    """Of 16 asked for at once no two are alike, though one place is the best."""
    sampler = sampler_of()
    for trial in range(24):
        train(sampler, trial, bowl)
    asked = [sampler.suggest(trial) for trial in range(24, 40)]
    features = sampler._features[24:40]
    distances = np.sqrt(((features[:, None] - features[None]) ** 2).sum(axis=2)) + 9.0 * np.eye(16)
    assert len({frozenset(params.items()) for params in asked if params}) == 16
    assert distances.min() > 0.05


# -------------------------------------------------------------------------------------------------------- small spaces


def test_a_small_space_is_searched_once_and_then_is_over() -> None:
    space = Space(
        parameters=(
            Parameter(name="n", domain=IntRange(low=1, high=6)),
            Parameter(name="c", domain=Choices(values=("a", "b", "c"))),
            Parameter(name="d", domain=Choices(values=(True, False)), conditions=(AnyOf(parent="c", labels=("a",)),)),
        )
    )
    sampler = sampler_of(space)
    found = [train(sampler, trial, lambda params: float(params["n"])) for trial in range(24)]  # type: ignore[arg-type]
    assert len({frozenset(params.items()) for params in found if params is not None}) == 24
    assert sampler.suggest(24) is None


def test_fixed_params_that_are_used_up_give_way() -> None:
    space = Space(parameters=tuple(Parameter(name=name, domain=Choices(values=(0, 1))) for name in "ab"))
    sampler = sampler_of(space)
    found = [sampler.suggest(trial, {"a": 0}) for trial in range(4)]
    assert [params["a"] for params in found if params] == [0, 0, 1, 1]
    assert sampler.suggest(4, {"a": 0}) is None


def test_no_configuration_is_suggested_twice_in_a_space_too_large_to_list() -> None:
    space = Space(parameters=(Parameter(name="n", domain=IntRange(low=1, high=MAX_COMBINATIONS + 1)),))
    sampler = sampler_of(space)
    found = [train(sampler, trial, lambda params: float(params["n"])) for trial in range(80)]  # type: ignore[arg-type]
    assert len({params["n"] for params in found if params}) == 80


def test_an_empty_space_has_one_trial() -> None:
    sampler = sampler_of(Space(parameters=()))
    assert sampler.suggest(0) == {}


# ------------------------------------------------------------------------------------------------------------- beliefs


def believing(center: float, confidence: Any = "high") -> Space:
    return Space(
        parameters=(
            Parameter(
                name="x", domain=FloatRange(low=0.0, high=1.0), belief=Belief(center=center, confidence=confidence)
            ),
            Parameter(name="y", domain=FloatRange(low=0.0, high=1.0)),
        )
    )


def distances(space: Space, optimum: float, trials: range, center: float) -> list[float]:
    """How far x is from the center in these trials of a search whose best x is `optimum`."""
    sampler, found = sampler_of(space), []
    for trial in range(trials.stop):
        params = train(sampler, trial, lambda params: abs(float(params["x"]) - optimum))  # type: ignore[arg-type]
        assert params is not None
        found.append(abs(float(params["x"]) - center))  # type: ignore[arg-type]
    return found[trials.start :]


def test_a_prior_bends_the_start() -> None:
    assert np.mean(distances(believing(0.8), 0.8, range(10), 0.8)) < 0.15
    assert np.mean(distances(believing(0.8, "low"), 0.8, range(10), 0.8)) > 0.15


def test_a_wrong_prior_is_forgotten() -> None:
    late = distances(believing(0.9), 0.1, range(30, 45), 0.9)
    assert np.median(late) > 0.45  # half of the range, where chance has .41, and the prior .05


def test_a_prior_on_a_choice_is_mostly_followed_at_the_start() -> None:
    belief = Belief(center="b", confidence="high")
    space = Space(
        parameters=(
            Parameter(name="c", domain=Choices(values=("a", "b", "c", "d")), belief=belief),
            Parameter(name="x", domain=FloatRange(low=0.0, high=1.0)),
        )
    )
    sampler = sampler_of(space)
    found = [sampler.suggest(trial) for trial in range(10)]
    assert sum(params["c"] == "b" for params in found if params) >= 6


# ---------------------------------------------------------------------------------------------------------- the levels


def test_levels_hold_the_best_so_far_and_a_complete_trial_is_on_all() -> None:
    levels = Levels((1, 3, 9))
    for epoch, value in ((1, 5.0), (2, 3.0), (3, 4.0), (4, 1.0)):
        levels.report(7, epoch, value)
    assert [level.values.tolist() for level in levels.observed()] == [[5.0], [3.0], [], []]
    levels.complete(7)
    assert [level.values.tolist() for level in levels.observed()] == [[5.0], [3.0], [1.0], [1.0]]
    assert level_epochs(max_epochs=9, min_epochs=1, eta=3) == (1, 3)
    assert level_epochs(max_epochs=1, min_epochs=1, eta=3) == ()


def test_scores_are_normal_quantiles_of_ranks() -> None:
    found = scores(np.array([3.0, 1.0, math.inf, 1.0]))
    assert found.tolist() == pytest.approx([0.31864, -0.67449, 1.15035, -0.67449], abs=1e-4)


def test_the_part_that_is_fitted_grows_in_steps() -> None:
    sizes = [fitted_size(n) for n in range(4, 200)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) < 20
    assert all(size <= n for size, n in zip(sizes, range(4, 200), strict=True))


def test_the_better_half_of_many_observations_is_kept() -> None:
    levels = Levels(())
    draw = np.random.default_rng(0)
    for trial, value in enumerate(draw.random(300)):
        levels.report(trial, 1, float(value))
        levels.complete(trial)
    level = levels.observed()[0]
    kept = thinned(level)
    best = np.argsort(level.values)[: MAX_POINTS // 2]
    assert len(kept) == MAX_POINTS
    assert set(best) <= set(kept.tolist())


# --------------------------------------------------------------------------------------------------------- the process


def test_the_gradient_of_the_likelihood_is_its_derivative() -> None:
    rng = np.random.default_rng(0)
    kernel = Kernel(np.array([0, 0, 1, 2]))
    features, targets = rng.random((15, 4)), rng.standard_normal(15)
    base = np.full((15, 15), 0.3)
    onto = np.eye(3)[kernel.groups]

    def loss(theta: Any) -> Any:
        return gaussian._negative_likelihood(kernel, onto, features, targets, base, theta)

    for theta in (np.array([-0.5, 0.3, 0.1, -0.2, -2.0]), np.array([0.5, -1.0, 0.0, 0.4, -1.0])):
        assert check_grad(lambda at: loss(at)[0], lambda at: loss(at)[1], theta) < 1e-4


def test_the_process_is_that_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(1)
    features, targets, others = rng.random((20, 3)), rng.standard_normal(20), rng.random((7, 3))
    theta = np.log(np.array([0.4, 0.9, 1.5, 1.3, 0.05]))
    own = Posterior.of(Kernel(np.arange(3)), theta, features, targets, np.full((20, 20), 0.3))
    mean, variance = own.predict(others, np.full((7, 20), 0.3), np.full(7, 0.3))
    matern = ConstantKernel(1.3) * Matern([0.4, 0.9, 1.5], nu=2.5)
    kernel = matern + ConstantKernel(0.3) + WhiteKernel(0.05 + gaussian.JITTER)
    oracle = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(features, targets)
    expected, deviation = oracle.predict(others, return_std=True)
    assert mean == pytest.approx(expected, abs=1e-9)
    assert variance == pytest.approx(deviation**2 - 0.05 - gaussian.JITTER, abs=1e-8)


def test_leaving_one_out_is_what_the_others_predict() -> None:
    rng = np.random.default_rng(2)
    features, targets = rng.random((12, 2)), rng.standard_normal(12)
    kernel, theta = Kernel(np.arange(2)), np.log(np.array([0.5, 0.5, 1.0, 0.1]))
    whole = Posterior.of(kernel, theta, features, targets, np.zeros((12, 12)))
    kept = np.arange(12) != 5
    part = Posterior.of(kernel, theta, features[kept], targets[kept], np.zeros((11, 11)))
    mean, _ = part.predict(features[[5]], np.zeros((1, 11)), np.zeros(1))
    assert whole.left_out()[5] == pytest.approx(mean[0], abs=1e-9)


def test_the_length_scale_of_what_does_not_matter_becomes_long() -> None:
    rng = np.random.default_rng(3)
    features = rng.random((60, 2))
    theta = gaussian.fit(
        Kernel(np.arange(2)),
        features,
        np.sin(6.0 * features[:, 0]),
        np.full((60, 60), 0.3),
        Prior(length=0.6, variance=0.8, noise=0.1),
    )
    assert theta[1] > theta[0] + 0.7


def test_a_model_of_noise_says_that_it_predicts_nothing() -> None:
    rng = np.random.default_rng(4)
    levels = Levels(())
    for trial in range(60):
        levels.report(trial, 1, float(rng.random()))
        levels.complete(trial)
    model = Surrogate(Kernel(np.arange(4))).model(levels.observed(), rng.random((60, 4)))
    assert model.agreement() < 0.35


def test_a_prior_between_two_values_of_a_grid_is_on_the_nearer_one() -> None:
    space, _ = read_free({"x": {"low": 16, "high": 64, "step": 16, "prior": {"center": 45, "confidence": "high"}}}, {})
    (parameter,) = space.parameters
    assert parameter.belief == Belief(center=48, confidence="high")


def test_a_failed_trial_says_nothing_and_a_new_base_config_comes_before_what_was_taken_over() -> None:
    base: dict[str, Any] = {"lr": 0.003, "x": 0.25, "units": 64, "kind": "bad"}
    sampler = sampler_of(first=base)
    sampler.recall(0, {"lr": 0.1, "x": 0.5, "units": 8, "kind": "worse"}, {1: 0.7}, "")
    sampler.finish(0, TrialState.FAILED, None)
    assert [len(level.trials) for level in sampler._levels.observed()] == [0, 0, 0]
    assert sampler.suggest(1) == base
    assert sampler.suggest(2) != base
