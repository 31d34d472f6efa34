"""Several runs of one shape trained as one program.

Every lane is an ordinary `Run`: its parameters and buffers are views of tensors that hold those of all lanes, so that
it is validated, checkpointed, restored and updated by the code that does so for a run alone. Only forward and backward
are done for all lanes at once.

T lanes, B batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from tuner.data.global_rng import seed_accelerators, seeded
from tuner.device import set_products
from tuner.optim.python_optimizer import PythonUpdate
from tuner.optim.schedules import changes_within_epoch
from tuner.seeding import derive
from tuner.training.events import EpochEnd
from tuner.training.gradients import Weight
from tuner.training.lane_memory import stacked_apart
from tuner.training.lanes_program import lanes_program
from tuner.training.loop import AbortedError, end_epoch, epoch_seed, mean_loss, shuffle_seed
from tuner.training.program import Results
from tuner.training.run import Run, in_precision
from tuner.training.stacked_lanes import StackedLanes, can_be_stacked, is_graphable
from tuner.training.steps import can_be_recorded, persistent_of, tape_of
from tuner.training.tape import TapeError


class LanesStep(Protocol):
    """Trains one batch of every lane and returns their mean losses [T]."""

    @property
    def name(self) -> str:
        """What `tuner show` calls it."""

    def __call__(self, x_TB: Tensor, y_TB: Tensor, /) -> Sequence[Tensor]: ...


class LaneGroup:
    """Runs that train together; made anew when a lane leaves or joins.

    Raises TapeError when they cannot be one program.
    """

    def __init__(self, runs: Sequence[Run], kind: type[StackedLanes] | None = None) -> None:
        """`kind` is chosen by the device when it is None."""
        self.runs = tuple(runs)
        for run in self.runs:
            run.feed = self.runs[0].feed  # of the same data: one set of loader processes for all lanes
        is_recorded = kind is None and can_be_recorded(runs[0])
        # vmap writes the statistics of batch normalisation into a copy of what is not contiguous.
        self.persistent_T = _stack(self.runs, stacked_apart if is_recorded else torch.stack)
        self._generators = [torch.Generator() for _ in runs]
        if is_recorded:
            self.step: LanesStep = RecordedLanes(self.runs, self.persistent_T, self._generators)
        elif kind is not None or is_stacked(runs):
            self.step = StackedLanes(self.runs, self.persistent_T)
        else:
            self.step = VmappedLanes(self.runs, self.persistent_T)

    @property
    def is_recorded(self) -> bool:
        return isinstance(self.step, RecordedLanes)

    def train_epoch(self, should_abort: Callable[[], bool]) -> list[EpochEnd]:
        """Each lane's next epoch. AbortedError when `should_abort` says so before a batch."""
        started = time.perf_counter()
        set_products(self.runs[0].precision, self.runs[0].device)
        seeds = [epoch_seed(run, run.epoch + 1) for run in self.runs]
        for run, generator, seed in zip(self.runs, self._generators, seeds, strict=True):
            run.set_mode(training=True)
            generator.manual_seed(seed)
        group_seed = derive(seeds[0], "lanes", *seeds[1:])
        with seeded(group_seed), torch.inference_mode(mode=self.is_recorded):
            seed_accelerators(group_seed)  # what a user's model draws under vmap, from one generator for all lanes
            losses, weights = self._train(should_abort)
        share_s = (time.perf_counter() - started) / len(self.runs)
        for run in self.runs:
            if run.picked:
                run.picked |= {"step": self.step.name, "lanes": str(len(self.runs))}
        return [
            end_epoch(run, run.epoch + 1, mean_loss(lane, over_what), time.perf_counter() - share_s)
            for run, lane, over_what in zip(self.runs, losses, weights, strict=True)
        ]

    def _train(self, should_abort: Callable[[], bool]) -> tuple[list[list[Tensor]], list[list[Weight]]]:
        """The losses of each lane's batches, and what they are the means over."""
        numbers = [run.epoch * run.steps_per_epoch for run in self.runs]
        changing = [changes_within_epoch(run.job.config.schedule) for run in self.runs]
        losses: list[list[Tensor]] = [[] for _ in self.runs]
        weights: list[list[Weight]] = [[] for _ in self.runs]
        for index, (x_TB, y_TB) in enumerate(stacked_batches(self.runs)):
            if should_abort():
                raise AbortedError
            for run, number, changes in zip(self.runs, numbers, changing, strict=True):
                if changes or index == 0:
                    run.set_lr(number + index)
            for lane, loss in zip(losses, self.step(x_TB, y_TB), strict=True):
                lane.append(loss)
            for run, over_what, y_B in zip(self.runs, weights, y_TB.unbind(0), strict=True):
                over_what.append(run.weight_of(y_B))
        return losses, weights


def is_stacked(runs: Sequence[Run]) -> bool:
    """Whether the device trains lanes stacked; one run alone too, when its step can be captured in a CUDA graph."""
    on_gpu = runs[0].device.type == "cuda" and can_be_stacked(runs)
    return on_gpu and (len(runs) > 1 or is_graphable(runs[0]))


