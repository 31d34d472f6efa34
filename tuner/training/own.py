"""Own training code: a user's generator, run an epoch at a time like every other trial.

What it yields after an epoch is the metrics and the state that it goes on from; the state is its checkpoint, with the
same checksum, generations and best epoch as the weights of tuner's own loop. Stopping, pausing and ending close the
generator, so that its `finally` blocks run.

The generators that it may draw from without asking (torch's, NumPy's, random's) are seeded for every epoch from (trial
seed, epoch), not kept in the checkpoint. When it goes on, what it draws while it builds things up again would shift the
draws of its first epoch: so they are seeded again whenever it reads from its state. A function that builds first and
restores then has the draws, and on the CPU the bits, of one that was never interrupted.
"""

from __future__ import annotations

import copy
import inspect
import logging
import math
import time
import types
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuner.config.metrics import recorded_as
from tuner.config.schema import PythonTrain, TrialConfig
from tuner.data.global_rng import reseed, seed_accelerators, seeded
from tuner.data.offered import OfferedData
from tuner.device import resolve
from tuner.errors import ConfigError, Place
from tuner.registry import load_target
from tuner.seeding import derive, derive_32
from tuner.training import checkpoint as checkpoints
from tuner.training.checkpoint_files import retain
from tuner.training.costs import Costs
from tuner.training.early_stopping import BestEpoch
from tuner.training.events import EpochEnd
from tuner.training.job import TrainJob
from tuner.training.loop import AbortedError
from tuner.training.own_errors import OwnCodeError
from tuner.training.own_state import Packed, UnstorableError

_log = logging.getLogger(__name__)

Yielded = Generator[object, None, object]
DATA = "data"
"""The name of the parameter that prepared data is given to, where the function has one."""
CPU = torch.device("cpu")
EMPTY = Packed(state=None, arrays=(), scalars=())


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCode:
    """The function that a config names."""

    function: Callable[..., object]
    takes_data: bool

    @classmethod
    def load(cls, config: TrialConfig, base_dir: Path) -> OwnCode:
        """Import it; ConfigError when it cannot be called as run(config, state) or run(config, state, data).

        What its file raises while it is imported is passed on unchanged.
        """
        train = config.train
        assert isinstance(train, PythonTrain)
        function = load_target(train.target, base_dir)
        if not callable(function):
            raise _error(f"{train.target!r} must be a function run(config, state), got a {type(function).__name__}")
        takes_data = _takes_data(train.target, function)
        if takes_data and config.data is None:
            raise _error(f"{train.target!r} takes data, but the file has no data section; add one, or leave data out")
        return cls(function=function, takes_data=takes_data)


def _takes_data(target: str, function: Callable[..., object]) -> bool:
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C: it tells no signature
        return False
    takes_data = DATA in signature.parameters
    try:
        signature.bind({}, None, **({DATA: None} if takes_data else {}))
    except TypeError as error:
        message = f"{target!r} must take (config, state), or (config, state, data); its signature is {signature}"
        raise _error(message) from error
    return takes_data


def _error(message: str) -> ConfigError:
    return ConfigError.of([Place(path="train.target", message=message)])


class RestoredState(dict[str, Any]):
    """The state that a run goes on from: a dict that says when it is read."""

    def __init__(self, state: dict[str, Any], on_read: Callable[[], None]) -> None:
        super().__init__(state)
        self._on_read = on_read

    def __getitem__(self, key: str) -> Any:
        self._on_read()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:  # with `keys`, so that dict(state) and {**state} read it, too
        self._on_read()
        return super().__iter__()

    def keys(self) -> Any:
        self._on_read()
        return super().keys()

    def get(self, key: str, default: Any = None) -> Any:
        self._on_read()
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._on_read()
        return super().pop(key, *default)

    def items(self) -> Any:
        self._on_read()
        return super().items()

    def values(self) -> Any:
        self._on_read()
        return super().values()


