"""Our own sampler: it stays inside the space, learns, depends on what was told alone, and honours what is fixed."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe.sampler import _split_trials

from tuner.control.axes import CellAxis, Cells, Line, axis_of
from tuner.control.controller import TrialState
from tuner.control.parzen import ParzenSampler
from tuner.space.parameters import AnyOf, Choices, FloatRange, IntRange, MoreThan, Parameter, Params, Scalar, Space

TREE = Space(
    parameters=(
        Parameter(name="kind", domain=Choices(values=("adamw", "sgd", None, 5, 1.5, True, [1, 2]))),
        Parameter(name="lr", domain=FloatRange(low=1e-4, high=1e-1, log=True)),
        Parameter(
            name="momentum",
            domain=FloatRange(low=0.5, high=0.99),
            conditions=(AnyOf(parent="kind", labels=("sgd", None)),),
        ),
        Parameter(
            name="nesterov",
            domain=Choices(values=(True, False)),
            conditions=(AnyOf(parent="kind", labels=("sgd",)), AnyOf(parent="kind", labels=("sgd", "adamw"))),
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
        Parameter(name="units", domain=IntRange(low=1, high=200)),
        Parameter(name="wide", domain=FloatRange(low=0.0, high=1.0), conditions=(MoreThan(parent="units", bound=100),)),
        Parameter(name="dropout", domain=FloatRange(low=0.0, high=0.6, step=0.05)),
        Parameter(name="fine", domain=FloatRange(low=0.1, high=0.9, step=0.001)),
        Parameter(name="epochs", domain=IntRange(low=2, high=64, log=True)),
        Parameter(name="one", domain=IntRange(low=3, high=3)),
        Parameter(name="only", domain=Choices(values=("x",))),
        Parameter(name="point", domain=FloatRange(low=0.5, high=0.5)),
    )
)
LINE = Space(parameters=(Parameter(name="x", domain=FloatRange(low=0.0, high=1.0)),))


def sampler_of(space: Space = TREE, seed: int = 7, *, maximize: bool = False) -> ParzenSampler:
    return ParzenSampler(space, seed=seed, maximize=maximize)


def is_inside(space: Space, params: Params) -> bool:
    active = [parameter for parameter in space.parameters if parameter.is_active(params)]
    return [parameter.name for parameter in active] == list(params) and all(
        is_legal(parameter, params[parameter.name]) for parameter in active
    )


def is_legal(parameter: Parameter, value: Scalar) -> bool:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return any(type(value) is type(label) and value == label for label in domain.labels)
    assert isinstance(value, (int, float))
    assert type(value) is (int if isinstance(domain, IntRange) else float)
    steps = 0.0 if domain.step is None else (value - domain.low) / domain.step
    return domain.low <= value <= domain.high and abs(steps - round(steps)) < 1e-8


def search(sampler: ParzenSampler, n_trials: int, value_of: Any, *, first: int = 0) -> list[Params]:
    """Trials one after the other, each complete; returns their params."""
    found = []
    for trial in range(first, first + n_trials):
        params = sampler.suggest(trial)
        sampler.finish(trial, TrialState.COMPLETE, value_of(params))
        found.append(params)
    return found


# ------------------------------------------------------------------------------------------------------------ the space


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), maximize=st.booleans())
def test_params_are_legal_and_exist_where_their_conditions_hold(seed: int, maximize: bool) -> None:
    values = random.Random(seed)
    sampler = sampler_of(seed=seed, maximize=maximize)
    for trial in range(24):
        params = sampler.suggest(trial)
        assert is_inside(TREE, params)
        if trial % 4:
            sampler.report(trial, 1, values.random())
            state = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)[trial % 3]
            sampler.finish(trial, state, values.random() if state is TrialState.COMPLETE else None)


def test_every_value_of_a_small_grid_is_found_at_random() -> None:
    found = [sampler_of(seed=seed).suggest(0) for seed in range(600)]
    assert {params["depth"] for params in found} == {1, 2, 3, 4}
    assert sorted({float(params["dropout"] or 0) for params in found}) == [round(0.05 * i, 2) for i in range(13)]
    assert len({params["kind"] for params in found}) == 7


@pytest.mark.parametrize(
    "domain",
    (
        IntRange(low=1, high=4),
        IntRange(low=2, high=60, log=True),
        IntRange(low=16, high=512, log=True),
        FloatRange(low=0.0, high=0.6, step=0.05),
        FloatRange(low=1e-4, high=1.0, log=True),
        Choices(values=("a", "b", "c")),
    ),
)
def test_what_is_random_is_as_random_as_in_optuna(domain: Any) -> None:
    space = Space(parameters=(Parameter(name="x", domain=domain),))
    found = [sampler_of(space, seed=seed).suggest(0)["x"] for seed in range(800)]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    expected = [study.ask({"x": distribution_of(domain)}).params["x"] for _ in range(800)]
    ours, theirs = np.unique(rounded(found)), np.unique(rounded(expected))
    order = np.union1d(ours, theirs)
    shares = [np.searchsorted(np.sort(rounded(each)), order, "right") / 800 for each in (found, expected)]
    assert np.abs(shares[0] - shares[1]).max() < 0.082  # Kolmogorov-Smirnov at 0.01


def rounded(values: list[Any]) -> Any:
    """For comparison; Optuna's 0.15 is 0.15000000000000002."""
    return np.array([value if isinstance(value, str) else round(value, 9) for value in values])


