"""Which parameters matter: found where something is, and doubted where nothing is."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from tuner.space.parameters import AnyOf, Choices, FloatRange, IntRange, Parameter, Space
from tuner.study.importance import N_TREES, Importances, importances_of

FLAT = Space(
    parameters=(
        Parameter(name="lr", domain=FloatRange(low=1e-5, high=1e-1, log=True)),
        Parameter(name="width", domain=IntRange(low=4, high=64)),
        Parameter(name="kind", domain=Choices(values=("a", "b", "c"))),
    )
)
CONDITIONAL = Space(
    parameters=(
        Parameter(name="kind", domain=Choices(values=("adam", "sgd"))),
        Parameter(name="lr", domain=FloatRange(low=1e-5, high=1e-1, log=True)),
        Parameter(
            name="momentum",
            domain=FloatRange(low=0.0, high=1.0),
            conditions=(AnyOf(parent="kind", labels=("sgd",)),),
        ),
    )
)


def drawn(n: int, seed: int = 0) -> list[dict[str, float | int | str]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "lr": float(10 ** rng.uniform(-5, -1)),
            "width": int(rng.integers(4, 65)),
            "kind": str(rng.choice(["a", "b", "c"])),
        }
        for _ in range(n)
    ]


def shares(found: Importances | None) -> dict[str, float]:
    assert found is not None
    return {row.name: row.share for row in found.rows}


def test_the_parameter_that_decides_is_found_and_clear_of_chance() -> None:
    params = drawn(60)
    losses = [(math.log10(float(one["lr"])) + 3) ** 2 for one in params]
    found = importances_of(FLAT, params, losses, seed=1)
    assert found is not None
    assert found.method == "fanova"
    assert found.rows[0].name == "lr"
    assert found.rows[0].share > 0.5
    assert found.rows[0].is_clear
    assert not any(row.is_clear and row.share > 0.1 for row in found.rows[1:])
    assert not found.are_few


def test_where_nothing_matters_hardly_anything_is_clear_of_chance() -> None:
    rng = np.random.default_rng(3)
    found = importances_of(FLAT, drawn(40, seed=2), rng.normal(size=40).tolist(), seed=1)
    assert found is not None
    assert sum(row.is_clear for row in found.rows) <= 1
    assert all(row.low <= row.share <= row.high for row in found.rows)


def test_few_trials_are_said_to_be_few_and_very_few_say_nothing() -> None:
    params = drawn(12)
    found = importances_of(FLAT, params, [float(one["width"]) for one in params], seed=1)
    assert found is not None
    assert found.are_few
    assert importances_of(FLAT, params[:5], [1.0, 2.0, 3.0, 4.0, 5.0], seed=1) is None
    assert importances_of(FLAT, params, [1.0] * 12, seed=1) is None


def test_parameters_under_conditions_are_weighed_too() -> None:
    rng = np.random.default_rng(0)
    params: list[dict[str, float | str]] = []
    for _ in range(80):
        one: dict[str, float | str] = {"kind": str(rng.choice(["adam", "sgd"])), "lr": float(10 ** rng.uniform(-5, -1))}
        if one["kind"] == "sgd":
            one["momentum"] = float(rng.uniform())
        params.append(one)
    losses = [float(one.get("momentum", 0.5)) for one in params]
    found = importances_of(CONDITIONAL, params, losses, seed=0)
    assert found is not None
    assert found.method == "pedanova"
    assert found.rows[0].name == "momentum"
    assert sum(row.share for row in found.rows) == pytest.approx(1.0)
    assert {row.name: row.n_trials for row in found.rows}["lr"] == 80


def test_the_shares_are_those_of_optuna() -> None:
    """Without a logarithm in the space, where ours deviates: its fANOVA weighs such ranges by their values."""
    params = [{"width": one["width"], "kind": one["kind"]} for one in drawn(40)]
    losses = [float(one["width"]) * (2.0 if one["kind"] == "a" else 1.0) for one in params]
    space = Space(parameters=FLAT.parameters[1:])
    study = optuna.create_study(direction="minimize")
    for one, loss in zip(params, losses, strict=True):
        distributions = {
            "width": optuna.distributions.IntDistribution(4, 64),
            "kind": optuna.distributions.CategoricalDistribution(("a", "b", "c")),
        }
        study.add_trial(optuna.trial.create_trial(value=loss, params=one, distributions=distributions))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=N_TREES, seed=5)
    wanted = evaluator.evaluate(study)
    assert shares(importances_of(space, params, losses, seed=5)) == pytest.approx(wanted)


def test_the_same_trials_have_the_same_importance() -> None:
    params = drawn(10)
    losses = [float(one["width"]) for one in params]
    assert importances_of(FLAT, params, losses, seed=7) == importances_of(FLAT, params, losses, seed=7)