@dataclass(slots=True, kw_only=True)
class OwnRun:
    """A trial that own code trains."""

    job: TrainJob
    code: OwnCode
    data: OfferedData | None
    best: BestEpoch
    costs: Costs
    """What tuner can measure of what the goals name: the time of an epoch. The code yields the others."""
    epoch: int = 0
    device: torch.device = CPU
    """Where its state is loaded to: it can hold what has to stay there, and its code knows where the rest belongs."""
    has_returned: bool = False
    _stored: Packed = EMPTY
    """What it goes on from."""
    _generator: Yielded | None = None

    @classmethod
    def build(cls, job: TrainJob, code: OwnCode, data: OfferedData | None) -> OwnRun:
        stopping = job.config.train.early_stopping
        resolve(job.device)
        return cls(
            job=job,
            code=code,
            data=data,
            best=BestEpoch(
                maximize=job.maximize,
                patience=stopping.patience if stopping else None,
                min_delta=stopping.min_delta if stopping else 0.0,
            ),
            costs=Costs(wanted=(job.goals.costs if job.goals else frozenset()) & {"epoch_seconds"}),
        )

    @property
    def is_over(self) -> bool:
        return self.epoch >= self.job.config.train.epochs or self.best.is_exhausted or self.has_returned

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self._stored = Packed.from_plain(state["own"])
        self.best.restore(state["best"])
        if self.costs.wanted:
            self.costs.restore(state["costs"])

    def train_epoch(self, should_abort: Callable[[], bool]) -> EpochEnd | None:
        """The next epoch; None when the code returned instead. Raises what the code raises, and AbortedError."""
        started = time.perf_counter()
        if self._generator is None:
            self._begin(should_abort)
        yielded = self._next(self.epoch + 1)
        if yielded is _RETURNED:
            self.has_returned = True
            if not self.epoch:
                raise self._complaint("it returned without a single yield; yield (metrics, state) after every epoch")
            return None
        metrics, packed = self._judged(yielded)
        self.costs.add_epoch(time.perf_counter() - started)
        metrics = {**self.costs.metrics(), **metrics}
        return self._end_epoch(metrics, packed, started)

    def close(self) -> None:
        """Let the code's `finally` blocks run; what they raise is logged, and changes nothing."""
        generator, self._generator = self._generator, None
        if generator is None:
            return
        try:
            generator.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code
            _log.warning("closing %s raised %s: %s", self._target, type(error).__name__, error)

    # -- the generator -------------------------------------------------------------------------------------------------

    @property
    def _target(self) -> str:
        train = self.job.config.train
        assert isinstance(train, PythonTrain)
        return train.target

    def _begin(self, should_abort: Callable[[], bool]) -> None:
        """Call the function with the state that is stored; where it has none, repeat the epochs that are over."""
        done, state = self.epoch, self._stored.unpacked()
        self._stored = EMPTY
        if type(state) is dict:
            state = RestoredState(state, lambda: self._reseed_if_restoring(done))
        config = config_of(self.job)
        arguments = {DATA: self.data} if self.code.takes_data else {}
        with self._seeded(1 if state is None else done + 1):  # a function that is no generator function runs here
            generator = self.code.function(config, state, **arguments)
        if not isinstance(generator, Generator):
            raise self._complaint(
                f"it must yield (metrics, state) after every epoch; calling it gave a {type(generator).__name__}"
            )
        self._generator = generator
        if state is None and done:
            self._repeat(done, should_abort)

    def _repeat(self, n_epochs: int, should_abort: Callable[[], bool]) -> None:
        _log.info("the state of epoch %d is None: repeating the epochs before it", n_epochs)
        for epoch in range(1, n_epochs + 1):
            if should_abort():
                raise AbortedError
            if self._next(epoch) is _RETURNED:
                raise self._complaint(f"it returned after {epoch - 1} epochs, where it had trained {n_epochs}")

    def _next(self, epoch: int) -> object:
        assert self._generator is not None
        with self._seeded(epoch):
            return next(self._generator, _RETURNED)

    @contextmanager
    def _seeded(self, epoch: int) -> Iterator[None]:
        with seeded(seed := self._epoch_seed(epoch)):
            seed_accelerators(seed)
            yield

    def _epoch_seed(self, epoch: int) -> int:
        return derive(self.job.seed, "epoch", epoch)

    def _reseed_if_restoring(self, done: int) -> None:
        if self.epoch == done:
            reseed(seed := self._epoch_seed(done + 1))
            seed_accelerators(seed)

    # -- what it yields ------------------------------------------------------------------------------------------------

    def _judged(self, yielded: object) -> tuple[dict[str, float], Packed]:
        """Metrics by their full names, and the state; what is wrong with them is raised where the code yields."""
        try:
            metrics, state = _pair(yielded)
            return self._metrics(metrics), Packed.of(state.copy() if type(state) is RestoredState else state)
        except (TypeError, UnstorableError) as error:
            raise self._complaint(str(error)) from None

    def _metrics(self, yielded: Mapping[Any, Any]) -> dict[str, float]:
        metrics, goals = _by_full_name(yielded), self.job.goals
        needed = {self.job.metric, *(recorded_as(name) for name in (goals.metrics | goals.costs if goals else ()))}
        missing = sorted(name for name in needed - self.costs.wanted if name not in metrics)
        if missing:
            names = ", ".join(repr(name.removeprefix("val/")) for name in missing)
            known = ", ".join(yielded) or "none"
            raise TypeError(f"the metrics have no {names}, which the space file wants; they are {known}")
        return metrics

    def _complaint(self, message: str) -> OwnCodeError:
        """An error with the line at which the code yielded, where it has."""
        return OwnCodeError(f"{self._target}: {message}{_place(self._generator)}")

    def _end_epoch(self, metrics: dict[str, float], packed: Packed, started: float) -> EpochEnd:
        job, value = self.job, metrics[self.job.metric]
        self.epoch += 1
        saved = None
        kept: set[int] = set()
        values = [value, *(job.goals.vector(metrics) if job.goals else ())]
        if all(map(math.isfinite, values)):
            previous_best = self.best.epoch
            self.best.update(self.epoch, value)
            payload = {"epoch": self.epoch, "own": packed.to_plain(), "best": self.best.state()}
            if self.costs.wanted:
                payload["costs"] = self.costs.state()
            saved = checkpoints.save(job.folder, self.epoch, payload)
            # As in tuner's own loop: what the driver has not acknowledged does not count.
            kept = {self.epoch, self.epoch - 1, self.best.epoch, previous_best}
            retain(job.folder, kept)
        else:
            metrics[job.metric] = math.nan  # however good it looks, a diverged epoch has no value
        return EpochEnd(
            trial=job.trial,
            attempt=job.attempt,
            epoch=self.epoch,
            metrics=metrics,
            seconds=time.perf_counter() - started,
            checkpoint=saved,
            kept=tuple(sorted(kept)),
        )