def stacked_batches(runs: Sequence[Run]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x [T, B, ...], y [T, B, ...]) of the next epochs, those of each lane in its own order."""
    first = runs[0]
    seeds = [shuffle_seed(run, run.epoch + 1) for run in runs]
    batches = first.feed.train_lanes(epoch_seeds=seeds, limit=first.job.config.train.batches_per_epoch)
    return in_precision(batches, first.precision)


def _stack(runs: Sequence[Run], stack: Callable[[list[Tensor]], Tensor]) -> list[Tensor]:
    """Parameters and buffers of all lanes in one tensor each, and every run's own made views of it."""
    stacked = [stack([tensor.detach() for tensor in lane]) for lane in zip(*map(persistent_of, runs), strict=True)]
    for lane, run in enumerate(runs):
        views = {id(tensor): whole[lane] for tensor, whole in zip(persistent_of(run), stacked, strict=True)}
        for param in run.model.parameters():
            param.data = views[id(param)]
        for module in run.model.modules():
            for name, buffer in module._buffers.items():  # noqa: SLF001 - a buffer is replaced by its registered name
                if buffer is not None:
                    module._buffers[name] = views[id(buffer)]  # noqa: SLF001
        if run.averaged:
            run.averaged.rebind()
    return stacked


class RecordedLanes:
    """The recorded steps of all lanes, merged: each lane has, to the bit, the numbers of a run alone."""

    name = "recorded"

    def __init__(self, runs: Sequence[Run], persistent_T: list[Tensor], generators: list[torch.Generator]) -> None:
        self._runs = runs
        self._persistent_T = persistent_T
        self._generators = generators
        self._programs: dict[tuple[int, ...], Callable[..., Results]] = {}
        self._has_own_optimizer = any(isinstance(run.update, PythonUpdate) for run in runs)

    def __call__(self, x_TB: Tensor, y_TB: Tensor, /) -> Sequence[Tensor]:
        shape = tuple(x_TB.shape)
        program = self._programs.get(shape)
        if program is None:
            tapes = [tape_of(run, x_TB[lane], y_TB[lane]) for lane, run in enumerate(self._runs)]
            program = lanes_program(
                tapes, self._persistent_T, self._generators, results_in_own_memory=self._has_own_optimizer
            )
            self._programs[shape] = program
        results: Any = program(x_TB, y_TB)
        losses: Sequence[Tensor] = results[0]
        update_all(self._runs, zip(*results[1:], strict=True), y_TB)
        return losses


def update_all(runs: Sequence[Run], gradients: Iterator[Sequence[Tensor | None]], y_TB: Tensor) -> None:
    """Clip and apply each lane's gradients by its own rule."""
    for run, grads, y_B in zip(runs, gradients, y_TB.unbind(0), strict=True):
        run.take(grads, y_B)


def _dropout_rates(model: nn.Module) -> list[float]:
    return [float(module.p) for module in model.modules() if isinstance(module, _DropoutNd)]


class VmappedLanes:
    """Lanes through torch.func: for users' models, whose Python code has to run at every step.

    Dropout draws for all lanes from one generator, so that a lane is equal to a run alone in distribution, and to
    rounding where nothing is drawn.
    """

    name = "vmap"

    def __init__(self, runs: Sequence[Run], persistent_T: list[Tensor]) -> None:
        first = runs[0]
        if any(run.loss != first.loss for run in runs):
            raise TapeError("the losses of the lanes differ")
        if first.scaler is not None:
            raise TapeError("fp16 scales the gradients of each run by a factor of its own")
        if any(_dropout_rates(run.model) != _dropout_rates(first.model) for run in runs):
            raise TapeError("the dropout rates of the lanes differ")  # one model runs for all, with its own rates
        self._runs = runs
        names = [name for name, _ in [*first.model.named_parameters(), *first.model.named_buffers()]]
        of_model = dict(zip(names, persistent_T, strict=False))  # constants of the loss come last
        self._trained = [name for name, param in first.model.named_parameters() if param.requires_grad]
        self._weights_T = {name: of_model[name] for name in self._trained}
        self._others_T = {name: tensor for name, tensor in of_model.items() if name not in self._weights_T}
        dtype = first.precision.autocast_dtype
        self._autocast = torch.autocast(first.device.type, dtype=dtype, enabled=dtype is not None)
        from torch.func import grad_and_value, vmap  # 1.5 s that recorded lanes do without

        self._step = vmap(grad_and_value(self._loss), randomness="different")

    def _loss(self, weights: dict[str, Tensor], others: dict[str, Tensor], x_B: Tensor, y_B: Tensor) -> Tensor:
        from torch.func import functional_call

        first = self._runs[0]
        loss: Tensor = first.loss(functional_call(first.model, (weights, others), (x_B,)), y_B)
        return loss

    def __call__(self, x_TB: Tensor, y_TB: Tensor, /) -> Sequence[Tensor]:
        with self._autocast:
            grads, losses_T = self._step(self._weights_T, self._others_T, x_TB, y_TB)
            losses: list[Tensor] = list(losses_T.detach().unbind(0))
        # Fused kernels walk through memory: a gradient that comes as a permuted view would be taken in a wrong order.
        gradients = (grads[name].contiguous().unbind(0) for name in self._trained)
        update_all(self._runs, zip(*gradients, strict=True), y_TB)
        return losses