def distribution_of(domain: Any) -> optuna.distributions.BaseDistribution:
    if isinstance(domain, Choices):
        return optuna.distributions.CategoricalDistribution(domain.labels)
    if isinstance(domain, IntRange):
        return optuna.distributions.IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


@given(st.sampled_from([parameter for parameter in TREE.parameters if parameter.name != "kind"]), st.floats(0.0, 1.0))
def test_a_value_survives_its_code(parameter: Parameter, position: float) -> None:
    axis = axis_of(parameter.domain)
    code = float(int(position * (axis.n_cells - 1))) if isinstance(axis, CellAxis) else position
    value = axis.decode(code)
    again = axis.decode(axis.encode(value))
    assert again == value or math.isclose(float(again or 0), float(value or 0), rel_tol=1e-9)


# -------------------------------------------------------------------------------------------------------- the densities


@pytest.mark.parametrize("width", (0.01, 0.1, 0.5))
def test_a_kernel_on_a_line_integrates_to_one_and_is_one_where_the_parameter_is_missing(width: float) -> None:
    line = Line(np.array([0.0, 0.3, 1.0, math.nan]), np.full(4, width))
    grid = (np.arange(20000) + 0.5) / 20000
    assert np.exp(line.log(grid)).mean(axis=0) == pytest.approx(1.0, abs=1e-3)
    assert np.exp(line.log(grid))[:, 3] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ("kind", "depth", "dropout", "epochs", "one"))
def test_kernels_on_cells_sum_to_one_and_are_the_prior_where_the_parameter_is_missing(name: str) -> None:
    axis = axis_of(TREE[name].domain)
    assert isinstance(axis, CellAxis)
    codes = np.array([0.0, axis.n_cells - 1.0, math.nan])
    cells = Cells(axis, codes, 0.2)
    ratios = np.exp(cells.log(np.arange(axis.n_cells, dtype=np.float64)))
    assert (ratios * axis.prior[:, None]).sum(axis=0) == pytest.approx(1.0)
    assert ratios[:, 2] == pytest.approx(1.0)


@pytest.mark.parametrize("maximize", (True, False))
def test_the_better_group_is_optunas(maximize: bool) -> None:
    rng = random.Random(3)
    direction = "maximize" if maximize else "minimize"
    for _ in range(60):
        study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
        sampler = ParzenSampler(Space(parameters=()), seed=0, maximize=maximize)
        for trial in range(rng.randint(1, 60)):
            state = rng.choice((TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.RUNNING))
            curve = {epoch: float(rng.randint(0, 5)) for epoch in range(1, rng.randint(0, 4) + 1)}
            value = float(rng.randint(0, 5)) if state is TrialState.COMPLETE else None
            tell_both(study, sampler, trial, state, curve, value)
        trials = study.get_trials(deepcopy=False)
        n_finished = sum(trial.state.is_finished() for trial in trials)
        expected = _split_trials(study, trials, min(math.ceil(0.1 * n_finished), 25))
        better, others, n = sampler._seen.split()
        assert n == n_finished
        assert better.tolist() == [trial.number for trial in expected[0]]
        assert others.tolist() == [trial.number for trial in expected[1]]


def tell_both(
    study: optuna.Study,
    sampler: ParzenSampler,
    trial: int,
    state: TrialState,
    curve: dict[int, float],
    value: float | None,
) -> None:
    asked = study.ask()
    sampler.add(trial, {})
    for epoch, reached in curve.items():
        asked.report(reached, epoch)
        sampler.report(trial, epoch, reached)
    if state is not TrialState.RUNNING:
        states = {
            TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
            TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
        }
        study.tell(asked, value, state=states[state])
        sampler.finish(trial, state, value)


# ------------------------------------------------------------------------------------------------------------- learning


def bowl(params: Params) -> float:
    """Best at lr 0.01, sgd with momentum 0.9, depth 2 and little dropout."""
    distance = abs(math.log10(float(params["lr"] or 1)) + 2.0) + float(params["dropout"] or 0)
    distance += abs(int(params["depth"] or 0) - 2) / 4
    return distance + abs(float(params["momentum"] or 0) - 0.9) if params["kind"] == "sgd" else distance + 1.0


