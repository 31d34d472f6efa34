"""Runs jobs inside one process, whichever it is: keeps prepared data, writes logs, names every way a run can fail."""

from __future__ import annotations

import io
import json
import logging
import math
import traceback
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import TextIO

import torch
from torch import nn

from tuner.config.schema import Data, PythonModel
from tuner.data.batches import eval_batches
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared, prepare
from tuner.device import resolve
from tuner.errors import StorageError, TunerError, VerificationError
from tuner.execution.protocol import EvaluateRequest, Evaluation, Machine, PrepareRequest
from tuner.models.build import build_model, check_output
from tuner.optim.losses import LossFunction, build_loss
from tuner.optim.optimizers import build_optimizer
from tuner.paths import write_atomically
from tuner.registry import target_file
from tuner.seeding import derive
from tuner.training import checkpoint as checkpoints
from tuner.training.evaluate import evaluate
from tuner.training.events import Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.fast_metrics import needs_scikit_learn
from tuner.training.job import TrainJob
from tuner.training.loop import AbortedError, in_memory_format, is_channels_last, train
from tuner.training.metrics import compute, names_for

_log = logging.getLogger("tuner")

# Enough for a space that varies the data's options; each costs its decoded tensors.
MAX_PREPARED = 2
TORCH = Path(torch.__file__).parent


