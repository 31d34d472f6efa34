"""Several studies side by side: what they came to, how much they differ, and whether chance could do the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, variance
from typing import Any

from tuner.control.pareto import MARGIN, hypervolume, scaled
from tuner.control.winner import quantile
from tuner.report.facts import Facts
from tuner.report.progress import Course, Step, course_of

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of the epochs that all of them have spent: where they are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Between the confirmed winners of two studies; better is positive."""

    first: str
    second: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    """The 95 % interval; None where too few runs say anything about the spread."""
    why: str = ""
    """Why one cannot tell at all; empty where one can compute it."""
    remedy: str = ""

    @property
    def is_clear(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)

    @property
    def verdict(self) -> str:
        if self.why:
            return f"cannot tell: {self.why}"
        if not self.is_clear:
            return "cannot tell: the difference is within its 95 % interval"
        assert self.change is not None
        return f"{self.first if self.change > 0.0 else self.second} is better"

    def to_json(self) -> dict[str, Any]:
        interval = None if self.low is None else [self.low, self.high]
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.change,
            "interval": interval,
            "verdict": self.verdict,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, kw_only=True)  # without slots: cached_property needs a __dict__
class Contest:
    """The studies in the order in which they were named."""

    entries: tuple[Facts, ...]

    @property
    def first(self) -> Facts:
        return self.entries[0]

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        return tuple(course_of(facts) for facts in self.entries)

    @property
    def are_alike(self) -> bool:
        """Whether they were searched for the same thing, so that values can be compared."""
        return len({_goal(facts) for facts in self.entries}) == 1

    @property
    def share_rows(self) -> bool:
        """Whether all were trained and scored on the same rows."""
        return len({facts.data.fingerprint for facts in self.entries}) == 1

    def obstacles(self) -> list[str]:
        """Why values cannot simply be compared."""
        found = []
        if not self.are_alike:
            goals = "; ".join(f"{facts.study.name}: {_goal(facts)}" for facts in self.entries)
            found.append(f"They were searched for different things ({goals}): their values cannot be compared.")
        if not self.share_rows:
            found.append(
                "They were trained or scored on different rows (another data set, split or seed): a difference can "
                "come from the rows alone."
            )
        return found

    def budgets(self) -> list[int]:
        """Epochs that every one of them has spent, where they are compared."""
        least = min((course.n_epochs for course in self.courses), default=0)
        return sorted({max(1, round(share * least)) for share in SHARES}) if least else []

    def best_at(self, index: int, spent: int) -> float | None:
        """The best complete trial of a study after so many epochs."""
        return _last([step for step in self.courses[index].finished if step.spent <= spent])

    def differences(self) -> list[Difference]:
        """Each pair, in the order of the studies; nothing where their values cannot be compared."""
        if not self.are_alike or self.first.is_multi:
            return []
        pairs = [(a, b) for index, a in enumerate(self.entries) for b in self.entries[index + 1 :]]
        return [_difference(a, b) for a, b in pairs]

    def volumes(self) -> list[float]:
        """Of several objectives the hypervolume of each front, 1 for the best of everything; nothing for one.

        Scaled over the complete trials of all studies, which makes them comparable with each other and nothing else.
        """
        able = [[trial for trial in facts.trials if trial.values and trial.can_be_best] for facts in self.entries]
        if not (self.are_alike and self.first.is_multi) or not any(able):
            return []
        signs = self.first.study.signs
        signed = [
            [sign * value for sign, value in zip(signs, (trial.values or {}).values(), strict=True)]
            for trials in able
            for trial in trials
        ]
        vectors, found = scaled(signed), []
        for trials in able:
            own, vectors = vectors[: len(trials)], vectors[len(trials) :]
            volume = hypervolume(own, [1.0 + MARGIN] * len(signs)) if len(own) else 0.0
            found.append(volume / (1.0 + MARGIN) ** len(signs))
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "studies": [_entry(facts, course) for facts, course in zip(self.entries, self.courses, strict=True)],
            "comparable": self.are_alike,
            "same_rows": self.share_rows,
            "spaces": {facts.study.name: self.first.spec.differences(facts.spec) for facts in self.entries[1:]},
            "searches": {facts.study.name: search_differences(self.first, facts) for facts in self.entries[1:]},
            "budgets": [
                {
                    "epochs": spent,
                    "best": {facts.study.name: self.best_at(index, spent) for index, facts in enumerate(self.entries)},
                }
                for spent in self.budgets()
            ],
            "differences": [item.to_json() for item in self.differences()],
            "hypervolumes": dict(zip((facts.study.name for facts in self.entries), self.volumes(), strict=False)),
        }


