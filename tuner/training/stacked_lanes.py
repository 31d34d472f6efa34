"""Lanes on a GPU: forward, backward and update of all lanes in a few dozen kernels, captured in a CUDA graph.

There a small model waits for launches and not for arithmetic, so that many lanes cost as much as one. Nothing in a step
waits for the host: learning rates, dropout rates and all else that differs between lanes are tensors. A lane agrees
with a run alone to rounding, and in distribution where something is drawn.

T lanes, B batch, C channels, P trained parameters of a lane.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tuner.config.schema.losses import PythonLoss
from tuner.models.layers import Dropout
from tuner.optim.stacked import FLAGS, StackedUpdate, numbers_of
from tuner.optim.updates import DirectUpdate
from tuner.training.run import Run
from tuner.training.tape import TapeError

_log = logging.getLogger("tuner")

WARM_UP = 3
"""Steps before a capture, in which libraries choose their kernels and take their memory."""


class LaneDropout(nn.Module):
    """Dropout whose rate is a buffer, so that it differs between lanes."""

    keep: Tensor

    def __init__(self, single: Dropout) -> None:
        super().__init__()
        self.register_buffer("keep", torch.tensor(1.0 - single.p))
        self._single = single

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = self.keep.to(x.dtype)
        kept = torch.rand(self._single.mask_shape(tuple(x.shape)), device=x.device) < self.keep
        return self._single.masked(x, kept / keep, keep)


def can_be_stacked(runs: Sequence[Run]) -> bool:
    """Whether one rule updates all lanes, after every batch."""
    if any(run.averaged is not None or run.accumulator.every > 1 for run in runs):
        return False
    configs = [run.job.config.optimizer for run in runs]
    if any(not isinstance(run.update, DirectUpdate) for run in runs) or configs[0].kind not in FLAGS:
        return False
    return len({_shared_options(config.model_dump()) for config in configs}) == 1


def _shared_options(options: dict[str, Any]) -> tuple[Any, ...]:
    flags = tuple(options[name] for name in FLAGS[options["kind"]])
    return (options["kind"], *flags, options.get("momentum", 0.0) > 0)


class StackedLanes:
    """Implements `LanesStep`."""

    def __init__(self, runs: Sequence[Run], persistent_T: Sequence[Tensor]) -> None:
        if not can_be_stacked(runs):
            raise TapeError("the lanes are not updated by one rule")
        from torch.func import grad_and_value, vmap

        first = runs[0]
        self._runs = runs
        self._model = _with_lane_dropout(first)
        self._loss_function = first.loss
        names = [name for name, _ in [*first.model.named_parameters(), *first.model.named_buffers()]]
        trained = {id(param) for param in first.update.params}
        self._trained = [name for name, param in first.model.named_parameters() if id(param) in trained]
        of_model = dict(zip(names, persistent_T, strict=False))  # constants of the loss come last
        self.update = _bound_update(runs, [of_model[name] for name in self._trained])
        self._weights_T = dict(zip(self._trained, _views(self.update.weights_TP, first), strict=True))
        self._others_T = {name: tensor for name, tensor in of_model.items() if name not in self._weights_T}
        self._others_T |= _rates(runs, self._model, first)
        self._smoothing_T = first_tensor(self._weights_T).new_tensor([_smoothing(run) for run in runs])
        dtype = first.precision.autocast_dtype
        self._autocast: Callable[[], Any] = lambda: torch.autocast(
            first.device.type, dtype=dtype, enabled=dtype is not None, cache_enabled=False
        )
        self._vmapped = vmap(grad_and_value(self._loss), randomness="different")
        self._graphs: dict[tuple[int, ...], _Graph] | None = {} if is_graphable(first) else None
        self._lrs: list[float] = []

    @property
    def name(self) -> str:
        return "stacked, CUDA graph" if self._graphs else "stacked"

    def _loss(
        self, weights: dict[str, Tensor], others: dict[str, Tensor], smoothing: Tensor, x_B: Tensor, y_B: Tensor
    ) -> Tensor:
        from torch.func import functional_call

        outputs = functional_call(self._model, (weights, others), (x_B,))
        return self._loss_function.smoothed(outputs, y_B, smoothing)

    def step(self, x_TB: Tensor, y_TB: Tensor) -> Tensor:
        """Forward, backward, update; the losses [T]."""
        with self._autocast():
            grads, losses_T = self._vmapped(self._weights_T, self._others_T, self._smoothing_T, x_TB, y_TB)
        self.update.step(torch.cat([grads[name].flatten(1) for name in self._trained], dim=1))
        losses: Tensor = losses_T.detach()
        return losses

    def __call__(self, x_TB: Tensor, y_TB: Tensor, /) -> Sequence[Tensor]:
        self._take_lrs()
        if self._graphs is None:
            return list(self.step(x_TB, y_TB).unbind(0))
        graph = self._graphs.get(tuple(x_TB.shape))
        if graph is None:
            graph = self._captured(x_TB, y_TB)
            if graph is None:
                return list(self.step(x_TB, y_TB).unbind(0))
        return list(graph.replay(x_TB, y_TB).unbind(0))

    def _take_lrs(self) -> None:
        lrs = [run.update.lr for run in self._runs]
        if lrs != self._lrs:
            self.update.lr_T1.copy_(torch.tensor(lrs, dtype=torch.float64).reshape(-1, 1))
            self._lrs = lrs

    def _captured(self, x_TB: Tensor, y_TB: Tensor) -> _Graph | None:
        changing = [self.update.weights_TP, self.update.steps_T1, *self.update.states_TP.values()]
        changing += [tensor for tensor in self._others_T.values() if not tensor.is_floating_point() or tensor.ndim > 1]
        before = [tensor.clone() for tensor in changing]
        assert self._graphs is not None
        try:
            graph = self._graphs[tuple(x_TB.shape)] = _Graph.capture(self.step, x_TB, y_TB)
        except torch.OutOfMemoryError:  # fewer lanes may fit
            raise
        except RuntimeError as error:
            _log.warning("the step cannot be captured in a CUDA graph (%s); going on without", error)
            self._graphs = None
            return None
        finally:
            for tensor, kept in zip(changing, before, strict=True):
                tensor.copy_(kept)
        return graph


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """A captured step, and the memory that it reads its batch from and writes its losses to."""

    graph: torch.cuda.CUDAGraph
    x_TB: Tensor
    y_TB: Tensor
    losses_T: Tensor

    @classmethod
    def capture(cls, step: Callable[[Tensor, Tensor], Tensor], x_TB: Tensor, y_TB: Tensor) -> _Graph:
        x_TB, y_TB = x_TB.clone(), y_TB.clone()
        side = torch.cuda.Stream(x_TB.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(x_TB.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(x_TB, y_TB)
        torch.cuda.current_stream(x_TB.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # On the stream of the batch's device, which need not be the current one. Other threads may go on: one of them
        # pins the memory of streamed batches.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            losses_T = step(x_TB, y_TB)
        return cls(graph=graph, x_TB=x_TB, y_TB=y_TB, losses_T=losses_T)

    def replay(self, x_TB: Tensor, y_TB: Tensor) -> Tensor:
        self.x_TB.copy_(x_TB)
        self.y_TB.copy_(y_TB)
        self.graph.replay()
        return self.losses_T.clone()


def is_graphable(run: Run) -> bool:
    """A user's model may do something else at each step; a recorded one does what it did."""
    config = run.job.config
    return run.device.type == "cuda" and config.model.is_recordable and not isinstance(config.loss, PythonLoss)


