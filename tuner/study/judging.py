"""The rule of a study, over trials that are only played: see tuner.control.rehearsal."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.config import schema
from tuner.control.asha import Asha, build_schedule
from tuner.control.controller import TrialState
from tuner.control.defaults import pruner_of
from tuner.control.pareto_rule import ParetoRule
from tuner.control.percentile import PercentileRule
from tuner.control.rehearsal import Judge
from tuner.space.parameters import Params, Space
from tuner.study.mirror import OptunaMirror
from tuner.study.records import AskedTrial, distribution_of
from tuner.study.samplers import OWN_PRUNERS, build_rule


def judge_of(search: schema.Search, space: Space, pool: Sequence[Params], *, max_epochs: int) -> Judge:
    """A fresh judge with the study's rule, for trials that have the params of the pool.

    A threshold is about values, of which a rehearsal knows nothing: it stops nothing there.
    """
    pruner = pruner_of(search, max_epochs=max_epochs)
    schedule = build_schedule(pruner, max_epochs=max_epochs, maximize=False)
    if schedule is not None:
        return ScheduleJudge(schedule)
    if isinstance(pruner, (*OWN_PRUNERS, schema.ThresholdPruner)):
        rule = build_rule(pruner, maximize=False)
        assert not isinstance(rule, ParetoRule)
        return RuleJudge(rule)
    return MirrorJudge(search, space, pool, max_epochs=max_epochs)


class ScheduleJudge:
    """Asynchronous halving, which pauses and promotes."""

    def __init__(self, schedule: Asha) -> None:
        self.schedule: Asha | None = schedule
        self._asha = schedule

    def begin(self, trial: int, index: int, epochs: int) -> None:  # noqa: ARG002  the protocol's
        self._asha.add(trial, epochs)

    def report(self, trial: int, epoch: int, value: float) -> None:
        self._asha.report(trial, epoch, value)

    def diverge(self, trial: int) -> None:
        self._asha.diverge(trial)

    def should_stop(self, trial: int) -> bool:
        return self._asha.should_stop(trial)

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:  # noqa: ARG002  the protocol's
        self._asha.finish(trial, state)


class RuleJudge:
    """A rule of our own, or none."""

    schedule: Asha | None = None

    def __init__(self, rule: PercentileRule | None) -> None:
        self._rule = rule

    def begin(self, trial: int, index: int, epochs: int) -> None:
        """Such a rule looks at curves alone."""

    def diverge(self, trial: int) -> None:
        """Its end will say so."""

    def report(self, trial: int, epoch: int, value: float) -> None:
        if self._rule is not None:
            self._rule.report(trial, epoch, value)

    def should_stop(self, trial: int) -> bool:
        return self._rule is not None and self._rule.should_stop(trial)

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:  # noqa: ARG002  the protocol's
        if self._rule is not None:
            self._rule.finish(trial, is_complete=state is TrialState.COMPLETE)


class MirrorJudge:
    """One of Optuna's pruners."""

    schedule: Asha | None = None

    def __init__(self, search: schema.Search, space: Space, pool: Sequence[Params], *, max_epochs: int) -> None:
        self._pool = pool
        self._distributions = {parameter.name: distribution_of(parameter.domain) for parameter in space.parameters}
        self._mirror = OptunaMirror(
            name="plan",
            space=space,
            search=search.model_copy(update={"sampler": schema.RandomSampler()}),
            maximize=(False,),
            seed=0,
            max_epochs=max_epochs,
            history=(),
        )

    def begin(self, trial: int, index: int, epochs: int) -> None:  # noqa: ARG002  the protocol's
        params = self._pool[index]
        distributions = {name: self._distributions[name] for name in params}
        self._mirror.add(AskedTrial(number=trial, params=params, distributions=distributions))

    def diverge(self, trial: int) -> None:
        """Optuna takes it as an end without a value."""

    def report(self, trial: int, epoch: int, value: float) -> None:
        self._mirror.report(trial, epoch, value)

    def should_stop(self, trial: int) -> bool:
        return self._mirror.should_stop(trial)

    def finish(self, trial: int, state: TrialState, value: float | None) -> None:
        self._mirror.finish(trial, state, value)
