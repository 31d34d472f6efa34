"""When a search ends: its time, and `search.stop: auto`, after which it stays ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tuner.config.metrics import find
from tuner.config.spec import Spec
from tuner.control.controller import TrialState, is_feasible
from tuner.control.stopping import StoppingRule
from tuner.study.records import StoredTrial

REMEDY = "`--set search.stop=never` goes on"


@dataclass(slots=True, kw_only=True)
class Ending:
    """Follows what finished trials are worth; without a rule only time ends a search."""

    rule: StoppingRule | None
    n_trials: int | None
    timeout_s: float | None
    """Wall time that this session has; None for no limit."""
    settled: str = ""
    """Why an earlier session with this budget ended the search: that is not thought over."""
    why: str = ""
    """Why the search is over, once it is."""
    keep: Callable[[str], None] = lambda _: None
    """Makes the verdict last, so that a later session does not think it over."""
    _is_kept: bool = False
    _curves: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(
        cls,
        spec: Spec,
        n_trials: int | None,
        history: Sequence[StoredTrial] = (),
        seconds_before: float = 0.0,
        settled: str = "",
    ) -> Ending:
        """With all that is stored of the study."""
        timeout_s = None if spec.search.timeout is None else spec.search.timeout - seconds_before
        if spec.search.stop == "never":
            return cls(rule=None, n_trials=n_trials, timeout_s=timeout_s)
        rule = StoppingRule(maximize=spec.maximize, limit=limit_of(spec))
        for trial in history:
            if trial.is_finished:
                is_good = trial.state is TrialState.COMPLETE and is_feasible(trial.constraints)
                rule.finished(trial.value if is_good else None, trial.curve)
        ending = cls(rule=rule, n_trials=n_trials, timeout_s=timeout_s, settled=settled)
        ending._curves.update({trial.number: dict(trial.curve) for trial in history if not trial.is_finished})
        return ending

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Take in the objective after an epoch."""
        if self.rule is not None:
            self._curves[trial][epoch] = value

    def finished(self, trial: int, value: float | None) -> None:
        """A trial is over; `value` None when it is not complete."""
        if self.rule is not None:
            self.rule.finished(value, self._curves.pop(trial, {}))

    def keep_once(self) -> None:
        """Keep the verdict as soon as there is one: the trials that still train may be cut short."""
        if self.why and not self._is_kept:
            self.keep(self.why)
            self._is_kept = True

    def is_over(self, n_left: float, n_paused: int = 0) -> bool:
        """Whether no more trials are worth it, of the `n_left` that the budget allows, beside those that are paused."""
        if self.rule is None or self.why:
            return bool(self.why)
        if self.settled:
            self.why = self.settled
        elif (verdict := self.rule.verdict(n_left, n_paused)) is not None:
            self.why = f"{verdict.text(self.n_trials)}; {REMEDY}"
        return bool(self.why)


def limit_of(spec: Spec) -> float | None:
    """The best value that the metric can have: 0 for losses and errors, 1 for scores; None for not known."""
    known = None if spec.base.is_own_training else find(spec.objective.metric)
    if known is None or known.direction != spec.objective.direction:
        return None
    return 1.0 if spec.maximize else 0.0