_RETURNED = object()


def _place(generator: object) -> str:
    """`, in file.py:12`: the innermost yield that a generator waits at."""
    frame, inner = None, generator
    while isinstance(inner, types.GeneratorType) and inner.gi_frame is not None:
        frame, inner = inner.gi_frame, inner.gi_yieldfrom
    return f", in {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def config_of(job: TrainJob) -> dict[str, Any]:
    """What the function gets as its config: plain values of its own.

    The sections of the file as they are bound for this trial, the options by their own names and once more together,
    and what only a running trial has.
    """
    train = job.config.train
    assert isinstance(train, PythonTrain)
    options = copy.deepcopy(train.options)
    return {
        **copy.deepcopy(options),
        **job.config.model_dump(mode="json"),
        "options": options,
        "seed": derive_32(job.seed, "own"),
        "device": job.device,
        "epochs": train.epochs,
        "folder": str(job.folder.absolute()),
        "trial": job.trial,
    }


def _pair(yielded: object) -> tuple[Mapping[Any, Any], Any]:
    if not isinstance(yielded, tuple) or len(yielded) != 2:  # noqa: PLR2004
        what = f"a tuple of {len(yielded)}" if isinstance(yielded, tuple) else f"a {type(yielded).__name__}"
        raise TypeError(f"expected yield (metrics, state), got {what}")
    metrics, state = yielded
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"expected yield (metrics, state) with metrics by name, got a {type(metrics).__name__} for them"
        )
    return metrics, state


def _by_full_name(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """`accuracy` is `val/accuracy`; costs, and names with a slash, stay."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of a metric must be text, got {name!r}")
        found[name if "/" in name else recorded_as(name)] = _number(name, value)
    return found


def _number(name: str, value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and np.prod(value.shape) == 1:
        number = value.item()
        if isinstance(number, (int, float)):
            return float(number)
    raise TypeError(f"the metric {name!r} must be a number, got {_described(value)}")


def _described(value: object) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
