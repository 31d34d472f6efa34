"""The report of one study: its sections in the order in which a reader needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.control.controller import TrialState
from tuner.report import curves, influence, listing, progress, quality, tradeoff, verdict, work
from tuner.report.blocks import Page, Text
from tuner.report.facts import Facts
from tuner.report.text import measure, moment, number, plural, scalar
from tuner.study.rows import TrialRow

MAX_DESCRIBED = 2000
"""Trials that the page says something of under the pointer: more make it large."""


def study_page(facts: Facts, version: str) -> Page:
    sections = (
        verdict.verdict(facts),
        progress.progress(facts),
        tradeoff.front(facts),
        curves.curves(facts),
        influence.importance(facts),
        influence.together(facts),
        influence.slices(facts),
        work.work(facts),
        quality.quality(facts),
        tradeoff.cost(facts),
        listing.top(facts),
        listing.space(facts),
        listing.environment(facts),
        listing.again(facts),
    )
    return Page(
        title=facts.study.name,
        subtitle=_subtitle(facts),
        sections=tuple(section for section in sections if section is not None),
        trials=[_described(facts, trial) for trial in facts.trials[:MAX_DESCRIBED]],
        footer=(f"Written by tuner {version} on {moment(facts.now)}. Nothing on this page is loaded from elsewhere.",),
    )


def _subtitle(facts: Facts) -> Text:
    wanted = [f"{item.direction} {item.name}" for item in facts.study.objectives]
    goal = ", ".join(wanted) or f"{facts.study.direction} {facts.metric}"
    counts = ", ".join(f"{count} {state.value}" for state, count in facts.counts.items() if count)
    began = f"; begun {moment(facts.study.created_at)}" if facts.study.created_at else ""
    return (f"{goal}; {plural(len(facts.trials), 'trial')}: {counts}{began}",)


def _described(facts: Facts, trial: TrialRow) -> Mapping[str, Any]:
    """What the page says of a trial: number, state, value and params, as text."""
    if trial.values:
        value = ", ".join(f"{name} {measure(name, found)}" for name, found in trial.values.items())
    else:
        value = number(facts.reached(trial.number))
    state = trial.state.value + (f" ({trial.reason})" if trial.reason and trial.reason != trial.state.value else "")
    if trial.state is TrialState.COMPLETE and trial.best_epoch:
        state += f", best at epoch {trial.best_epoch}"
    return {
        "n": trial.number,
        "v": value,
        "s": f"{state}, {plural(trial.epochs, 'epoch')}",
        "p": [[name, scalar(found)] for name, found in trial.params.items()],
    }
