"""Successive halving: who is promoted, who is stopped, and that nothing depends on the order of reports."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.control.asha import Asha, Mode, Reached, rungs_below
from tuner.control.controller import NONE, Controller, Excesses, Job, TrialState, Values
from tuner.control.first_rung import MIN_TRIALS, noise_of, soft_tau
from tuner.space.parameters import Params
from tuner.training.events import Decision

np = pytest.importorskip("numpy")


def asha_of(mode: Mode = "promote", *, max_epochs: int = 27, eta: int = 3, maximize: bool = False) -> Asha:
    return Asha(min_epochs=1, eta=eta, mode=mode, max_epochs=max_epochs, maximize=maximize)


def with_values(schedule: Asha, values: dict[int, float], epoch: int = 1, last_epoch: int = 27) -> Asha:
    """Trials that reported the same value at every epoch so far."""
    for trial, value in values.items():
        schedule.add(trial, last_epoch)
        for at in range(1, epoch + 1):
            schedule.report(trial, at, value)
    return schedule


# --------------------------------------------------------------------------------------------------------------- rungs


@pytest.mark.parametrize(
    ("last_epoch", "min_epochs", "eta", "rungs"),
    ((27, 1, 3, (1, 3, 9)), (30, 1, 3, (1, 3, 9, 27)), (10, 2, 2, (2, 4, 8)), (1, 1, 3, ()), (3, 5, 2, ())),
)
def test_rungs_are_powers_below_the_last_epoch(
    last_epoch: int, min_epochs: int, eta: int, rungs: tuple[int, ...]
) -> None:
    assert rungs_below(last_epoch, min_epochs=min_epochs, eta=eta) == rungs


@pytest.mark.parametrize(
    ("epoch", "last_epoch", "goal"), ((0, 27, 1), (1, 27, 3), (9, 27, 27), (0, 3, 1), (1, 3, 3), (1, 2, 2), (0, 1, 1))
)
def test_a_trial_pauses_at_the_next_rung_below_its_own_last_epoch(epoch: int, last_epoch: int, goal: int) -> None:
    assert asha_of().goal(epoch, last_epoch) == goal


def test_a_report_tells_which_levels_were_reached_and_what_counts_there() -> None:
    schedule = asha_of(maximize=True, max_epochs=4)
    schedule.add(0, 4)
    reports = [schedule.report(0, epoch, value) for epoch, value in enumerate((0.5, 0.8, 0.6, 0.9), start=1)]
    assert reports == [[Reached(level=0, value=0.5)], [], [Reached(level=1, value=0.8)], []]
    assert schedule.finish(0, TrialState.COMPLETE) == [Reached(level=2, value=0.9)]
    assert schedule.report(0, 4, 0.1) == [], "a known epoch"
    assert [(at.level, at.value) for at in schedule.reached(0)] == [(0, 0.5), (1, 0.8), (2, 0.9)]


def test_a_trial_that_stopped_early_counts_at_the_rungs_of_its_own_that_it_did_not_need() -> None:
    schedule = asha_of()
    schedule.add(0, 5)
    schedule.report(0, 1, 0.3)
    assert schedule.finish(0, TrialState.COMPLETE) == [Reached(level=1, value=0.3), Reached(level=3, value=0.3)]


# ----------------------------------------------------------------------------------------------------------- promotion


def test_the_best_third_is_promoted_the_best_first() -> None:
    schedule = with_values(asha_of(), {trial: trial / 10 for trial in range(9)})
    assert schedule.promotable(range(9)) == [0, 1, 2]
    assert schedule.promotable({1, 2, 5}) == [1, 2]


def test_fewer_than_eta_trials_promote_nobody() -> None:
    assert with_values(asha_of(), {0: 0.1, 1: 0.2}).promotable({0, 1}) == []


def test_the_higher_rung_goes_first() -> None:
    schedule = with_values(asha_of(), dict.fromkeys(range(9), 0.1))
    with_values(schedule, dict.fromkeys(range(10, 13), 0.9), epoch=3)
    assert schedule.promotable(range(13)) == [10, 0, 1, 2, 3]


def test_with_maximize_the_largest_are_the_best() -> None:
    schedule = with_values(asha_of(maximize=True), {trial: trial / 10 for trial in range(6)})
    assert schedule.promotable(range(6)) == [5, 4]


def test_a_trial_that_diverged_counts_but_takes_no_promotion() -> None:
    schedule = with_values(asha_of(), {trial: trial / 10 for trial in range(6)})
    for epoch in (2, 3):
        schedule.report(0, epoch, 0.0)
    assert schedule.diverge(0) == [Reached(level=level, value=math.inf) for level in (0, 1, 2)]
    assert schedule.diverge(0) == [], "once"
    assert schedule.promotable(range(1, 6)) == [1, 2], "of six, two"


def test_a_failed_trial_does_not_count() -> None:
    schedule = with_values(asha_of(), {trial: trial / 10 for trial in range(6)})
    schedule.finish(0, TrialState.FAILED)
    assert schedule.promotable(range(1, 6)) == [1], "of five, one"


# ------------------------------------------------------------------------------------------------------------ stopping


def test_in_mode_stop_the_best_third_goes_on_and_early_ones_always_do() -> None:
    schedule = asha_of("stop")
    stopped = []
    for trial, value in enumerate((0.5, 0.9, 0.4, 0.6, 0.3, 0.2)):
        schedule.add(trial, 27)
        schedule.report(trial, 1, value)
        stopped.append(schedule.should_stop(trial))
    assert stopped == [False, False, False, True, False, False]
    schedule.report(4, 2, 0.1)
    assert not schedule.should_stop(4), "no rung"
    assert schedule.goal(0, 27) == 27


# ------------------------------------------------------------------------------------------------ the first rung moves


def disagreeing(schedule: Asha, n: int, *, seed: int = 0, epoch: int = 9) -> Asha:
    """The order at epoch 1 is the reverse of that of all later ones."""
    draw = random.Random(seed)
    for trial in range(n):
        quality = draw.random()
        schedule.add(trial, 27)
        schedule.report(trial, 1, 1 - quality / 10)
        for at in range(2, epoch + 1):
            schedule.report(trial, at, quality / at)
    return schedule


def test_the_first_rung_moves_up_where_its_order_misleads() -> None:
    schedule = disagreeing(asha_of(), 2 * MIN_TRIALS)
    assert schedule.first_level == 1
    assert schedule.goal(0, 27) == 3
    lines = schedule.explain()
    assert lines[1] == "first rung: epoch 3"
    assert lines[2].startswith("  the order at epoch 1 misleads about that at epoch 3 (tau -1.00 over 18 trials")
    assert lines[3].startswith("  the order at epoch 3 does not mislead about that at epoch 9 (tau 1.00 over 18 trials")


def test_an_order_that_says_nothing_does_not_move_it() -> None:
    schedule, draw = asha_of(), random.Random(3)
    for trial in range(40):
        schedule.add(trial, 27)
        for epoch in range(1, 10):
            schedule.report(trial, epoch, draw.random() / epoch**3)
    assert schedule.first_level == 0


def test_few_trials_or_the_same_order_leave_it_where_it_is() -> None:
    assert disagreeing(asha_of(), MIN_TRIALS - 1).first_level == 0
    schedule = with_values(asha_of(), {trial: trial / 10 for trial in range(20)}, epoch=9)
    assert schedule.first_level == 0
    assert "rungs at epoch 1 (20), 3 (20), 9 (20)" in schedule.explain()[0]


def test_more_trials_whose_order_agrees_move_it_back() -> None:
    schedule = disagreeing(asha_of(), MIN_TRIALS)
    assert schedule.first_level == 1
    with_values(schedule, {100 + trial: trial / 10 for trial in range(60)}, epoch=9)
    assert schedule.first_level == 0


def test_it_never_moves_where_it_could_spare_little() -> None:
    schedule = asha_of(max_epochs=5)  # rungs 1 and 3
    draw = random.Random(1)
    for trial in range(40):
        schedule.add(trial, 5)
        quality = draw.random()
        for epoch in range(1, 6):
            schedule.report(trial, epoch, 1 - quality / 10 if epoch == 1 else quality / epoch)
        schedule.finish(trial, TrialState.COMPLETE)
    assert schedule.first_level == 0


def test_trials_closer_than_the_noise_are_equal() -> None:
    after = np.array([0.10, 0.11, 0.50])
    assert soft_tau(np.array([0.2, 0.1, 0.9]), after, noise=0.02) == 1.0
    assert soft_tau(np.array([0.2, 0.1, 0.9]), after, noise=0.0) == pytest.approx(1 / 3)
    assert soft_tau(np.array([0.2, 0.1, 0.9]), after, noise=1.0) == 1.0


def test_noise_is_the_distance_of_curves_that_cross_and_cross_back() -> None:
    crossing = [{1: 0.5, 2: 0.3, 3: 0.2}, {1: 0.4, 2: 0.4, 3: 0.1}]
    apart = {1: 0.9, 2: 0.9, 3: 0.9}
    assert noise_of([*crossing, apart], np.array([0.2, 0.1, 0.9])) == pytest.approx(0.1)
    assert noise_of([crossing[0], apart], np.array([0.2, 0.9])) == 0.0


# ------------------------------------------------------------------------------------------------- order of the reports

CURVES = st.lists(
    st.tuples(
        st.lists(st.sampled_from((0.1, 0.2, 0.3, 0.5, 0.8)), min_size=1, max_size=9),
        st.sampled_from(("open", "complete", "diverged", "failed")),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(CURVES, st.randoms(use_true_random=False))
def test_the_schedule_does_not_depend_on_the_order_in_which_trials_reported(
    curves: list[tuple[list[float], str]], draw: random.Random
) -> None:
    one_by_one = asha_of(max_epochs=9)
    for trial, (values, _) in enumerate(curves):
        one_by_one.add(trial, 9)
        for epoch, value in enumerate(values, start=1):
            one_by_one.report(trial, epoch, value)
        _end(one_by_one, trial, curves)

    mixed = asha_of(max_epochs=9)
    turns = [trial for trial, (values, _) in enumerate(curves) for _ in range(len(values) + 1)]
    draw.shuffle(turns)
    done = dict.fromkeys(range(len(curves)), 0)
    for trial in range(len(curves)):
        mixed.add(trial, 9)
    for trial in turns:
        values, done[trial] = curves[trial][0], done[trial] + 1
        if done[trial] <= len(values):
            mixed.report(trial, done[trial], values[done[trial] - 1])
            _ = mixed.first_level
        else:
            _end(mixed, trial, curves)

    still_open = {trial for trial, (_, end) in enumerate(curves) if end == "open"}
    assert mixed.first_level == one_by_one.first_level
    assert mixed.promotable(still_open) == one_by_one.promotable(still_open)
    assert mixed.best_paused(still_open) == one_by_one.best_paused(still_open)
    assert mixed.explain() == one_by_one.explain()


def _end(schedule: Asha, trial: int, curves: list[tuple[list[float], str]]) -> None:
    end = curves[trial][1]
    if end == "complete":
        schedule.finish(trial, TrialState.COMPLETE)
    elif end == "diverged":
        schedule.diverge(trial)
    elif end == "failed":
        schedule.finish(trial, TrialState.FAILED)


# ------------------------------------------------------------------------------------------------------- the controller


@dataclass
class Counting:
    """Suggests the number of the trial."""

    schedule: Asha
    last_epoch: int = 9
    n_params: int = 1000
    asked: list[int] = field(default_factory=list)

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        if trial >= self.n_params:
            return None
        self.asked.append(trial)
        self.schedule.add(trial, self.last_epoch)
        return {"lr": trial, **(fixed or {})}

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        self.schedule.report(trial, epoch, value)

    def diverge(self, trial: int) -> None:
        self.schedule.diverge(trial)

    def should_stop(self, trial: int) -> bool:
        return self.schedule.should_stop(trial)

    def finish(
        self, trial: int, state: TrialState, value: float | None, values: Values = (), constraints: Excesses = NONE
    ) -> None:
        self.schedule.finish(trial, state)


def controller_of(n_trials: int | None, *, n_params: int = 1000) -> Controller:
    advisor = Counting(asha_of(max_epochs=9), n_params=n_params)
    return Controller(advisor=advisor, maximize=False, n_trials=n_trials, epochs_of=lambda _params: 9)


def train(controller: Controller, job: Job, value: float) -> Decision:
    """Epochs of a job, until it pauses or ends."""
    for epoch in range(job.first_epoch, job.last_epoch + 1):
        decision = controller.report(job.trial, epoch, value)
        if decision is Decision.PAUSE:
            controller.pause(job.trial)
            return decision
        if decision is Decision.STOP:
            controller.finish(job.trial, TrialState.PRUNED)
            return decision
    controller.finish(job.trial, TrialState.COMPLETE)
    return Decision.CONTINUE


def drain(controller: Controller) -> list[tuple[int, int]]:
    """(trial, first epoch) of every job until there is none."""
    jobs = []
    while (job := controller.ask()) is not None:
        jobs.append((job.trial, job.first_epoch))
        train(controller, job, value=job.trial / 100)
    return jobs


def test_a_trial_pauses_at_its_rung_and_is_promoted_before_a_new_one_is_asked_for() -> None:
    controller = controller_of(9)
    assert drain(controller)[:5] == [(0, 1), (1, 1), (2, 1), (0, 2), (3, 1)]


def test_when_the_budget_is_spent_promotions_go_on() -> None:
    jobs = drain(controller_of(27))
    assert len([job for job in jobs if job[1] == 1]) == 27
    assert len([job for job in jobs if job[1] == 2]) == 9
    assert len([job for job in jobs if job[1] == 4]) == 3


@pytest.mark.parametrize("n_trials", (1, 2, 3))
def test_a_search_of_few_trials_takes_its_best_to_the_end(n_trials: int) -> None:
    jobs = drain(controller_of(n_trials))
    assert jobs[-1] == (0, 4)
    assert [trial for trial, first in jobs if first > 1] == [0, 0]


def test_a_space_that_is_exhausted_is_drained_like_a_spent_budget() -> None:
    assert drain(controller_of(None, n_params=2)) == [(0, 1), (1, 1), (0, 2), (0, 4)]


def test_nothing_now_may_be_something_later_while_trials_are_open() -> None:
    controller = controller_of(3)
    jobs = [controller.ask() for _ in range(3)]
    assert controller.ask() is None
    for job in jobs[:2]:
        assert job is not None
        assert train(controller, job, 0.5) is Decision.PAUSE
    assert controller.ask() is None, "the third is open"
    assert jobs[2] is not None
    train(controller, jobs[2], 0.1)
    assert controller.ask() == Job(trial=2, params={"lr": 2}, first_epoch=2, last_epoch=9)
    assert controller.ask() is None


def test_a_trial_that_was_told_to_pause_is_not_promoted_before_it_did() -> None:
    controller = controller_of(3)
    for _ in range(3):
        job = controller.ask()
        assert job is not None
        assert controller.report(job.trial, 1, job.trial / 10) is Decision.PAUSE
    assert controller.promote() is None
    controller.pause(1)
    assert controller.promote() is None, "not the best"
    controller.pause(0)
    assert controller.promote(among=[1, 2]) is None
    promoted = controller.promote(among=[0, 1])
    assert promoted is not None
    assert promoted.trial == 0


def test_params_that_are_fixed_ask_for_a_new_trial_only() -> None:
    controller = controller_of(4)
    for _ in range(3):
        job = controller.ask()
        assert job is not None
        train(controller, job, 0.1)
    new = controller.ask({"depth": 2})
    assert new == Job(trial=3, params={"lr": 3, "depth": 2}, first_epoch=1, last_epoch=9)
    assert controller.ask({"depth": 2}) is None
    assert controller.n_left == 1, "one is promotable"


def test_a_trial_that_diverges_is_stopped_and_never_promoted() -> None:
    controller = controller_of(3)
    for value in (math.nan, 0.2, 0.3):
        job = controller.ask()
        assert job is not None
        train(controller, job, value)
    assert drain(controller) == [(1, 2), (1, 4)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.randoms(use_true_random=False))
def test_many_open_jobs_end_in_any_order_and_no_epoch_is_trained_twice(
    n_trials: int, n_workers: int, draw: random.Random
) -> None:
    controller = controller_of(n_trials)
    working: list[tuple[Job, int]] = []
    trained: set[tuple[int, int]] = set()
    complete = 0
    while True:
        while len(working) < n_workers and (asked := controller.ask()) is not None:
            working.append((asked, asked.first_epoch))
        if not working:
            break
        job, epoch = working.pop(draw.randrange(len(working)))
        assert (job.trial, epoch) not in trained
        trained.add((job.trial, epoch))
        if controller.report(job.trial, epoch, draw.random()) is Decision.PAUSE:
            controller.pause(job.trial)
        elif epoch == job.last_epoch:
            controller.finish(job.trial, TrialState.COMPLETE)
            complete += 1
        else:
            working.append((job, epoch + 1))
    assert {trial for trial, _ in trained} == set(range(n_trials))
    assert complete >= 1


def test_reopened_trials_pause_where_they_had_to() -> None:
    controller = controller_of(9)
    for trial in range(3):
        controller.advisor.suggest(trial)
        controller.advisor.report(trial, 1, trial / 10)
    for trial in range(3):
        controller.reopen(trial, {"lr": trial}, [trial / 10], goal=3 if trial == 2 else 1)
    assert [controller.judge(trial) for trial in range(3)] == [Decision.PAUSE, Decision.PAUSE, Decision.CONTINUE]
    assert controller.goal(2) == 3


def test_a_trial_that_paused_below_all_rungs_of_another_setting_goes_on() -> None:
    advisor = Counting(Asha(min_epochs=4, eta=2, mode="promote", max_epochs=9, maximize=False))
    controller = Controller(advisor=advisor, maximize=False, n_trials=9, epochs_of=lambda _params: 9)
    advisor.suggest(0)
    advisor.report(0, 1, 0.5)
    controller.reopen(0, {"lr": 0}, [0.5], goal=1)
    assert controller.judge(0) is Decision.CONTINUE
    assert controller.goal(0) == 4


def test_a_trial_that_breaks_a_constraint_takes_no_promotion_and_does_not_count_as_complete() -> None:
    schedule = with_values(asha_of(), {trial: float(trial) for trial in range(9)})
    for trial in range(3):
        for epoch in range(2, 28):
            schedule.report(trial, epoch, float(trial))
        schedule.finish(trial, TrialState.COMPLETE)
    assert (schedule.promotable(set(range(3, 9))), schedule.n_complete) == ([], 3)
    for trial in range(3):
        schedule.refuse(trial)
    assert (schedule.promotable(set(range(3, 9))), schedule.n_complete) == ([3, 4, 5], 0)