@pytest.mark.parametrize("maximize", (True, False))
def test_it_finds_better_params_than_chance(maximize: bool) -> None:
    sign = -1.0 if maximize else 1.0
    learned, random_ones = [], []
    for seed in range(4):
        found = search(sampler_of(seed=seed, maximize=maximize), 80, lambda params: sign * bowl(params))
        learned.append(sum(bowl(params) for params in found[40:]) / 40)
        random_ones.append(sum(bowl(sampler_of(seed=1000 * seed + trial).suggest(0)) for trial in range(40)) / 40)
    assert sum(learned) < 0.6 * sum(random_ones)


def test_it_keeps_away_from_what_is_pruned_at_once_and_learns_nothing_from_what_fails() -> None:
    def share(state: TrialState) -> float:
        """How often the upper half is asked for, where every trial ends in `state`."""
        sampler, rng, n_upper = sampler_of(LINE), random.Random(1), 0
        for trial in range(100):
            is_upper = float(sampler.suggest(trial)["x"] or 0) > 0.5
            n_upper += is_upper and trial >= 40
            sampler.finish(trial, state if is_upper else TrialState.COMPLETE, None if is_upper else rng.random())
        return n_upper / 60

    assert share(TrialState.PRUNED) < 0.3 < 0.4 < share(TrialState.FAILED)  # noqa: PLR0133 - a gap


def test_running_trials_keep_others_at_a_distance() -> None:
    def spread(*, told: bool) -> float:
        total = 0.0
        for seed in range(10):
            sampler = sampler_of(LINE, seed=seed)
            search(sampler, 30, lambda params: abs(float(params["x"] or 0) - 0.4))
            found = []
            for trial in range(30, 46):
                found.append(float(sampler.suggest(trial)["x"] or 0))
                if not told:
                    sampler.finish(trial, TrialState.FAILED, None)
            total += float(np.std(found))
        return total

    assert spread(told=True) > spread(told=False)


# ------------------------------------------------------------------------------------------------------- pure and fixed


def test_params_depend_on_what_was_told_and_not_on_its_order() -> None:
    first, second = sampler_of(), sampler_of()
    asked = [first.suggest(trial) for trial in range(30)]
    for trial, params in enumerate(asked):
        second.add(trial, params)
    for sampler, order in ((first, range(30)), (second, reversed(range(30)))):
        for trial in order:
            sampler.report(trial, 1, bowl(asked[trial]))
            state = TrialState.PRUNED if trial % 3 == 0 else TrialState.COMPLETE
            sampler.finish(trial, state, None if trial % 3 == 0 else bowl(asked[trial]))
    assert first.suggest(30) == second.suggest(30)


def test_another_seed_and_another_trial_get_other_params() -> None:
    assert sampler_of(seed=1).suggest(0) == sampler_of(seed=1).suggest(0)
    assert sampler_of(seed=1).suggest(0) != sampler_of(seed=2).suggest(0)
    assert sampler_of(seed=1).suggest(0) != sampler_of(seed=1).suggest(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n_before=st.integers(0, 20), data=st.data())
def test_fixed_params_are_taken_over_where_they_exist(seed: int, n_before: int, data: st.DataObject) -> None:
    sampler = sampler_of(seed=seed)
    search(sampler, n_before, bowl)
    leader = sampler.suggest(n_before)
    fixed = {name: leader[name] for name in data.draw(st.sets(st.sampled_from(sorted(leader))))}
    params = sampler.suggest(n_before + 1, fixed)
    assert is_inside(TREE, params)
    assert all(
        params[name] == value and type(params[name]) is type(value) for name, value in fixed.items() if name in params
    )


def test_what_is_not_fixed_is_drawn_given_what_is() -> None:
    space = Space(
        parameters=(
            Parameter(name="width", domain=Choices(values=("narrow", "wide"))),
            Parameter(name="lr", domain=FloatRange(low=0.0, high=1.0)),
        )
    )

    rng = random.Random(5)
    found: dict[str, list[float]] = {"narrow": [], "wide": []}
    for seed in range(6):
        sampler = sampler_of(space, seed=seed)
        for trial in range(200):
            params = {"width": rng.choice(("narrow", "wide")), "lr": rng.random()}
            sampler.add(trial, params)
            best = 0.15 if params["width"] == "narrow" else 0.85
            sampler.finish(trial, TrialState.COMPLETE, abs(float(params["lr"]) - best))
        for trial in range(200, 208):
            width = ("narrow", "wide")[trial % 4 // 2]
            found[width].append(float(sampler.suggest(trial, {"width": width})["lr"] or 0))
    assert sum(found["narrow"]) / 24 < 0.35
    assert sum(found["wide"]) / 24 > 0.65


def test_params_of_an_earlier_space_do_no_harm() -> None:
    sampler = sampler_of()
    for trial in range(12):
        sampler.add(trial, {"kind": "gone", "lr": 50.0, "depth": 9, "units": "many", "other": 1})
        sampler.finish(trial, TrialState.COMPLETE, float(trial))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_inside(TREE, sampler.suggest(12))
