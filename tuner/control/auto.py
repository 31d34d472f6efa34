"""The sampler of `auto`: a model of what trainings come to, and a density where the model knows nothing.

The base config comes first, then some random trials, then most are the candidate with the best lower bound (mean minus
one standard deviation, Srinivas et al. 2010) under the processes of tuner.control.surrogate; a share stays random, as
in Falkner et al. 2018 (BOHB). Candidates near any trial that was ever started, running and paused ones too, are put
off: what lies beside a good trial has about its value, takes the place of others at every rung, and teaches nothing.
The user's beliefs bend the start (Mallik et al. 2023, PriorBand) and weigh less with every trial (Hvarfner et al. 2022,
piBO); they are forgotten when the trials that follow them are worse than others. Where leaving one trial out shows that
the model does not predict, the Parzen estimator of tuner.control.parzen suggests instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice

import numpy as np

from tuner.control.axes import CellAxis, Floats
from tuner.control.controller import NONE, NOT_FINITE, Excesses, TrialState, Values, is_feasible
from tuner.control.gaussian import Kernel, OneThread
from tuner.control.grid import combinations
from tuner.control.levels import Levels
from tuner.control.parzen import ParzenSampler
from tuner.control.proposals import Beliefs, anywhere, nearby
from tuner.control.surrogate import MIN_FIRST, Stack, Surrogate, scores
from tuner.control.tree import Tree
from tuner.seeding import derive
from tuner.space.parameters import FloatRange, Params, Space

RANDOM_SHARE = 0.15
N_RANDOM = 10
"""Trials that are started before the model is asked; with many workers it is asked before all of them have reported."""
N_CANDIDATES = 250
N_PARENTS = 12
MAX_PARENTS = 20
"""Best trials a level, and of all levels, that candidates are changes of."""
CAUTION = 1.0
"""Standard deviations below the mean that count as the promise of a candidate."""
PENALTY = 6.0
"""Of a candidate on top of a started trial, in scores."""
REACH, N_SPACED = 0.78, 2000.0
"""Distance over which the penalty fades: this share of the spacing of so many points in a cube of as many dimensions
as the candidate has numbers. In 3 dimensions that is 0.06, in 7 of them 0.26.

