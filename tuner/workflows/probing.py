"""Points of a space, trained for a moment each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuner.config.schema import TrialConfig
from tuner.config.spec import Spec
from tuner.errors import ConfigError
from tuner.execution.protocol import Executor, Probed, ProbeRequest
from tuner.paths import StudyPaths
from tuner.space.parameters import Params
from tuner.workflows.placement import Placement
from tuner.workflows.placing import probe_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of the space, and what a trial there takes."""

    params: Params
    config: TrialConfig
    probed: Probed


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """Trains points in the workers of a search that has not begun; nothing is kept of them."""

    spec: Spec
    paths: StudyPaths
    executor: Executor
    placement: Placement

    def measured(self, points: Sequence[Params], *, budget_s: float, total_s: float) -> list[Point]:
        """Those that could be measured in `total_s`, in their order; those that cannot be bound are left out."""
        bound: list[tuple[Params, TrialConfig]] = []
        for params in points:
            try:
                bound.append((params, self.spec.bind(params)))
            except ConfigError:
                continue
        self.executor.grow(self.placement.workers)
        folder = self.paths.root / "probes"
        requests = [self._request(number, config, folder, budget_s) for number, (_, config) in enumerate(bound)]
        try:
            probed = self.executor.probe(requests, total_s)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return [
            Point(params=params, config=config, probed=self._judged(config, answer))
            for (params, config), answer in zip(bound, probed, strict=True)
            if answer is not None
        ]

    def _judged(self, config: TrialConfig, probed: Probed) -> Probed:
        """A trial that breaks a constraint on its costs ends as one that cannot be trained does."""
        broken = "" if probed.problem else self.spec.goals.broken(config, probed.costs)
        return replace(probed, problem=broken) if broken else probed

    def _request(self, number: int, config: TrialConfig, folder: Path, budget_s: float) -> ProbeRequest:
        placement = self.placement
        job = replace(
            probe_job(self.spec, self.paths, placement, config),
            trial=number,
            folder=folder / str(number),
            n_cores=placement.n_cores,
            device=placement.devices[number % len(placement.devices)],
        )
        return ProbeRequest(job=job, budget_s=budget_s)