def _with_lane_dropout(run: Run) -> nn.Module:
    """The model that functional_call runs: of our own, with a rate for each lane; a user's as it is."""
    model = copy.deepcopy(run.model)
    for name, module in list(model.named_modules()):
        if isinstance(module, Dropout):
            setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], LaneDropout(module))
    return model.train()  # evaluation has left the run's own in its other mode


def _rates(runs: Sequence[Run], model: nn.Module, first: Run) -> dict[str, Tensor]:
    """The shares that dropout keeps, [T] for each layer."""
    names = [name for name, module in model.named_modules() if isinstance(module, LaneDropout)]
    like = first.update.params[0]
    rates: dict[str, Tensor] = {}
    for name in names:
        keep = [1.0 - float(run.model.get_submodule(name).p) for run in runs]  # type: ignore[arg-type]
        rates[f"{name}.keep"] = like.detach().new_tensor(keep)
    return rates


def _smoothing(run: Run) -> float:
    return float(getattr(run.job.config.loss, "label_smoothing", 0.0))


def first_tensor(tensors: dict[str, Tensor]) -> Tensor:
    return next(iter(tensors.values()))


def _views(flat_TP: Tensor, run: Run) -> list[Tensor]:
    """The parameters of all lanes, [T, ...] each, as views of the rows that hold them."""
    sizes = [param.numel() for param in run.update.params]
    shapes = [param.shape or (1,) for param in run.update.params]
    parts = zip(torch.split(flat_TP, sizes, dim=1), shapes, run.update.params, strict=True)
    return [torch.unflatten(part, 1, shape).reshape(-1, *param.shape) for part, shape, param in parts]


