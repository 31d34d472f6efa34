"""The sampler of `auto` for several objectives: the Parzen estimator, whose better trials are those of the front.

A model of one value has nothing to say about vectors; the estimator needs no more than an order of the trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tuner.control.controller import NONE, Excesses, TrialState, Values
from tuner.control.parzen import ParzenSampler
from tuner.space.parameters import Params, Space


class FrontSampler:
    """Suggests params: a function of the seed, the trial's number and what was told."""

    def __init__(self, space: Space, *, seed: int, signs: tuple[float, ...], first: Params | None = None) -> None:
        """`signs` are 1 for an objective that is minimised, -1 for one that is maximised."""
        self._parzen = ParzenSampler(space, seed=seed, maximize=False, signs=signs)
        self._first = first

    def report(self, trial: int, epoch: int, values: Values) -> None:
        """Take in the objectives after an epoch."""
        self._parzen.report(trial, epoch, math.nan, values)

    def diverge(self, trial: int) -> None:
        """Pass over it: the trial ends as pruned, with what it had before."""

    def finish(self, trial: int, state: TrialState, values: Values = (), constraints: Excesses = NONE) -> None:
        """Take in how a trial ended; one that breaks a constraint is the worst."""
        self._parzen.finish(trial, state, None, values, constraints)

    def recall(
        self,
        trial: int,
        params: Params,
        vectors: Mapping[int, Values],
        state: TrialState | None,
        values: Values,
        constraints: Excesses,
    ) -> None:
        """Take a stored trial in; `state` is None for one that is not over."""
        self._parzen.add(trial, params)
        for epoch in sorted(vectors):
            self.report(trial, epoch, vectors[epoch])
        if state is not None:
            self.finish(trial, state, values, constraints)

    def suggest(self, trial: int, fixed: Params | None = None) -> Params:
        """Params for the trial of this number, which runs from now on; the base config's for the first."""
        if trial == 0 and self._first is not None and not fixed:
            self._parzen.add(trial, self._first)
            return self._first
        return self._parzen.suggest(trial, fixed)