A distance of 0.1 * sqrt(all parameters) instead left room for few trials in the small branches of a space with
conditions: in the search of benchmarks/search.py (100 trials, 1 to 3 layers with a width and a dropout each) it drove
the search out of the branch of one layer, the best; winners confirmed on 3 seeds were worth .8213 there, mean of 3
searches, now .8277 (Optuna's TPE .8301; standard errors .002). On the tables of benchmarks/search_quality.py, with
7 or 8 parameters and no conditions, mean regret after 20 and 50 trainings was .113 and .041 then, and is .117 and .054
(20 seeds; standard errors .01).
"""
SMOOTH = 0.2
"""What is left of it where values hold no noise. A smooth function of 5 parameters, which 30 trials know nearly without
noise, was .041 above its optimum after 50 trainings with 0.3 of the whole reach, .19 with all of it (6 seeds).
"""
NOISY = 0.1
"""Variance of the noise, in scores, from which the reach is the whole one; smooth functions had .015, tables .14."""
MIN_AGREEMENT = 0.1
MAX_COMBINATIONS = 2000
"""Finite spaces up to this size are looked at as a whole, and end when everything was tried."""
BELIEF_TRIALS = 10.0
"""Trials after which a belief counts half in drawing; in scores it fades with 1 / trials."""
BELIEF_GAP = 0.3
"""Scores by which trials that follow a belief may be behind the others."""
MIN_COMPARED = 5
N_TRIES = 200


class AutoSampler:
    """Suggests params: a function of the seed, the trial's number and what was told."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        maximize: bool,
        level_epochs: tuple[int, ...],
        signs: tuple[float, ...] = (),
        first: Params | None = None,
    ) -> None:
        """`signs` are those of several objectives: 1 for one that is minimised, -1 for one that is maximised."""
        self._tree = Tree(space)
        self._seed = seed
        self._sign = -1.0 if maximize else 1.0
        self._first = first
        self._signs = signs or (self._sign,)
        self._levels = Levels(level_epochs, len(self._signs))
        self._one_thread = OneThread()
        self._surrogate = Surrogate(Kernel(self._tree.groups()))
        self._parzen = ParzenSampler(space, seed=seed, maximize=maximize, signs=signs)
        believed = {row: item.belief for row, item in enumerate(space.parameters) if item.belief is not None}
        self._beliefs = Beliefs(self._tree, believed) if believed else None
        self._codes: Floats = np.full((len(self._tree.axes), 64), math.nan)
        self._features = self._tree.features(self._codes)
        self._is_ordered = np.array(
            [not isinstance(axis, CellAxis) or axis.is_ordered for axis in self._tree.axes], dtype=bool
        )
        self._n = 0
        self._seen: set[frozenset[tuple[str, object]]] = set()
        self._has_reported: set[int] = set()
        self._whole = _whole(space)

    # ---------------------------------------------------------------------------------------------------- what was told

    def add(self, trial: int, params: Params) -> None:
        """Take in a trial that was asked for; it is running until it is told otherwise."""
        while trial >= self._codes.shape[1]:
            self._codes = np.concatenate([self._codes, np.full_like(self._codes, math.nan)], axis=1)
            self._features = self._tree.features(self._codes)
        self._codes[:, trial] = self._tree.encode(params)
        self._features[trial] = self._tree.features(self._codes[:, [trial]])[0]
        self._n = max(self._n, trial + 1)
        self._seen.add(frozenset(params.items()))
        self._parzen.add(trial, params)

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        """Take in the objective after an epoch, or several of them."""
        self._has_reported.add(trial)
        signed = (sign * one for sign, one in zip(self._signs, values or (value,), strict=True))
        self._levels.report(trial, epoch, *signed)
        self._parzen.report(trial, epoch, value, values)

    def diverge(self, trial: int) -> None:
        """Take in that the next epoch had no finite value, which is the worst there is."""
        self._has_reported.add(trial)
        self._levels.fail(trial)

    def finish(
        self,
        trial: int,
        state: TrialState,
        value: float | None,
        values: Values = (),
        constraints: Excesses = NONE,
    ) -> None:
        """Take in how a trial ended; one that failed says nothing about its params."""
        if state is TrialState.COMPLETE:
            self._levels.complete(trial)
        elif state is TrialState.FAILED:
            self._levels.drop(trial)
        elif state is TrialState.PRUNED and trial not in self._has_reported:
            self._levels.fail(trial)  # infeasible, out of memory
        if not is_feasible(constraints) and state is not TrialState.FAILED:
            self._levels.refuse(trial)
        self._parzen.finish(trial, state, value, values, constraints)

    def recall(
        self,
        trial: int,
        params: Params,
        curve: Mapping[int, float],
        reason: str,
        vectors: Mapping[int, Values] | None = None,
    ) -> None:
        """Take a stored trial in, as one that is running; `finish` tells of one that is not."""
        self.add(trial, params)
        for epoch in sorted(curve):
            self.report(trial, epoch, curve[epoch], (vectors or {}).get(epoch, ()))
        if reason in NOT_FINITE:
            self.diverge(trial)

    # ------------------------------------------------------------------------------------------------------- suggesting

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:
        """Params for the trial of this number, which runs from now on; None when everything was tried.

        `fixed` params are taken as they are, where they exist, and the others are suggested given them, as long as that
        gives params that were not tried yet.
        """
        params: Params | None
        if not fixed and self._first is not None and frozenset(self._first.items()) not in self._seen:
            params = self._first
        else:
            params = self._suggest(np.random.default_rng(derive(self._seed, "sampler", trial)), fixed or {})
        if params is not None:
            self.add(trial, params)
        return params

    def _suggest(self, rng: np.random.Generator, fixed: Params) -> Params | None:
        if not self._tree.axes:
            return {}
        given = {
            row: self._tree.axes[row].encode(fixed[name]) for name in fixed if (row := self._tree.row(name)) is not None
        }
        if not self._knows_enough:
            return self._untried(rng, fixed, given)
        with self._one_thread():
            return self._untried(rng, fixed, given)

    def _untried(self, rng: np.random.Generator, fixed: Params, given: dict[int, float]) -> Params | None:
        if self._whole is not None:
            return self._of_whole(rng, fixed)
        for point in self._candidates_in_order(rng, given):
            params = self._tree.decode(point, fixed)
            if frozenset(params.items()) not in self._seen:
                return params
        for point in anywhere(self._tree, N_TRIES, {} if fixed else given, rng).T:
            params = self._tree.decode(point, {})
            if frozenset(params.items()) not in self._seen:
                return params
        return params  # so few are left that chance does not find them

    def _of_whole(self, rng: np.random.Generator, fixed: Params) -> Params | None:
        assert self._whole is not None
        left = [params for params in self._whole if frozenset(params.items()) not in self._seen]
        fitting = [params for params in left if all(params.get(name) == fixed[name] for name in fixed)] or left
        if not fitting:
            return None
        model = None if self._is_random(rng) else self._model()
        if model is None:
            return fitting[int(rng.integers(len(fitting)))]
        points = np.array([self._tree.encode(params) for params in fitting]).T
        return fitting[int(np.argmax(self._promise(model, points)))]

    def _candidates_in_order(self, rng: np.random.Generator, given: dict[int, float]) -> Floats:
        """Points [P, A], the best first."""
        is_random = self._is_random(rng)
        model = None if is_random else self._model()
        if model is None and not is_random:
            return self._parzen.propose(rng, given)[None, :]
        if model is None:
            return self._unguided(rng, given).T
        points = self._points(rng, given)
        order = np.argsort(-self._promise(model, points), kind="stable")
        found: Floats = points[:, order].T
        return found

    @property
    def _knows_enough(self) -> bool:
        return self._n >= N_RANDOM and self._levels.counts()[0] >= MIN_FIRST

    def _is_random(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < RANDOM_SHARE) or not self._knows_enough

    def _model(self) -> Stack | None:
        """The model of what is known; None when it does not predict what it has not seen."""
        model = self._surrogate.model(self._levels.observed(), self._features)
        return model if model.agreement() >= MIN_AGREEMENT else None

    def _unguided(self, rng: np.random.Generator, given: dict[int, float]) -> Floats:
        """A few points [A, P] from the prior."""
        if self._beliefs is not None and rng.random() < self._trust() / (1.0 + self._n / BELIEF_TRIALS):
            return self._beliefs.draw(N_PARENTS, given, rng)
        return anywhere(self._tree, N_PARENTS, given, rng)

    def _points(self, rng: np.random.Generator, given: dict[int, float]) -> Floats:
        half = N_CANDIDATES // 2
        found = [
            anywhere(self._tree, half, given, rng),
            nearby(self._tree, self._codes[:, self._parents()], half, given, rng),
        ]
        if self._beliefs is not None:
            found.append(self._beliefs.draw(half // 2, given, rng))
        return np.concatenate(found, axis=1)

    def _parents(self) -> list[int]:
        """The best trials, those that were trained longest first."""
        found: dict[int, None] = {}
        for level in reversed(self._levels.observed()):
            found.update(dict.fromkeys(level.best(N_PARENTS).tolist()))
        return list(found)[:MAX_PARENTS]

    def _promise(self, model: Stack, points: Floats) -> Floats:
        """How much is to be expected of points [A, P], in scores; higher is better."""
        features = self._tree.features(points)
        mean, variance = model.predict(features)
        promise = (
            CAUTION * np.sqrt(variance)
            - mean
            - PENALTY * self._closeness(features, self._dimensions(points), model.noise())
        )
        if self._beliefs is not None:
            promise += (
                self._trust() * BELIEF_TRIALS / max(1, self._n) * np.maximum(self._beliefs.log_density(points), -8.0)
            )
        return promise

    def _dimensions(self, points: Floats) -> Floats:
        """How many numbers each point [A, P] is made of: those of its axes that are ordered, and there."""
        found: Floats = (~np.isnan(points[self._is_ordered])).sum(axis=0).astype(np.float64)
        return found

    def _closeness(self, features: Floats, dimensions: Floats, noise: float) -> Floats:
        """1 on top of a trial that was ever started, 0 far from all."""
        reach = REACH * N_SPACED ** (-1.0 / np.maximum(dimensions, 1.0))
        reach *= SMOOTH + (1.0 - SMOOTH) * min(1.0, noise / NOISY)
        started = self._features[: self._n]
        squares = (-2.0 * features) @ started.T  # [P, trials]: the largest array here, so nothing is copied
        squares += (started * started).sum(axis=1)
        nearest = np.maximum(squares.min(axis=1, initial=math.inf) + (features * features).sum(axis=1), 0.0)
        closeness: Floats = np.exp(-0.5 * nearest / (reach * reach))
        return closeness

    def _trust(self) -> float:
        """1, or 0 for beliefs that the trials speak against."""
        assert self._beliefs is not None
        level = self._levels.observed()[0]
        if not len(level.trials):
            return 1.0
        met = self._beliefs.met(self._codes[:, level.trials])
        if min(met.sum(), (~met).sum()) < MIN_COMPARED:
            return 1.0
        own = scores(level.values)
        return float(own[met].mean() <= own[~met].mean() + BELIEF_GAP)

    # ------------------------------------------------------------------------------------------------------- explaining

    def explain(self) -> str:
        """What the next suggestion rests on, in words."""
        counts = self._levels.counts()
        if not self._knows_enough:
            return f"random for the first {N_RANDOM} trials, and until {MIN_FIRST} have come to their first level"
        model = self._surrogate.model(self._levels.observed(), self._features)
        names = [*(f"epoch {epochs}" for epochs in self._levels.epochs), "the end"]
        known = ", ".join(f"{n} at {name}" for n, name in zip(counts, names, strict=True) if n)
        agreement = model.agreement()
        if agreement < MIN_AGREEMENT:
            return f"densities of the better and the other trials ({known}); a model of the values predicted nothing"
        last = names[len(model.processes) - 1]
        text = f"a model of the values at {last} from {known}; it predicts what it has not seen with correlation"
        text += f" {agreement:.2f}; {RANDOM_SHARE:.0%} of the trials are random"
        if self._beliefs is not None and not self._trust():
            text += "; the priors of the file are forgotten, since trials that follow them are worse"
        return text


def _whole(space: Space) -> list[Params] | None:
    """Every combination of a small finite space."""
    if any(isinstance(item.domain, FloatRange) and item.domain.step is None for item in space.parameters):
        return None
    found = list(islice(combinations(space, None), MAX_COMBINATIONS + 1))
    return found if len(found) <= MAX_COMBINATIONS else None
