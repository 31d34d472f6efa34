"""Runs jobs inside one process, whichever it is: keeps prepared data, writes logs, names every way a run can fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tuner.config.metrics import find
from tuner.config.schema import Data, TrialConfig
from tuner.data.batches import eval_batches
from tuner.data.global_rng import seeded
from tuner.data.info import NO_DATA, NOT_DECODED, DataInfo
from tuner.data.prepare import Prepared, prepare
from tuner.device import available, name_of, resolve, stored_precision
from tuner.errors import TunerError, VerificationError
from tuner.execution.failures import short
from tuner.execution.lanes import Answer, Events, LaneCrew
from tuner.execution.memory import OwnMemory, Waiting
from tuner.execution.own import OwnCrew, check_code, own_run, write_state
from tuner.execution.protocol import (
    EvaluateRequest,
    Evaluation,
    GpuUse,
    LanesMeasured,
    LanesRequest,
    Machine,
    Measured,
    MeasureRequest,
    PrepareRequest,
    Probed,
    ProbeRequest,
    Tried,
    TryRequest,
)
from tuner.execution.stored import stored_state, write_tensors
from tuner.execution.trial_logs import TrialLogs
from tuner.execution.trying import refuse_undefined, try_out
from tuner.models.build import build_model
from tuner.optim.losses import LossFunction, build_loss
from tuner.training import epoch_probe, probe
from tuner.training.defined import CHECKED
from tuner.training.evaluate import Scored, evaluate
from tuner.training.events import Decision, EpochEnd, TrialEnd
from tuner.training.examine import examine
from tuner.training.fast_metrics import needs_scikit_learn
from tuner.training.job import TrainJob
from tuner.training.lanes_probe import lane_seconds
from tuner.training.loop import own_of, recorded_by
from tuner.training.metrics import compute, names_for
from tuner.training.run import Run, in_precision, is_channels_last, placed

_log = logging.getLogger("tuner")

# Enough for a space that varies the data's options; each costs its decoded tensors.
MAX_PREPARED = 2


class Runner:
    """One process's side of the work."""

    def __init__(self, should_abort: Callable[[], bool]) -> None:
        self._should_abort = should_abort
        self._request: PrepareRequest | None = None
        self._prepared: dict[tuple[object, ...], Prepared] = {}

    def machine(self) -> Machine:
        devices = available().names()[:-1]  # the last one is the CPU
        return Machine(
            devices=devices,
            device_names=tuple(map(name_of, devices)),
            versions={"torch": str(torch.__version__)},  # a plain str: unpickling torch's own would import torch
        )

    def prepare(self, request: PrepareRequest) -> DataInfo:
        """Decode the data, then try the base config."""
        self._request = request
        torch.set_num_threads(request.threads)
        if request.config.is_own_training:
            resolve(request.config.train.device)
            return self._data(request.config.data).info if check_code(request).takes_data else NO_DATA
        if needs_scikit_learn(request.metric):
            import_module("sklearn.metrics")  # 3.2 s that would be counted as the first epoch's
        prepared = self._data(request.config.data)
        self._check_folds(request)
        try_out(request, prepared)
        return prepared.info

    def _check_folds(self, request: PrepareRequest) -> None:
        """Metrics that some targets leave without a value need one on every fold, since trials take turns with them."""
        n_folds = request.config.data.split.folds
        if n_folds is None or not set(request.metrics).intersection(CHECKED):
            return
        for fold in range(n_folds):
            split = request.config.data.split.model_copy(update={"fold": fold})
            prepared = self._data(request.config.data.model_copy(update={"split": split}))
            refuse_undefined(request, prepared, f"data.split.folds: fold {fold} of {n_folds}: ")

    def try_out(self, request: TryRequest) -> Tried:
        """Whether configs could be trained, as far as one batch tells; the data is prepared."""
        return Tried(problems=tuple(map(self._problem, request.configs)))

    def _problem(self, config: TrialConfig) -> str:
        assert self._request is not None, "prepare comes first"
        try:
            try_out(replace(self._request, config=config, metrics=()), self._data(config.data), "a kind of the space")
        except TunerError as error:
            return str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code: its trials report it
            _log.warning("a kind of the space could not be tried: %s", short(error))
        return ""

    def measure(self, request: MeasureRequest) -> Measured:
        """Training steps of the base config; whatever goes wrong in them is left to the trials, which report it."""
        self._request = request.prepare
        job = _probe_job(request)
        if job.config.is_own_training:  # an epoch of it can take any time
            return Measured()
        try:
            prepared = self._data(job.config.data)
            if not request.device.startswith("cuda"):
                return Measured(step_seconds=probe.step_seconds(job, prepared, request.thread_choices))
            free_bytes, peak_bytes, busy_share = probe.gpu_use(job, prepared)
            return Measured(gpu=GpuUse(free_bytes=free_bytes, peak_bytes=peak_bytes, busy_share=busy_share))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code can raise anything
            _log.warning("the base config could not be measured: %s", short(error))
            return Measured()
        finally:
            torch.set_num_threads(request.prepare.threads)

    def measure_lanes(self, request: LanesRequest) -> LanesMeasured:
        """Training steps of a job, alone and in lanes; whatever goes wrong in them is left to the trials."""
        try:
            prepared = self._data(request.job.config.data)
            with seeded(0):
                if not request.sizes:
                    return LanesMeasured(n_params=Run.build(request.job, prepared).costs.n_params)
                return LanesMeasured(step_seconds=lane_seconds(request.job, prepared, request.sizes))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code can raise anything
            _log.warning("lanes could not be measured: %s", short(error))
            return LanesMeasured()

    def probe(self, request: ProbeRequest) -> Probed:
        """A moment of a job; whatever goes wrong in it is what its trial would end with."""
        torch.set_num_threads(request.job.threads)
        request.job.folder.mkdir(parents=True, exist_ok=True)
        memory, waiting = OwnMemory(), Waiting()
        try:
            if request.job.config.is_own_training:
                taken = epoch_probe.take_own(own_run(request.job, self._data), request.budget_s)
            else:
                prepared = self._data(request.job.config.data)
                taken = epoch_probe.take(request.job, prepared, request.budget_s)
        except TunerError as error:
            return Probed(problem=str(error), memory_bytes=memory.peak_bytes())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code can raise anything
            return Probed(problem=short(error), memory_bytes=memory.peak_bytes())
        return Probed(
            setup_s=taken.setup_s,
            epoch_s=taken.epoch_s,
            n_params=taken.n_params,
            curve=taken.curve,
            is_over=taken.is_over,
            wait_share=waiting.share(),
            memory_bytes=memory.peak_bytes(),
            gpu_bytes=taken.gpu_bytes,
            costs=taken.costs,
        )

    def _data(self, data: Data) -> Prepared:
        request = self._request
        assert request is not None, "prepare comes first"
        decoded = data.model_dump_json(exclude=NOT_DECODED)
        key = (decoded, request.metric, request.seed, request.base_dir, request.data_dir)
        if key not in self._prepared:
            while len(self._prepared) >= MAX_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[key] = prepare(
                data,
                metric=request.metric,
                seed=request.seed,
                base_dir=request.base_dir,
                cache_dir=request.data_dir,
            )
        return self._prepared[key]

    def run(self, job: TrainJob) -> Generator[EpochEnd, Decision, TrialEnd]:
        """Train a job; never raises for anything that training, the user's code or the machine can do."""
        group = self.run_group([job])
        try:
            events = next(group)
            while True:
                (end,) = events
                assert isinstance(end, EpochEnd)
                events = group.send({job.trial: (yield end)})
        except StopIteration as stop:
            (over,) = stop.value
            ended: TrialEnd = over
            return ended

    def run_group(self, jobs: Sequence[TrainJob]) -> Generator[Events, Answer, Sequence[TrialEnd]]:
        """Train jobs of one shape together, and those that join them at the end of an epoch.

        Yields the ends of an epoch, one a job, and is sent a decision for each trial; or the ends of trials, and is
        sent the jobs that take their places; returns the ends of the last trials. Raises nothing that training, the
        user's code or the machine can do.
        """
        logs = TrialLogs()
        kind = OwnCrew if jobs[0].config.is_own_training else LaneCrew
        crew = kind(
            prepared_of=lambda job: self._data(job.config.data), logging_to=logs.to, should_abort=self._should_abort
        )
        known = {job.trial: job for job in jobs}
        for job in jobs:
            logs.begin(job)
        steps = crew.run(jobs)
        try:
            events = next(steps)
            while True:
                logs.events(known, events)
                answer = yield events
                if not isinstance(answer, Mapping):
                    known |= {job.trial: job for job in answer}
                    for job in answer:
                        logs.begin(job)
                events = steps.send(answer)
        except StopIteration as stop:
            ends: Sequence[TrialEnd] = stop.value
            logs.events(known, ends)
            return ends
        finally:
            steps.close()  # own training code may still log what it does at its end
            logs.close()

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Load the weights of one epoch and evaluate them as the training loop did."""
        job = request.job
        if job.config.is_own_training:
            return write_state(job, request.epoch, request.weights.parent)
        self._request = request.prepare
        torch.set_num_threads(job.threads)
        prepared = self._data(job.config.data)
        loss = build_loss(job.config.loss, prepared.info, base_dir=job.base_dir)
        state = stored_state(job, request.epoch)["model"]
        try:
            model = _restored(job, prepared, loss, state)
            scored = _evaluated(job, prepared, loss, model, opens_test=request.opens_test)
            examined = _examined(prepared, scored["val"]) if request.examines else {}
        except TunerError:
            raise
        except Exception as error:  # the user's own code can raise anything
            raise VerificationError(f"trial {job.trial} cannot be evaluated again: {short(error)}") from error
        _write_weights(request.weights, model)
        if request.sample is not None:
            _write_sample(request.sample, prepared, scored["val"])
        return Evaluation(
            metrics={name: value for part in scored.values() for name, value in part.metrics.items()},
            details={split: details for split, part in scored.items() if (details := part.details()) is not None},
            examined=examined,
            data=prepared.info,
            preprocess=prepared.preprocess.to_json(),
            n_outputs=loss.n_outputs(prepared.info),
            n_params=sum(parameter.numel() for parameter in model.parameters()),
        )


def _probe_job(request: MeasureRequest) -> TrainJob:
    prepare = request.prepare
    return TrainJob(
        trial=0,
        attempt=0,
        seed=prepare.seed,
        config=prepare.config,
        metric=f"val/{prepare.metric}",
        maximize=True,
        checkpoints=(),
        folder=prepare.data_dir,
        base_dir=prepare.base_dir,
        threads=prepare.threads,
        device=request.device,
    )


def _restored(job: TrainJob, prepared: Prepared, loss: LossFunction, weights: dict[str, torch.Tensor]) -> nn.Module:
    model = build_model(
        job.config.model,
        info=prepared.info,
        n_outputs=loss.n_outputs(prepared.info),
        base_dir=job.base_dir,
        seed=0,
        is_restored=True,
    )
    device = resolve(job.device)
    precision = stored_precision(job.config.train.precision)
    model = placed(model.to(device), precision, channels_last=is_channels_last(prepared.info, device))
    model.load_state_dict(weights)
    return model


def _evaluated(
    job: TrainJob, prepared: Prepared, loss: LossFunction, model: nn.Module, *, opens_test: bool
) -> dict[str, Scored]:
    """Every metric of the validation and the test part, by scikit-learn itself: the check of what epochs recorded."""
    device, info = resolve(job.device), prepared.info
    recorded = job.goals.recorded.chosen if job.goals else None
    names = recorded_by(job, info.task, [*names_for(info.task), *(recorded or ())])
    found: dict[str, Scored] = {}
    for split, part in (("val", prepared.val), ("test", prepared.open_test() if opens_test else None)):
        if part is not None:
            batches = eval_batches(
                part, prepared.preprocess, device=device, channels_last=is_channels_last(info, device)
            )
            batches = in_precision(batches, stored_precision(job.config.train.precision))
            found[split] = evaluate(
                model, batches, loss=loss, info=info, names=names, split=split, compute=compute, own=own_of(job)
            )
    return found


def _examined(prepared: Prepared, scored: Scored) -> dict[str, Any]:
    names = [name.partition("/")[2] for name in scored.metrics if find(name.partition("/")[2]) is not None]
    return examine(
        scored,
        train_targets=prepared.train.targets.numpy(),
        row_numbers=prepared.row_numbers("val"),
        names=[name for name in names if name != "loss"],
    )


def _write_weights(path: Path, model: nn.Module) -> None:
    write_tensors(path, {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})


def _write_sample(path: Path, prepared: Prepared, scored: Scored) -> None:
    """A batch of the validation part as the model sees it, and what the evaluation made of it where it keeps that."""
    batches = eval_batches(prepared.val, prepared.preprocess, device="cpu", limit=1)
    x_B, _ = next(iter(batches))
    scores = None
    if prepared.info.task != "language" and scored.outputs.is_finite:
        scores = torch.from_numpy(scored.outputs.scores[: len(x_B)]).float()
    write_tensors(path, {"inputs": x_B.contiguous(), "scores": scores})
