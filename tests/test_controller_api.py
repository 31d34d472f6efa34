"""`tuner.Controller`: the decisions of a search for other people's loops."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tuner
from tuner.errors import ConfigError

SPACE: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "units": {"low": 1, "high": 64},
    "kind": ["a", "b"],
    "momentum": {"low": 0, "high": 1, "type": "float", "when": {"kind": "a"}},
}


def loss(params: Any, epoch: int) -> float:
    return abs(math.log10(params["lr"]) + 2) + 1.0 / epoch


def run(controller: tuner.Controller, budget: int) -> list[tuple[int, int, str]]:
    """Train one job after the other; (trial, epoch, decision) of each of so many epochs."""
    told: list[tuple[int, int, str]] = []
    while len(told) < budget and (job := controller.ask()) is not None:
        for epoch in range(job.first_epoch, job.last_epoch + 1):
            decision = controller.report(job.trial, epoch, loss(job.params, epoch))
            told.append((job.trial, epoch, decision))
            if decision != "continue":
                break
    return told


def test_params_have_the_types_of_their_bounds() -> None:
    controller = tuner.Controller(SPACE, epochs=9)
    for _ in range(12):
        job = controller.ask()
        assert job is not None
        types = {name: type(value) for name, value in job.params.items()}
        assert types == {"lr": float, "units": int, "kind": str} | ({"momentum": float} if "momentum" in types else {})
        assert ("momentum" in types) == (job.params["kind"] == "a")


def test_trials_pause_at_rungs_and_the_best_of_three_goes_on_where_it_paused() -> None:
    controller = tuner.Controller(SPACE, epochs=9)
    told = run(controller, 40)
    assert told[0] == (0, 1, "pause")
    promoted = next((trial, epoch) for trial, epoch, _ in told if epoch > 1)
    assert promoted[1] == 2
    first = {trial: epoch for trial, epoch, _ in told[:3]}
    assert first == {0: 1, 1: 1, 2: 1}
    assert all(decision == "stop" for _, epoch, decision in told if epoch == 9)


def test_a_budget_of_trials_ends_with_a_complete_one() -> None:
    controller = tuner.Controller(SPACE, {"trials": 5}, epochs=9)
    told = run(controller, 1000)
    assert max(trial for trial, _, _ in told) == 4
    assert (9, "stop") in {(epoch, decision) for _, epoch, decision in told}
    assert controller.ask() is None


def test_the_same_reports_give_the_same_decisions() -> None:
    assert run(tuner.Controller(SPACE, epochs=27, seed=3), 200) == run(tuner.Controller(SPACE, epochs=27, seed=3), 200)
    assert run(tuner.Controller(SPACE, epochs=27, seed=3), 60) != run(tuner.Controller(SPACE, epochs=27, seed=4), 60)


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf))
def test_a_value_that_is_not_finite_stops_the_trial(value: float) -> None:
    controller = tuner.Controller(SPACE, epochs=9, direction="maximize")
    job = controller.ask()
    assert job is not None
    assert controller.report(job.trial, 1, value) == "stop"
    with pytest.raises(KeyError):
        controller.report(job.trial, 2, 0.5)


def test_open_jobs_count_as_running() -> None:
    controller = tuner.Controller(SPACE, {"trials": 8}, epochs=9)
    jobs = [controller.ask() for _ in range(8)]
    assert [job.trial for job in jobs if job] == list(range(8))
    assert controller.ask() is None
    for job in jobs[:3]:
        assert job is not None
        assert controller.report(job.trial, 1, loss(job.params, 1)) == "pause"
    promoted = controller.ask()
    assert promoted is not None
    assert promoted.first_epoch == 2


def test_trials_have_their_own_epochs() -> None:
    space = {**SPACE, "train.epochs": {"low": 2, "high": 5}}
    controller = tuner.Controller(space, {"pruner": "none"}, epochs=3)
    for _ in range(5):
        job = controller.ask()
        assert job is not None
        assert job.last_epoch == job.params["train.epochs"]
        decisions = [controller.report(job.trial, epoch, 1.0) for epoch in range(1, job.last_epoch + 1)]
        assert decisions == ["continue"] * (job.last_epoch - 1) + ["stop"]


@pytest.mark.parametrize("sampler", ("random", "tpe", "qmc", {"kind": "grid", "points": 3}))
def test_other_samplers_and_pruners_are_the_files(sampler: Any) -> None:
    controller = tuner.Controller(SPACE, {"sampler": sampler, "pruner": "median", "trials": 12}, epochs=4)
    told = run(controller, 1000)
    assert max(trial for trial, _, _ in told) == 11
    assert "pause" not in {decision for _, _, decision in told}


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(tuner.Controller(SPACE, {"sampler": "tpe"}, epochs=2), 10)
    assert capfd.readouterr() == ("", "")


def test_every_mistake_is_said_at_once() -> None:
    space = {
        "lr": {"low": 1.0, "high": 0.1},
        "units": 3,
        "kind": ["a"],
        "momentum": {"low": 0.0, "high": 1.0, "when": {"kinds": "a"}},
        "x": {"low": 0.0, "high": 1.0, "prior": {"center": 2.0, "confidence": "sure"}},
    }
    with pytest.raises(ConfigError) as caught:
        tuner.Controller(space, {"sampler": "best", "trial": 3}, epochs=9)
    text = str(caught.value)
    for part in (
        "space.lr: low (1.0) must be below high (0.1)",
        "space.units: expected a list of choices",
        "space.kind: a single choice",
        "when: kinds is neither varied",
        "space.x.prior.center: expected a number from 0.0 to 1.0, got 2.0",
        "space.x.prior.confidence: expected low or medium or high",
        "search.sampler",
        "trial",
    ):
        assert part in text
    with pytest.raises(ValueError, match="direction: expected 'minimize' or 'maximize'"):
        tuner.Controller(SPACE, epochs=9, direction="up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epochs: expected 1 or more"):
        tuner.Controller(SPACE, epochs=0)
