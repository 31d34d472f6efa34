"""The controller: the budget is never overshot, the best epoch is finite, the last epoch is never cut short."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.control.asha import Asha
from tuner.control.controller import Controller, Job, TrialState
from tuner.space.parameters import Params
from tuner.training.events import Decision


@dataclass
class NotedAdvisor:
    """Suggests `n_params` params, stops trials whose value is above `limit` and keeps what it was told."""

    n_params: int = 1000
    limit: float = math.inf
    reports: list[tuple[int, int, float]] = field(default_factory=list)
    ends: dict[int, tuple[TrialState, float | None]] = field(default_factory=dict)
    schedule: Asha | None = None

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        return {"lr": trial, **(fixed or {})} if trial < self.n_params else None

    def report(self, trial: int, epoch: int, value: float) -> None:
        self.reports.append((trial, epoch, value))

    def diverge(self, trial: int) -> None:
        pass

    def should_stop(self, trial: int) -> bool:
        return next(value for number, _, value in reversed(self.reports) if number == trial) > self.limit

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:
        assert trial not in self.ends
        self.ends[trial] = (state, value)


def controller_of(
    advisor: NotedAdvisor, n_trials: int | None = 10, *, maximize: bool = False, epochs: int = 3
) -> Controller:
    return Controller(advisor=advisor, maximize=maximize, n_trials=n_trials, epochs_of=lambda _params: epochs)


def test_jobs_are_numbered_and_go_from_the_first_epoch_to_the_last() -> None:
    controller = controller_of(NotedAdvisor(), epochs=4)
    assert controller.ask() == Job(trial=0, params={"lr": 0}, first_epoch=1, last_epoch=4)
    assert controller.ask() == Job(trial=1, params={"lr": 1}, first_epoch=1, last_epoch=4)


def test_fixed_params_reach_the_advisor_for_this_trial_only() -> None:
    controller = controller_of(NotedAdvisor())
    asked = [controller.ask({"depth": 2}), controller.ask()]
    assert [job and job.params for job in asked] == [{"lr": 0, "depth": 2}, {"lr": 1}]


def test_the_epochs_of_a_trial_can_depend_on_its_params() -> None:
    controller = Controller(
        advisor=NotedAdvisor(), maximize=False, n_trials=None, epochs_of=lambda params: 10 + int(params["lr"] or 0)
    )
    jobs = [controller.ask() for _ in range(3)]
    assert [job and job.last_epoch for job in jobs] == [10, 11, 12]


def test_open_jobs_count_against_the_budget() -> None:
    controller = controller_of(NotedAdvisor(), n_trials=3)
    assert [controller.ask() is None for _ in range(5)] == [False, False, False, True, True]


def test_a_finished_trial_does_not_make_room_for_another() -> None:
    controller = controller_of(NotedAdvisor(), n_trials=1)
    controller.ask()
    controller.finish(0, TrialState.FAILED)
    assert controller.ask() is None


def test_trials_of_earlier_sessions_count_against_the_budget() -> None:
    controller = Controller(
        advisor=NotedAdvisor(), maximize=False, n_trials=5, epochs_of=lambda _params: 3, next_trial=4
    )
    job = controller.ask()
    assert job is not None
    assert job.trial == 4
    assert controller.ask() is None


def test_a_smaller_budget_than_was_spent_asks_for_nothing() -> None:
    controller = Controller(
        advisor=NotedAdvisor(), maximize=False, n_trials=2, epochs_of=lambda _params: 3, next_trial=4
    )
    assert controller.ask() is None


def test_an_exhausted_space_ends_the_search_before_the_budget() -> None:
    controller = controller_of(NotedAdvisor(n_params=2), n_trials=None)
    assert [controller.ask() is None for _ in range(3)] == [False, False, True]
    assert controller.next_trial == 2


@pytest.mark.parametrize("maximize", (True, False))
@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf))
def test_a_value_that_is_not_finite_stops_the_trial_and_is_never_the_best(value: float, maximize: bool) -> None:
    advisor = NotedAdvisor()
    controller = controller_of(advisor, maximize=maximize)
    controller.ask()
    assert controller.report(0, 1, 0.5) is Decision.CONTINUE
    assert controller.report(0, 2, value) is Decision.STOP
    assert controller.judge(0) is Decision.STOP
    assert controller.best_epoch(0) == (1, 0.5)
    assert advisor.reports == [(0, 1, 0.5)]


def test_nan_in_the_first_epoch_leaves_no_best_epoch() -> None:
    controller = controller_of(NotedAdvisor())
    controller.ask()
    assert controller.report(0, 1, math.nan) is Decision.STOP
    assert controller.best_epoch(0) == (0, None)


def test_a_trial_is_stopped_when_the_advisor_says_so() -> None:
    controller = controller_of(NotedAdvisor(limit=1.0))
    controller.ask()
    assert controller.report(0, 1, 1.0) is Decision.CONTINUE
    assert controller.report(0, 2, 1.1) is Decision.STOP


def test_the_last_epoch_is_never_cut_short() -> None:
    controller = controller_of(NotedAdvisor(limit=0.0), epochs=1)
    controller.ask()
    assert controller.report(0, 1, 9.0) is Decision.CONTINUE


def test_the_advisor_hears_of_the_last_epoch_too() -> None:
    advisor = NotedAdvisor()
    controller = controller_of(advisor, epochs=2)
    controller.ask()
    for epoch, value in ((1, 0.4), (2, 0.3)):
        controller.report(0, epoch, value)
    assert advisor.reports == [(0, 1, 0.4), (0, 2, 0.3)]


def test_an_epoch_that_is_reported_again_changes_nothing() -> None:
    advisor = NotedAdvisor(limit=1.0)
    controller = controller_of(advisor)
    controller.ask()
    controller.report(0, 1, 0.5)
    assert controller.report(0, 1, 0.5) is Decision.CONTINUE
    assert controller.best_epoch(0) == (1, 0.5)
    assert advisor.reports == [(0, 1, 0.5)]


def test_an_epoch_that_is_trained_again_to_another_value_has_the_value_of_the_weights_that_are_kept() -> None:
    advisor = NotedAdvisor(limit=1.0)
    controller = controller_of(advisor)
    controller.ask()
    for epoch, value in ((1, 0.5), (2, 0.3), (2, 0.6)):
        assert controller.report(0, epoch, value) is Decision.CONTINUE
    assert controller.best_epoch(0) == (1, 0.5)
    assert advisor.reports == [(0, 1, 0.5), (0, 2, 0.3)]


def test_a_stopped_trial_stays_stopped_when_its_worker_comes_back() -> None:
    advisor = NotedAdvisor(limit=1.0)
    controller = controller_of(advisor)
    controller.ask()
    assert controller.report(0, 1, 2.0) is Decision.STOP
    assert controller.report(0, 1, 2.0) is Decision.STOP
    assert controller.report(0, 2, 0.1) is Decision.STOP


@pytest.mark.parametrize(("maximize", "best"), ((True, (2, 0.9)), (False, (1, 0.2))))
def test_the_value_of_a_complete_trial_is_that_of_its_first_best_epoch(maximize: bool, best: tuple[int, float]) -> None:
    advisor = NotedAdvisor()
    controller = controller_of(advisor, maximize=maximize, epochs=4)
    controller.ask()
    for epoch, value in enumerate((0.2, 0.9, 0.2, 0.9), start=1):
        controller.report(0, epoch, value)
    assert controller.best_epoch(0) == best
    assert controller.finish(0, TrialState.COMPLETE) == best[1]
    assert advisor.ends == {0: (TrialState.COMPLETE, best[1])}


@pytest.mark.parametrize("state", (TrialState.PRUNED, TrialState.FAILED))
def test_a_trial_that_is_not_complete_has_no_value(state: TrialState) -> None:
    advisor = NotedAdvisor()
    controller = controller_of(advisor)
    controller.ask()
    controller.report(0, 1, 0.5)
    assert controller.finish(0, state) is None
    assert advisor.ends == {0: (state, None)}


def test_a_reopened_trial_goes_on_after_its_last_recorded_epoch_and_keeps_its_best() -> None:
    advisor = NotedAdvisor(reports=[(3, 1, 0.5), (3, 2, 0.2), (3, 3, 0.4)])
    controller = controller_of(advisor, epochs=5)
    job = controller.reopen(3, {"lr": 3}, [0.5, 0.2, 0.4])
    assert job == Job(trial=3, params={"lr": 3}, first_epoch=4, last_epoch=5)
    assert controller.best_epoch(3) == (2, 0.2)
    assert controller.report(3, 3, 0.4) is Decision.CONTINUE  # recorded, and repeated after a fault
    controller.report(3, 4, 0.3)
    assert advisor.reports == [(3, 1, 0.5), (3, 2, 0.2), (3, 3, 0.4), (3, 4, 0.3)]
    assert controller.finish(3, TrialState.COMPLETE) == 0.2


def test_a_reopened_trial_does_not_count_again() -> None:
    controller = Controller(
        advisor=NotedAdvisor(), maximize=False, n_trials=5, epochs_of=lambda _params: 3, next_trial=4
    )
    controller.reopen(2, {"lr": 2}, [])
    assert controller.ask() is not None
    assert controller.ask() is None


def test_a_reopened_trial_that_was_to_be_stopped_is_stopped() -> None:
    advisor = NotedAdvisor(limit=1.0, reports=[(0, 1, 2.0)])
    controller = controller_of(advisor)
    controller.reopen(0, {"lr": 0}, [2.0])
    assert controller.judge(0) is Decision.STOP


def test_a_reopened_trial_that_diverged_is_stopped() -> None:
    controller = controller_of(NotedAdvisor())
    controller.reopen(0, {"lr": 0}, [0.5, math.nan])
    assert controller.judge(0) is Decision.STOP
    assert controller.best_epoch(0) == (1, 0.5)


def test_a_reopened_trial_without_epochs_starts_from_the_first() -> None:
    controller = controller_of(NotedAdvisor(limit=-1.0))
    assert controller.reopen(0, {"lr": 0}, []).first_epoch == 1
    assert controller.judge(0) is Decision.CONTINUE


VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(data=st.data(), n_trials=st.integers(0, 6), epochs=st.integers(1, 4), maximize=st.booleans())
def test_any_interleaving_keeps_the_counts_right(
    data: st.DataObject, n_trials: int, epochs: int, maximize: bool
) -> None:
    advisor = NotedAdvisor(limit=0.5)
    controller = controller_of(advisor, n_trials, maximize=maximize, epochs=epochs)
    accepted: dict[int, dict[int, float]] = {}
    reports: list[tuple[int, int, float]] = []
    is_open: set[int] = set()
    for _ in range(data.draw(st.integers(0, 30))):
        action = data.draw(st.sampled_from(["ask", "report", "finish"]))
        if action == "ask":
            job = controller.ask()
            assert (job is None) is (len(accepted) == n_trials)
            if job is not None:
                assert job.trial == len(accepted)
                accepted[job.trial] = {}
                is_open.add(job.trial)
        elif action == "report" and is_open:
            trial = data.draw(st.sampled_from(sorted(is_open)))
            epoch, value = data.draw(st.integers(1, epochs)), data.draw(VALUES)
            last = max(accepted[trial], default=0)
            if math.isfinite(value) and epoch > last:
                reports.append((trial, epoch, value))
            if math.isfinite(value) and (epoch > last or epoch in accepted[trial]):
                accepted[trial][epoch] = value
            assert (controller.report(trial, epoch, value) is Decision.STOP) or math.isfinite(value)
        elif action == "finish" and is_open:
            trial = data.draw(st.sampled_from(sorted(is_open)))
            is_open.remove(trial)
            state = TrialState.COMPLETE if accepted[trial] else TrialState.PRUNED
            best = (max if maximize else min)(accepted[trial].values(), default=None)
            assert controller.finish(trial, state) == best
    assert len(accepted) <= n_trials
    assert set(advisor.ends) == set(accepted) - is_open
    assert advisor.reports == reports