class Runner:
    """One process's side of the work."""

    def __init__(self, should_abort: Callable[[], bool]) -> None:
        self._should_abort = should_abort
        self._request: PrepareRequest | None = None
        self._prepared: dict[tuple[object, ...], Prepared] = {}

    def machine(self) -> Machine:
        n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
        devices = [f"cuda:{i}" for i in range(n_cuda)]
        names = [torch.cuda.get_device_name(i) for i in range(n_cuda)]
        if not devices and torch.backends.mps.is_available():
            devices, names = ["mps"], ["Apple GPU"]
        return Machine(
            devices=tuple(devices),
            device_names=tuple(names),
            versions={"torch": str(torch.__version__)},  # a plain str: unpickling torch's own would import torch
        )

    def prepare(self, request: PrepareRequest) -> DataInfo:
        """Decode the data, then try the base config: model, loss, optimizer and the shape of one output.

        Errors of the user's own code are left to the trials, which report them with their traceback; what can be said
        with certainty (a shape, a loss that does not fit) is refused here.
        """
        self._request = request
        torch.set_num_threads(request.threads)
        if needs_scikit_learn(request.metric):
            import_module("sklearn.metrics")  # 3.2 s that would be counted as the first epoch's
        prepared = self._data(request.config.data)
        _try_out(request, prepared)
        return prepared.info

    def _data(self, data: Data) -> Prepared:
        request = self._request
        assert request is not None, "prepare comes first"
        # Batch size and loader settings change nothing about the decoded data.
        decoded = data.model_copy(update={"batch_size": 1, "num_workers": 0, "drop_last": False}).model_dump_json()
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
        handler = _open_log(job)
        try:
            outcome = yield from self._run(job)
            return _end(job, outcome)
        except AbortedError:
            return _end(job, Outcome.ABORTED)
        except TunerError as error:
            _log.error("%s", error)
            return _end(job, Outcome.INFEASIBLE, str(error), f"{type(error).__name__}: {error}")
        except MemoryError as error:
            return _end(job, Outcome.OOM, _first_line(error) or "out of memory", "out of memory")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the process edge: anything else is this trial's crash
            if _is_out_of_memory(error):
                return _end(job, Outcome.OOM, _first_line(error) or "out of memory", "out of memory")
            _log.exception("trial %d crashed", job.trial)
            return _end(job, Outcome.CRASHED, _short(error), _cause(error))
        finally:
            _log.removeHandler(handler)
            handler.close()

    def _run(self, job: TrainJob) -> Generator[EpochEnd, Decision, Outcome]:
        _log.info("trial %d, attempt %d on %s, %d threads", job.trial, job.attempt, job.device, job.threads)
        steps = train(job, self._data(job.config.data), self._should_abort)
        with (job.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            try:
                end = next(steps)
                while True:
                    _append_metrics(file, end)
                    decision = yield end
                    end = steps.send(decision)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                _log.info("%s", outcome.value)
                return outcome

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Load the weights of one epoch and evaluate them as the training loop did."""
        job = request.job
        self._request = request.prepare
        torch.set_num_threads(job.threads)
        prepared = self._data(job.config.data)
        loss = build_loss(job.config.loss, prepared.info)
        state = _stored_weights(job, request.epoch)
        try:
            model = _restored(job, prepared, loss, state)
            metrics = _evaluated(job, prepared, loss, model)
        except TunerError:
            raise
        except Exception as error:  # the user's own code can raise anything
            raise VerificationError(f"trial {job.trial} cannot be evaluated again: {_short(error)}") from error
        _write_weights(request.weights, model)
        return Evaluation(
            metrics=metrics,
            data=prepared.info,
            preprocess=prepared.preprocess.to_json(),
            n_outputs=loss.n_outputs(prepared.info),
        )


def _stored_weights(job: TrainJob, epoch: int) -> dict[str, torch.Tensor]:
    stored = next((item for item in job.checkpoints if item.epoch == epoch), None)
    if stored is None:
        raise VerificationError(f"trial {job.trial} has no stored weights of epoch {epoch}")
    try:
        weights: dict[str, torch.Tensor] = checkpoints.load(job.folder, stored, torch.device("cpu"))["model"]
    except checkpoints.CorruptCheckpointError as error:
        raise VerificationError(f"the weights of trial {job.trial} cannot be trusted: {error}") from error
    return weights


def _restored(job: TrainJob, prepared: Prepared, loss: LossFunction, weights: dict[str, torch.Tensor]) -> nn.Module:
    model = build_model(
        job.config.model, info=prepared.info, n_outputs=loss.n_outputs(prepared.info), base_dir=job.base_dir, seed=0
    )
    model.load_state_dict(weights)
    device = resolve(job.device)
    return in_memory_format(model.to(device), channels_last=is_channels_last(prepared.info, device))


def _evaluated(job: TrainJob, prepared: Prepared, loss: LossFunction, model: nn.Module) -> dict[str, float]:
    """Every metric of the validation and the test part, by scikit-learn itself: the check of what epochs recorded."""
    device, info = resolve(job.device), prepared.info
    names = names_for(info.task)
    metrics: dict[str, float] = {}
    for split, part in (("val", prepared.val), ("test", prepared.open_test())):
        if part is not None:
            batches = eval_batches(
                part, prepared.preprocess, device=device, channels_last=is_channels_last(info, device)
            )
            metrics |= evaluate(model, batches, loss=loss, info=info, names=names, split=split, compute=compute)
    return metrics


def _write_weights(path: Path, model: nn.Module) -> None:
    # In memory first: torch reports a full disk as RuntimeError.
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, buffer)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise StorageError(f"{path}: the weights cannot be written: {error.strerror}") from error


def _try_out(request: PrepareRequest, prepared: Prepared) -> None:
    config = request.config
    device = torch.device("cpu")
    resolve(config.train.device)
    loss = build_loss(config.loss, prepared.info)
    if isinstance(config.model, PythonModel):
        target_file(config.model.target, request.base_dir)
    x_B, _ = next(iter(eval_batches(prepared.val, prepared.preprocess, device=device, limit=1)))
    try:
        model = build_model(
            config.model,
            info=prepared.info,
            n_outputs=loss.n_outputs(prepared.info),
            base_dir=request.base_dir,
            seed=derive(request.seed, "try-out"),
        )
        check_output(model, x_B[:2], loss.n_outputs(prepared.info))
    except TunerError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own code: its trials will report it with its place
        _log.warning("the base config does not run: %s", _short(error))
        return
    build_optimizer(config.optimizer, model.parameters(), device)


def _open_log(job: TrainJob) -> logging.Handler:
    job.folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(job.folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    return handler


def _append_metrics(file: TextIO, end: EpochEnd) -> None:
    finite = {name: value if math.isfinite(value) else None for name, value in end.metrics.items()}
    line = {"epoch": end.epoch, "attempt": end.attempt, "seconds": round(end.seconds, 4), **finite}
    file.write(json.dumps(line) + "\n")
    file.flush()
    shown = " ".join(f"{name} {value:.6g}" for name, value in end.metrics.items())
    _log.info("epoch %d: %s (%.2f s)", end.epoch, shown, end.seconds)


def _end(job: TrainJob, outcome: Outcome, message: str = "", cause: str = "") -> TrialEnd:
    return TrialEnd(trial=job.trial, attempt=job.attempt, outcome=outcome, message=message, cause=cause)


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _short(error: BaseException) -> str:
    """`Type: message, in file.py:12`."""
    return f"{type(error).__name__}: {error}, in {_place(error)}"


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__} {_place(error)}"


def _place(error: BaseException) -> str:
    """The innermost `file.py:12` outside torch: a wrong shape is raised there, and caused in the model's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(TORCH)]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"
