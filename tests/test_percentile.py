"""The median and percentile rules decide what Optuna's pruners decide, one report at a time."""

from __future__ import annotations

import math
import warnings

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.control.percentile import PercentileRule, interpolated

VALUES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, math.nan]), st.floats(-1e6, 1e6), st.sampled_from([1e300, -1e300])
)
STATES = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int, float]]:
    """Reports and ends of some trials, in any order; every trial begins with its first report."""
    events: list[tuple[str, int, int, float]] = []
    ended: set[int] = set()
    epochs: dict[int, int] = {}
    for _ in range(draw(st.integers(0, 40))):
        trial = draw(st.integers(0, min(8, len(epochs))))
        if trial in ended:
            continue
        if trial in epochs and draw(st.integers(0, 3)) == 0:
            events.append((draw(st.sampled_from(["complete", "complete", "pruned"])), trial, 0, 0.0))
            ended.add(trial)
        else:
            epochs[trial] = epochs.get(trial, 0) + draw(st.integers(1, 2))
            events.append(("report", trial, epochs[trial], draw(VALUES)))
    return events


class Oracle:
    """A plain Optuna study with its own pruner."""

    def __init__(self, pruner: optuna.pruners.BasePruner, *, maximize: bool) -> None:
        direction = "maximize" if maximize else "minimize"
        sampler = optuna.samplers.RandomSampler(seed=0)
        self.study = optuna.create_study(direction=direction, pruner=pruner, sampler=sampler)
        self.trials: list[optuna.trial.Trial] = []

    def report(self, trial: int, epoch: int, value: float) -> bool:
        if trial == len(self.trials):
            self.trials.append(self.study.ask())
        self.trials[trial].report(value, epoch)
        return bool(self.trials[trial].should_prune())

    def end(self, trial: int, state: str) -> None:
        self.study.tell(self.trials[trial], 0.0 if state == "complete" else None, state=STATES[state])


@settings(max_examples=150, deadline=None)
@given(
    events=histories(),
    percentile=st.sampled_from([0.0, 10.0, 25.0, 50.0, 75.0, 100.0, 33.3]),
    n_startup_trials=st.integers(0, 3),
    n_warmup_epochs=st.integers(0, 3),
    interval_epochs=st.integers(1, 3),
    n_min_trials=st.integers(1, 3),
    maximize=st.booleans(),
)
def test_decisions_are_those_of_optunas_percentile_pruner(
    events: list[tuple[str, int, int, float]],
    percentile: float,
    n_startup_trials: int,
    n_warmup_epochs: int,
    interval_epochs: int,
    n_min_trials: int,
    maximize: bool,
) -> None:
    rule = PercentileRule(
        percentile=percentile,
        n_startup_trials=n_startup_trials,
        n_warmup_epochs=n_warmup_epochs,
        interval_epochs=interval_epochs,
        n_min_trials=n_min_trials,
        maximize=maximize,
    )
    options = {"n_startup_trials": n_startup_trials, "n_warmup_steps": n_warmup_epochs}
    options |= {"interval_steps": interval_epochs}
    pruner: optuna.pruners.BasePruner = optuna.pruners.PercentilePruner(
        percentile, n_min_trials=n_min_trials, **options
    )
    if percentile == 50.0:
        pruner = optuna.pruners.MedianPruner(n_min_trials=n_min_trials, **options)
    oracle = Oracle(pruner, maximize=maximize)
    for kind, trial, epoch, value in events:
        if kind == "report":
            rule.report(trial, epoch, value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # Optuna lets numpy warn of epochs that are all nan
                expected = oracle.report(trial, epoch, value)
            assert rule.should_stop(trial) is expected
        else:
            rule.finish(trial, is_complete=kind == "complete")
            oracle.end(trial, kind)


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), percentile=st.floats(0.0, 100.0))
def test_a_quantile_is_numpys_to_the_last_bit(values: list[float], percentile: float) -> None:
    assert interpolated(sorted(values), percentile / 100.0) == float(np.percentile(np.array(values), percentile))


def median_rule() -> PercentileRule:
    return PercentileRule(
        percentile=50.0, n_startup_trials=1, n_warmup_epochs=0, interval_epochs=1, n_min_trials=1, maximize=False
    )


def test_a_pruned_trial_is_not_compared_with() -> None:
    rule = median_rule()
    for trial, value, is_complete in ((0, 0.5, True), (1, 0.1, False), (2, 0.1, False)):
        rule.report(trial, 1, value)
        rule.finish(trial, is_complete=is_complete)
    rule.report(3, 1, 0.4)
    assert not rule.should_stop(3)
    rule.report(4, 1, 0.6)
    assert rule.should_stop(4)


def test_an_epoch_that_is_reported_again_keeps_its_first_value() -> None:
    rule = median_rule()
    rule.report(0, 1, 0.5)
    rule.report(0, 1, 9.0)
    rule.finish(0, is_complete=True)
    rule.report(1, 1, 0.6)
    assert rule.should_stop(1)


@pytest.mark.parametrize("is_complete", (True, False))
def test_a_trial_without_epochs_can_end(is_complete: bool) -> None:
    rule = median_rule()
    rule.finish(0, is_complete=is_complete)
    assert not rule.should_stop(0)