def _goal(facts: Facts) -> str:
    several = [f"{item.direction} {item.name}" for item in facts.study.objectives]
    return " and ".join(several) or f"{facts.study.direction} {facts.metric}"


def _last(steps: Sequence[Step]) -> float | None:
    return steps[-1].value if steps else None


def _entry(facts: Facts, course: Course) -> dict[str, Any]:
    winner, confirmed = facts.winner, facts.standing.confirmed
    return {
        "study": facts.study.name,
        "metric": facts.metric,
        "direction": facts.study.direction,
        "sampler": facts.spec.search.sampler.kind,
        "pruner": facts.spec.search.pruner.kind,
        "seed": facts.spec.seed,
        "trials": {state.value: count for state, count in facts.counts.items()},
        "epochs": course.n_epochs,
        "seconds": round(facts.study.seconds, 3),
        "best": winner and {"trial": winner.number, "value": winner.value, "params": dict(winner.params)},
        "confirmed": confirmed and confirmed.to_json(),
    }


def search_differences(first: Facts, other: Facts) -> list[str]:
    """How the two were searched, as far as it differs: `sampler: auto -> random`."""
    ours, theirs = (facts.spec.search.model_dump(mode="json") for facts in (first, other))
    pairs = [(name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]
    return [f"{name}: {_shown(old)} -> {_shown(new)}" for name, old, new in pairs]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        options = ", ".join(f"{key}: {item}" for key, item in value.items() if key != "kind" and item is not None)
        return f"{value.get('kind')}" + (f" ({options})" if options else "")
    return str(value)


def _difference(first: Facts, second: Facts) -> Difference:
    """Welch's interval of the difference between the means of fresh seeds (Welch, 1947)."""
    pair = Difference(first=first.study.name, second=second.study.name)
    for facts in (first, second):
        confirm = f"tuner confirm --seeds 5 {facts.options}"
        if facts.candidate is None or not facts.candidate.known:
            return replace(pair, why=f"the winner of {facts.study.name} is not confirmed", remedy=confirm)
    values = [facts.candidate.known if facts.candidate else () for facts in (first, second)]
    change = first.sign * (fmean(values[1]) - fmean(values[0]))
    for facts, own in zip((first, second), values, strict=True):
        if len(own) < 2:  # noqa: PLR2004  one value has no spread
            confirm = f"tuner confirm --seeds 5 {facts.options}"
            why = f"one fresh seed of {facts.study.name} says nothing about the spread"
            return replace(pair, change=change, why=why, remedy=confirm)
    margin = _margin(*values)
    remedy = "" if abs(change) > margin else _more_seeds(first, second, values)
    return replace(pair, change=change, low=change - margin, high=change + margin, remedy=remedy)


def _margin(first: Sequence[float], second: Sequence[float]) -> float:
    errors = [variance(values) / len(values) for values in (first, second)]
    total = sum(errors)
    if total == 0.0:
        return 0.0
    freedom = total**2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(errors, (first, second), strict=True)
    )
    return quantile(max(1, math.floor(freedom))) * math.sqrt(total)


def _more_seeds(first: Facts, second: Facts, values: Sequence[Sequence[float]]) -> str:
    facts = first if len(values[0]) <= len(values[1]) else second
    return f"tuner confirm --seeds {max(5, 2 * min(map(len, values)))} {facts.options}"
