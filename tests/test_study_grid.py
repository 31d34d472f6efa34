"""The grid: every combination once, in a fixed order, with values that Optuna takes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuner.config.spec import Spec, load
from tuner.control.controller import TrialState
from tuner.control.grid import combinations, points
from tuner.space.parameters import Choices, FloatRange, IntRange, Params
from tuner.study.advisor import StudyAdvisor
from tuner.study.records import StoredTrial, distribution_of

SPACE = """
  optimizer.kind: [adamw, sgd]
  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer.kind: sgd}}
  model.depth: {low: 1, high: 2}
  model.width: {choices: [16, 32], each: model.depth}
  model.norm: [none, batch]
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Spec]:
    def read(space: str, sampler: str = "{kind: grid, points: 3}") -> Spec:
        file = tmp_path / "space.yaml"
        file.write_text(
            "study: s\ndata: {kind: digits}\nmodel: {kind: mlp}\noptimizer: {kind: adamw}\n"
            f"space:{space}search: {{sampler: {sampler}, pruner: none}}\n"
        )
        return load(file)

    return read


def advisor_of(spec: Spec, history: Any = ()) -> StudyAdvisor:
    return StudyAdvisor(
        name="s", space=spec.space, search=spec.search, maximize=False, seed=0, max_epochs=5, history=history
    )


def suggested(advisor: StudyAdvisor, first: int = 0) -> list[Params]:
    """Everything that the grid has left."""
    found: list[Params] = []
    for trial in itertools.count(first):
        params = advisor.suggest(trial)
        if params is None:
            return found
        advisor.finish(trial, TrialState.PRUNED, None)
        found.append(params)
    raise AssertionError


def test_every_combination_comes_once_conditions_and_layers_included(read: Callable[..., Spec]) -> None:
    expected = []
    for kind, momentum in [("adamw", None), ("sgd", 0.5), ("sgd", 0.7), ("sgd", 0.9)]:
        for widths in [(16,), (32,), (16, 16), (16, 32), (32, 16), (32, 32)]:
            for norm in ("none", "batch"):
                params: dict[str, Any] = {"optimizer.kind": kind, "model.depth": len(widths), "model.norm": norm}
                params |= {"optimizer.momentum": momentum} if momentum else {}
                expected.append(params | {f"model.width.{layer}": width for layer, width in enumerate(widths)})
    found = suggested(advisor_of(read(SPACE)))
    assert len(found) == len(expected) == 48
    assert all(params in found for params in expected)


def test_the_order_is_fixed_and_the_last_parameter_varies_fastest(read: Callable[..., Spec]) -> None:
    spec = read("\n  optimizer.lr: [0.1, 0.01]\n  model.depth: {low: 1, high: 2}\n")
    found = [(params["optimizer.lr"], params["model.depth"]) for params in combinations(spec.space, None)]
    assert found == [(0.1, 1), (0.1, 2), (0.01, 1), (0.01, 2)]


def test_an_exhausted_grid_suggests_nothing_and_stays_exhausted(read: Callable[..., Spec]) -> None:
    advisor = advisor_of(read("\n  optimizer.lr: [0.1, 0.01]\n"))
    assert len(suggested(advisor)) == 2
    assert advisor.suggest(2) is None


def history_of(params: list[Params], spec: Spec) -> list[StoredTrial]:
    return [
        StoredTrial(
            number=number,
            state=TrialState.COMPLETE,
            value=1.0,
            params=one,
            distributions={name: distribution_of(spec.space[name].domain) for name in one},
            curve={1: 1.0},
            best_epoch=1,
            system_attrs={},
        )
        for number, one in enumerate(params)
    ]


def test_a_resumed_grid_suggests_the_rest(read: Callable[..., Spec]) -> None:
    spec = read(SPACE)
    everything = suggested(advisor_of(spec))
    assert suggested(advisor_of(spec, history_of(everything[:20], spec)), first=20) == everything[20:]


def test_a_grid_after_another_sampler_leaves_out_only_what_was_tried(read: Callable[..., Spec]) -> None:
    spec = read("\n  optimizer.lr: [0.1, 0.01, 0.001]\n  model.depth: {low: 1, high: 2}\n")
    tried: list[Params] = [{"optimizer.lr": 0.001, "model.depth": 1}, {"optimizer.lr": 0.01, "model.depth": 2}]
    found = suggested(advisor_of(spec, history_of(tried, spec)), first=2)
    assert len(found) == 4
    assert all(params not in found for params in tried)


def test_a_step_gives_the_numbers_that_people_write() -> None:
    assert points(FloatRange(low=0.0, high=0.6, step=0.05), None) == (
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    )
    assert points(FloatRange(low=0.0, high=3e-13, step=1e-13), None) == (0.0, 1e-13, 2e-13, 3e-13)


@given(
    low=st.integers(-1000, 1000),
    step=st.integers(1, 500),
    count=st.integers(1, 40),
    exponent=st.integers(0, 14),
)
def test_optuna_takes_every_point_of_a_stepped_range_without_a_warning(
    low: int, step: int, count: int, exponent: int
) -> None:
    domain = FloatRange(
        low=float(f"{low}e-{exponent}"),
        high=float(f"{low + step * count}e-{exponent}"),
        step=float(f"{step}e-{exponent}"),
    )
    found = points(domain, None)
    assert (found[0], found[-1], len(set(found))) == (domain.low, domain.high, count + 1)
    assert accepted_by_optuna(domain, found) == list(found)


def accepted_by_optuna(domain: FloatRange | IntRange, values: tuple[Any, ...]) -> list[Any]:
    study = optuna.create_study()
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in values:
            study.enqueue_trial({"x": value})
            found.append(study.ask({"x": distribution_of(domain)}).params["x"])
    return found


def test_a_log_range_is_divided_in_the_logarithm_and_keeps_its_ends() -> None:
    found = points(FloatRange(low=1e-4, high=1e-1, log=True), 4)
    assert found == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1), rel=1e-12)
    assert (found[0], found[-1]) == (1e-4, 1e-1)


@given(low=st.floats(1e-12, 1e6), ratio=st.floats(1.0, 1e12), n_points=st.integers(2, 20), log=st.booleans())
def test_points_without_a_step_rise_from_low_to_high(low: float, ratio: float, n_points: int, log: bool) -> None:
    high = low * ratio
    assume(high > low * (1 + 1e-9))
    domain = FloatRange(low=low, high=high, log=log)
    found = points(domain, n_points)
    assert (found[0], found[-1], len(found)) == (low, high, n_points)
    assert all(one < other for one, other in itertools.pairwise(map(float, map(str, found))))
    assert accepted_by_optuna(domain, found) == list(found)


def test_integers_are_all_taken_when_they_are_few_or_have_a_step() -> None:
    assert points(IntRange(low=1, high=4), 5) == (1, 2, 3, 4)
    assert points(IntRange(low=1, high=4), None) == (1, 2, 3, 4)
    assert points(IntRange(low=1, high=9, step=2), 4) == (1, 3, 5, 7, 9)


def test_many_integers_are_thinned_out_to_the_points_asked_for() -> None:
    assert points(IntRange(low=0, high=100), 5) == (0, 25, 50, 75, 100)
    assert points(IntRange(low=1, high=512, log=True), 4) == (1, 8, 64, 512)
    assert points(IntRange(low=1, high=20, log=True), 8) == (1, 2, 4, 6, 8, 13, 20)


def test_choices_that_are_no_scalars_are_taken_by_their_labels() -> None:
    assert points(Choices(values=([16, 16], [32], None, True)), None) == ("[16, 16]", "[32]", None, True)
