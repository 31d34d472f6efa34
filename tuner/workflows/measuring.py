"""From a plan to a placement: what is still open is remembered from an earlier search, or measured in a worker."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.data.info import DataInfo
from tuner.execution.protocol import Executor, Measured, MeasureRequest, PrepareRequest
from tuner.workflows.placement import (
    Placement,
    Plan,
    Remembered,
    choose_threads,
    memory_key,
    workers_per_gpu,
)


def settle(
    plan: Plan,
    executor: Executor,
    request: PrepareRequest,
    info: DataInfo,
    versions: Mapping[str, str],
    memory: Remembered | None = None,
) -> tuple[Placement, str]:
    """The placement, and a line for people when something was measured for it."""
    if not plan.is_open:
        return plan.settled(), ""
    if request.config.is_own_training:  # an epoch of it can take any time, and part of one cannot be had
        return plan.settled(threads=plan.thread_choices[-1]), ""
    if plan.max_workers > plan.workers:
        return _on_gpus(plan, executor, request)
    memory = memory or Remembered.of("threads")
    key = memory_key(request.config, info, plan.thread_choices, versions)
    known = memory.get(key)
    if known in plan.thread_choices:
        return plan.settled(threads=known), ""
    measured = executor.measure(_request(plan, request, "cpu"))
    threads = choose_threads(measured.step_seconds)
    if threads is None:  # as before there was anything to measure: all cores
        return plan.settled(threads=plan.thread_choices[-1]), ""
    memory.put(key, threads)
    return plan.settled(threads=threads), _thread_note(threads, measured)


def _on_gpus(plan: Plan, executor: Executor, request: PrepareRequest) -> tuple[Placement, str]:
    measured = executor.measure(_request(plan, request, plan.devices[0]))
    if measured.gpu is None:
        return plan.settled(), ""
    n_gpus = len(plan.devices)
    each = workers_per_gpu(measured.gpu, n_cores=plan.n_cores, n_gpus=n_gpus)
    workers = min(plan.max_workers, each * n_gpus)
    if workers <= plan.workers:
        return plan.settled(), ""
    return plan.settled(workers=workers), f"{workers} workers: a trial keeps a GPU busy {measured.gpu.busy_share:.0%}"


def _request(plan: Plan, request: PrepareRequest, device: str) -> MeasureRequest:
    return MeasureRequest(prepare=request, thread_choices=plan.thread_choices, device=device)


def _thread_note(threads: int, measured: Measured) -> str:
    steps = ", ".join(f"{seconds * 1e3:.2f} ms with {n}" for n, seconds in sorted(measured.step_seconds.items()))
    return f"{threads} thread{'s' * (threads > 1)} a worker: a training step takes {steps}"