def _bound_update(runs: Sequence[Run], trained_T: Sequence[Tensor]) -> StackedUpdate:
    """One update of all lanes, of whose tensors every run's own weights and states become views."""
    updates = [run.update for run in runs if isinstance(run.update, DirectUpdate)]
    if any(len(update.states) not in (0, len(update.params)) for update in updates):
        raise TapeError("a parameter had no gradient yet, and so has no state in the optimizer")
    first = updates[0]
    weights_TP = torch.cat([tensor.flatten(1) for tensor in trained_T], dim=1)
    names = [name for name in first.rule.new_state(first.options, first.params[0], first.lr) if name != "step"]
    states_TP = {name: torch.zeros_like(weights_TP) for name in names}
    steps_T1 = weights_TP.new_zeros((len(runs), 1), dtype=torch.float32)
    for lane, update in enumerate(updates):
        for name, flat_TP in states_TP.items():
            if update.states:
                flat_TP[lane] = torch.cat([state[name].flatten() for state in update.states.values()])
        if update.states:  # plain SGD counts nothing: that there is a state is all that matters
            steps_T1[lane] = update.states[0].get("step", torch.ones(()))
    for lane, (run, update) in enumerate(zip(runs, updates, strict=True)):
        for param, view in zip(update.params, _views(weights_TP, run), strict=True):
            param.data = view[lane]
        columns = {name: [view[lane] for view in _views(flat, run)] for name, flat in states_TP.items()}
        update.share(columns, steps_T1[lane, 0])
    trains = [run.job.config.train for run in runs]
    like = weights_TP
    return StackedUpdate(
        kind=runs[0].job.config.optimizer.kind,
        weights_TP=weights_TP,
        states_TP=states_TP,
        steps_T1=steps_T1,
        numbers=numbers_of([update.options for update in updates], like),
        flags={name: bool(first.options[name]) for name in FLAGS[runs[0].job.config.optimizer.kind]},
        lr_T1=like.new_zeros((len(runs), 1)),
        clip_T1=_limits([train.grad_clip for train in trains], like),
        clip_value_T1=_limits([train.grad_clip_value for train in trains], like),
    )


def _limits(limits: Sequence[float | None], like: Tensor) -> Tensor | None:
    """[T, 1], inf for a lane without one; None when no lane has one."""
    return like.new_tensor([[limit or math.inf] for limit in limits]) if any(limits) else None
