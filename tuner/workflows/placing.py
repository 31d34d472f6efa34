"""Where the trials of a study train: placement and lanes, found alike by a search and by its forecast."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.config.metrics import unusable
from tuner.config.schema import GridSampler, TrialConfig
from tuner.config.spec import Spec
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.execution.protocol import Executor, LanesRequest, PrepareRequest
from tuner.paths import StudyPaths
from tuner.training.job import TrainJob
from tuner.workflows.lanes import LanePlan
from tuner.workflows.machine import cpu_name, n_cores
from tuner.workflows.measuring import settle
from tuner.workflows.placement import Found, Placement, Remembered, plan

DEFAULT_TRIALS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What earlier sessions of a study leave behind that this one is placed by."""

    n_finished: int = 0
    threads: int | None = None


def n_trials_of(spec: Spec) -> int | None:
    """The budget of trials; None where there is no limit of that kind."""
    search = spec.search
    if search.trials is None and not spec.space.parameters:
        return 1  # without `space:` the file is one training run
    if search.trials is not None or search.timeout is not None or isinstance(search.sampler, GridSampler):
        return search.trials
    return DEFAULT_TRIALS


def _n_left(n_trials: int, spec: Spec) -> int:
    """What there is for workers to do: trials, and after them the runs that confirm the winner."""
    n_runs = spec.confirm.top * spec.confirm.seeds if spec.confirm else 0
    return n_trials if n_trials > 0 else max(1, n_runs)


def _refuse_other_task(spec: Spec, info: DataInfo) -> None:
    """Metrics beside the leading one, which the data was prepared for, must be for its task too."""
    if spec.base.is_own_training:  # its metrics are its own, whatever they are called
        return
    for name in sorted({*spec.goals.metrics, *(spec.recorded.chosen or ())}):
        reason = unusable(name, task=info.task, labels=info.labels, n_targets=info.n_targets)
        if reason:
            raise ConfigError(f"{reason}; name another one")


def place(spec: Spec, paths: StudyPaths, executor: Executor, earlier: Earlier) -> tuple[Placement, DataInfo, str]:
    """Read the data, and settle where trials train; with a line for people when something was measured for it."""
    machine = executor.machine()
    n_trials = n_trials_of(spec)
    planned = plan(
        spec.search,
        spec.base.train.device,
        Found.here(machine),
        n_left=None if n_trials is None else _n_left(n_trials - earlier.n_finished, spec),
        kept_threads=earlier.threads,
    )
    request = PrepareRequest(
        config=spec.base,
        metric=spec.objective.metric,
        seed=spec.seed,
        base_dir=spec.base_dir,
        data_dir=paths.data,
        threads=planned.thread_choices[0],
        precisions=spec.choices_of("train.precision"),
        metrics=tuple(sorted(spec.goals.metrics)),
        recorded=spec.recorded,
    )
    info = executor.prepare(request)
    _refuse_other_task(spec, info)
    placement, note = settle(planned, executor, request, info, machine.versions)
    return placement, info, note


def probe_job(spec: Spec, paths: StudyPaths, placement: Placement, config: TrialConfig) -> TrainJob:
    """A job that only measures."""
    return TrainJob(
        trial=-1,
        attempt=0,
        seed=spec.seed,
        config=config,
        metric=f"val/{spec.objective.metric}",
        maximize=spec.maximize,
        checkpoints=(),
        folder=paths.root,
        goals=replace(spec.goals, is_enforced=False),
        base_dir=spec.base_dir,
        threads=placement.threads,
        device=placement.devices[0],
    )


def lane_plan(spec: Spec, paths: StudyPaths, executor: Executor, placement: Placement) -> LanePlan:
    """Which trials train as lanes, measured where that is needed."""
    device = placement.devices[0]

    def measure(config: TrialConfig, sizes: tuple[int, ...]) -> dict[int, float]:
        job = probe_job(spec, paths, placement, config)
        return executor.measure_lanes(LanesRequest(job=job, sizes=sizes)).step_seconds

    def refuses(config: TrialConfig) -> bool:
        request = LanesRequest(job=probe_job(spec, paths, placement, config), sizes=())
        n_params = executor.measure_lanes(request).n_params
        return n_params is not None and bool(spec.goals.broken(config, {"params": float(n_params)}))

    is_sized = any(name.name == "params" for constraint in spec.constraints for name in constraint.names)
    search = spec.search
    if search.lanes == "auto" and "epoch_seconds" in spec.goals.costs:
        search = search.model_copy(update={"lanes": 1})  # a lane's share of an epoch is no trial's own time
    return LanePlan(
        space=spec.space,
        search=search,
        on_cpu=device == "cpu",
        measure=measure,
        remembered=Remembered.of("lanes"),
        refuses=refuses if is_sized else None,
        machine=" ".join(
            [cpu_name(), str(n_cores()), device, str(placement.threads), *executor.machine().versions.values()]
        ),
    )
