"""A forecast of a search: what trials take is measured at points of the space, the search itself is played through."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.edits import Given
from tuner.config.lanes import is_free
from tuner.config.schema import GridSampler, MedianPruner, NoPruner, PercentilePruner, Search
from tuner.config.spec import Spec, find_file, load
from tuner.control.draws import corners, distinct, random_params
from tuner.control.rehearsal import Budget, Range, Rehearsed, rehearse
from tuner.control.scenarios import Cost, Scenario
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Executor, LanesRequest
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.seeding import derive
from tuner.space.parameters import Params, Space
from tuner.workflows import machine
from tuner.workflows.ending import limit_of
from tuner.workflows.forecast import Forecast, Infeasible, keep
from tuner.workflows.placement import GPU_CONTEXT_BYTES, Placement
from tuner.workflows.placing import lane_plan, n_trials_of, place, probe_job
from tuner.workflows.points import fit_of
from tuner.workflows.probing import Point, Probing

N_CORNERS = 12
N_RANDOM = 20
N_BOUND = 200
"""Random points that are only bound: enough for the share of those whose values do not go together."""
PROBE_S = 0.6
TOTAL_S = 12.0
"""After which nothing more is probed."""
MAX_PLAYED = 200
"""Trials that a rehearsal plays; a longer search is as much more of the same."""
PLAY_S = 2.5
FEWEST_SCENARIOS, MOST_SCENARIOS = 12, 200
DRIVER_EPOCH_S, DRIVER_TRIAL_S = 0.001, 0.006
"""What the driver computes for an epoch, and to ask for and end a trial (one core of a 2-core x86 server)."""
SHARED_BYTES = 2**28
"""What the driver and the process that workers are forked from have for themselves, about 130 MB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What a person asked for, as for a search."""

    space: str
    storage: str = DEFAULT_STORAGE
    sets: Sequence[str | Given] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


def plan(request: PlanRequest, executor: Executor | None = None) -> Forecast:
    """Forecast what is left of the study that this search would start or go on with.

    Nothing is recorded but the forecast itself, beside the study's data; the data is decoded, as the search would.
    Raises what a search raises before its first trial.
    """
    started = time.monotonic()
    executor = executor or ProcessExecutor()
    executor.start()
    try:
        spec = load(find_file(request.space), sets=request.sets, overrides=request.overrides)
        paths = StudyPaths.of(request.storage, spec.study)
        from tuner.workflows.agreement import look_back  # imports SQLAlchemy, while torch is loaded elsewhere

        earlier = look_back(request.storage, spec)
        placement, _, _ = place(spec, paths, executor, earlier)
        start_s = time.monotonic() - started
        forecast = _Planning(spec, paths, executor, placement).forecast(earlier.n_finished, start_s)
        keep(forecast, spec, paths)
        return forecast
    finally:
        executor.close()


@dataclass(slots=True)
class _Planning:
    """What a forecast is made of."""

    spec: Spec
    paths: StudyPaths
    executor: Executor
    placement: Placement

    def forecast(self, n_finished: int, start_s: float) -> Forecast:
        spec, placement = self.spec, self.placement
        n_trials = n_trials_of(spec)
        n_trials = _n_combinations(spec.space, spec.search) if n_trials is None else n_trials
        n_left = math.inf if n_trials is None else max(0, n_trials - n_finished)
        infeasible_share = fit_of(spec, N_BOUND).share
        ends, drawn = self._probe()
        free = machine.free_bytes()
        lanes, gain = self._lanes([point for point in drawn if not point.probed.problem] or ends, n_left)
        points = [*ends, *drawn]
        played = self._play(drawn, infeasible_share, gain, n_left)
        good = [point.probed for point in points if not point.probed.problem]
        memory = _span([item.memory_bytes for item in good if item.memory_bytes is not None])
        gpu = _span([item.gpu_bytes + GPU_CONTEXT_BYTES for item in good if item.gpu_bytes is not None])
        return Forecast(
            study=spec.study,
            workers=placement.workers,
            threads=placement.threads,
            devices=placement.devices,
            lanes=lanes,
            n_finished=n_finished,
            start_s=start_s,
            seconds=played.seconds,
            confirm_s=played.confirm_s,
            trials=played.trials,
            epochs=played.epochs,
            full_epochs=played.full_epochs,
            epoch_s=_span([item.epoch_s for item in good]) or Range(low=0.0, high=0.0),
            n_params=_span([item.n_params for item in good]) or Range(low=0.0, high=0.0),
            memory_bytes=memory,
            total_bytes=memory and _in_all(memory, placement.workers),
            free_bytes=free,
            gpu_bytes=gpu,
            infeasible=_share(sum(bool(point.probed.problem) for point in drawn), len(drawn), infeasible_share),
            problems=tuple(
                Infeasible(params=point.params, problem=point.probed.problem)
                for point in points
                if point.probed.problem
            ),
            n_probes=len(points),
            busy_share=_busy(points),
            timeout_s=spec.search.timeout,
        )

    # ------------------------------------------------------------------------------------------------------- measuring

    def _probe(self) -> tuple[list[Point], list[Point]]:
        """The base config and the corners; and random points, whose costs are those of trials."""
        spec = self.spec
        if not spec.space.parameters:
            base = self._measured([{}])
            return [], base
        random = np.random.default_rng(derive(spec.seed, "plan"))
        ends = distinct(corners(spec.space, lambda name: not is_free(name) or name == "optimizer.kind"), N_CORNERS)
        drawn = [random_params(spec.space, random) for _ in range(N_RANDOM)]
        first, rest = ends[:2], ends[2:]  # the largest and the smallest, before the time is up
        points = self._measured([*first, *drawn, *rest])
        ids = {id(params) for params in ends}
        corner_points = [point for point in points if id(point.params) in ids]
        drawn_points = [point for point in points if id(point.params) not in ids]
        return corner_points, drawn_points or corner_points

    def _measured(self, points: Sequence[Params]) -> list[Point]:
        probing = Probing(spec=self.spec, paths=self.paths, executor=self.executor, placement=self.placement)
        return probing.measured(points, budget_s=PROBE_S, total_s=TOTAL_S)

    def _lanes(self, points: Sequence[Point], n_left: float) -> tuple[int, float]:
        """Lanes of some trials that the search would train so, and how much faster they are."""
        lanes = lane_plan(self.spec, self.paths, self.executor, self.placement)
        found = [(point, lanes.size(point.config, n_left, self.placement.workers)) for point in points[:3]]
        gains = []
        for point, size in found:
            job = probe_job(self.spec, self.paths, self.placement, point.config)
            seconds = {}
            if size > 1:
                seconds = self.executor.measure_lanes(LanesRequest(job=job, sizes=(size,))).step_seconds
            gains.append(seconds[1] / seconds[size] if size in seconds else 1.0)
        return max((size for _, size in found), default=1), max(1.0, float(np.mean(gains or [1.0])))

    # --------------------------------------------------------------------------------------------------------- playing

    def _play(self, points: Sequence[Point], unbindable: float, gain: float, n_left: float) -> _Played:
        from tuner.study.judging import judge_of  # imports Optuna

        spec, search = self.spec, self.spec.search
        costs = [_cost(point, maximize=spec.maximize) for point in points]
        pool = [point.params for point in points]
        n_misfits = round(unbindable * len(costs) / max(1e-9, 1.0 - unbindable)) if unbindable < 1.0 else 0
        costs += [Cost(epochs=1, is_infeasible=True)] * n_misfits
        pool += [{}] * n_misfits
        n_played = int(min(n_left, MAX_PLAYED))
        budget = _budget(spec, self.placement.workers, n_played, _commit_s(self.paths.root))
        rules = _rules(spec)
        random = np.random.default_rng(derive(spec.seed, "rehearsal"))
        rehearsed: list[Rehearsed] = []
        until = time.monotonic() + PLAY_S
        while n_played and (
            len(rehearsed) < FEWEST_SCENARIOS or (time.monotonic() < until and len(rehearsed) < MOST_SCENARIOS)
        ):
            speedup = gain ** random.uniform(0.4, 1.0)  # lanes wait for each other, and are not always full
            scaled = [replace(cost, epoch_s=cost.epoch_s / speedup, setup_s=cost.setup_s / speedup) for cost in costs]
            judge = judge_of(rules[len(rehearsed) % len(rules)], spec.space, pool, max_epochs=spec.max_epochs())
            rehearsed.append(rehearse(scaled, budget, judge, Scenario.drawn(random, _busy(points)), random))
        mean_epochs = float(np.mean([point.config.train.epochs for point in points if not point.probed.problem] or [0]))
        return _Played.of(
            rehearsed, n_played, n_left, search.timeout, mean_epochs, has_confirm=spec.confirm is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """The ranges that rehearsals came to."""

    seconds: Range
    confirm_s: Range | None
    trials: Range
    epochs: Range
    full_epochs: float

    @classmethod
    def of(
        cls,
        rehearsed: Sequence[Rehearsed],
        n_played: int,
        n_left: float,
        timeout_s: float | None,
        mean_epochs: float,
        *,
        has_confirm: bool,
    ) -> _Played:
        seconds, trials, epochs, confirm_s = [0.0], [0.0], [0.0], [0.0]
        for item in rehearsed:
            has_ended = item.n_trials < n_played  # by `search.stop: auto`: more trials would not be more of the same
            scale = 1.0 if has_ended else n_left / n_played
            if timeout_s is not None:
                scale = min(scale, timeout_s / max(item.seconds, 1e-6))
            trials.append(scale * item.n_trials)
            epochs.append(scale * item.n_epochs + item.confirm_epochs)
            seconds.append(scale * item.seconds + item.confirm_s)
            confirm_s.append(item.confirm_s)
        first = 1 if rehearsed else 0
        most_confirming = max((item.confirm_epochs for item in rehearsed), default=0.0)
        return cls(
            seconds=Range.of(seconds[first:]),
            confirm_s=Range.of(confirm_s[first:]) if has_confirm else None,
            trials=Range.of(trials[first:]),
            epochs=Range.of(epochs[first:]),
            full_epochs=mean_epochs * float(np.mean(trials[first:])) + most_confirming,
        )


def _budget(spec: Spec, workers: int, n_trials: int, commit_s: float) -> Budget:
    limit = limit_of(spec)
    return Budget(
        n_trials=n_trials,
        workers=workers,
        epoch_s=DRIVER_EPOCH_S + commit_s,
        trial_s=DRIVER_TRIAL_S + 2 * commit_s,
        confirm_top=spec.confirm.top if spec.confirm else 0,
        confirm_seeds=spec.confirm.seeds if spec.confirm else 0,
        stops=spec.search.stop == "auto",
        limit=None if limit is None else -limit if spec.maximize else limit,
    )


def _rules(spec: Spec) -> list[Search]:
    """What scenarios take turns with: by ranks of several objectives fewer trials are stopped than by one, if any."""
    search = spec.search
    if spec.goals.are_several and isinstance(search.pruner, (MedianPruner, PercentilePruner)):
        return [search, search.model_copy(update={"pruner": NoPruner()})]
    return [search]


def _cost(point: Point, *, maximize: bool) -> Cost:
    train = point.config.train
    sign = -1.0 if maximize else 1.0
    return Cost(
        epochs=len(point.probed.curve) if point.probed.is_over else train.epochs,
        is_over=point.probed.is_over,
        setup_s=point.probed.setup_s,
        epoch_s=point.probed.epoch_s,
        patience=train.early_stopping.patience if train.early_stopping else None,
        curve=tuple(sign * value for value in point.probed.curve),
        is_infeasible=bool(point.probed.problem),
    )


def _busy(points: Sequence[Point]) -> float:
    return float(np.median([point.probed.wait_share for point in points] or [0.0]))


def _commit_s(folder: Path) -> float:
    """What a commit takes on the disk of the study: the best of a few."""
    path = folder / "probe.db"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE IF NOT EXISTS probe (value REAL)")
            times = []
            for _ in range(5):
                started = time.perf_counter()
                connection.execute("INSERT INTO probe VALUES (1.0)")
                times.append(time.perf_counter() - started)
            return sorted(times)[len(times) // 2]
    finally:
        path.unlink(missing_ok=True)


def _share(n_bad: int, n: int, unbindable: float) -> Range:
    """Wilson's interval for what cannot be trained, beside what cannot even be bound."""
    if n == 0:
        return Range(low=unbindable, high=1.0)
    z, p = 1.64, n_bad / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = ((centre - half) / scale if n_bad else 0.0), (centre + half) / scale
    return Range(low=unbindable + (1 - unbindable) * low, high=min(1.0, unbindable + (1 - unbindable) * high))


def _n_combinations(space: Space, search: Search) -> int | None:
    """How many trials the whole grid has; None for other samplers."""
    if not isinstance(search.sampler, GridSampler):
        return None
    from tuner.control.grid import combinations

    return sum(1 for _ in combinations(space, search.sampler.points))


def _span(values: Sequence[float]) -> Range | None:
    return Range(low=float(min(values)), high=float(max(values))) if values else None


def _in_all(memory: Range, workers: int) -> Range:
    return Range(low=workers * memory.low + SHARED_BYTES, high=workers * memory.high + SHARED_BYTES)
