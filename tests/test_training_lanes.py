"""A lane has, to the bit, the numbers of a run alone; lanes leave, join, and fall back without losing anything."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.config.lanes import fixed_params, lane_key
from tuner.config.schema import TrialConfig
from tuner.execution.protocol import LanesRequest, PrepareRequest
from tuner.execution.runner import Runner
from tuner.execution.trial_logs import MAX_OPEN, TrialLogs
from tuner.models.layers import ChannelDropout, Dropout
from tuner.training import lanes_probe
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.training.lane_memory import Operand, stacked_apart, stacks_exactly
from tuner.training.lane_steps import MergeError
from tuner.training.lanes import LaneGroup
from tuner.training.run import Run
from tuner.training.stacked_lanes import LaneDropout, StackedLanes
from tuner.training.tape import Meta, TapeError

DIGITS = {"kind": "digits", "batch_size": 32, "split": {"val": 200, "test": 1000}}
SOURCE = """
import weakref
import torch
from torch import nn

def lanes_of(x):
    inside = torch._C._functorch
    while inside.is_gradtrackingtensor(x):
        x = inside.get_unwrapped(x)
    return inside.get_unwrapped(x).shape[0] if inside.is_batchedtensor(x) else 1

class Net(nn.Module):
    alive = weakref.WeakSet()
    def __init__(self, input_shape, n_outputs, fail_at=0, refuses=False, memory=0, places=0, drop=0.0):
        super().__init__()
        if places and len(Net.alive) >= places:
            raise torch.OutOfMemoryError("out of memory")
        Net.alive.add(self)
        self.dropout = nn.Dropout(drop)
        self.fail_at, self.refuses, self.memory, self.calls = fail_at, refuses, memory, 0
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, n_outputs)
        )
    def forward(self, x):
        if self.training:
            self.calls += 1
            if self.refuses:
                float(x.sum())  # a value that vmap cannot give
            if self.memory and lanes_of(x) > self.memory:
                raise torch.OutOfMemoryError("out of memory")
        return self.net(self.dropout(x))

def steps():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 5, 3, generator=generator)
    return torch.utils.data.TensorDataset(x, (x.sum((1, 2)) > 0).long())

def tokens(n_ignored=0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, 9, (96, 7), generator=generator)
    y = torch.roll(x, -1, 1)
    y[:, :n_ignored] = -100
    return torch.utils.data.TensorDataset(x, y)

class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad.sign(), alpha=group["lr"])

class Faulty(Signs):
    def step(self):
        raise ValueError("no step")

class Crossed(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.w = nn.Parameter(torch.randn(n_outputs, 64) / 8)
    def forward(self, x):
        return torch.einsum("bi,oi->bo", x.flatten(1), self.w)  # its gradient is a permuted view
"""


def config_of(**sections: Any) -> TrialConfig:
    base: dict[str, Any] = {
        "objective": {"metric": "accuracy"},
        "data": DIGITS,
        "model": {"kind": "mlp", "depth": 2, "width": 16},
        "loss": {"kind": "auto"},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "schedule": {"kind": "constant"},
        "train": {"epochs": 3, "device": "cpu"},
    }
    train = {**base["train"], **sections.pop("train", {})}
    return TrialConfig.model_validate({**base, **sections, "train": train})


def net(**options: Any) -> dict[str, Any]:
    return {"kind": "python", "target": "mine.py:Net", "options": options}


def mlp(**options: Any) -> dict[str, Any]:
    return {"kind": "mlp", "depth": 2, "width": 16, **options}


class Lab:
    """A worker's runner, driven as a driver would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(textwrap.dedent(SOURCE))
        self.abort = False
        self.runner = Runner(lambda: self.abort)

    def jobs(self, name: str, configs: Sequence[TrialConfig]) -> list[TrainJob]:
        self.runner.prepare(
            PrepareRequest(
                config=configs[0],
                metric=configs[0].objective.metric,
                seed=0,
                base_dir=self.folder,
                data_dir=self.folder / "data",
                threads=1,
            )
        )
        return [
            TrainJob(
                trial=trial,
                attempt=1,
                seed=100 + trial,
                config=config,
                metric=f"val/{config.objective.metric}",
                maximize=config.objective.metric == "accuracy",
                checkpoints=(),
                folder=self.folder / name / str(trial),
                base_dir=self.folder,
                threads=1,
                device="cpu",
            )
            for trial, config in enumerate(configs)
        ]

    def alone(self, jobs: Sequence[TrainJob]) -> dict[int, tuple[list[EpochEnd], TrialEnd]]:
        return {job.trial: self.together([job])[job.trial] for job in jobs}

    def together(
        self,
        jobs: Sequence[TrainJob],
        decide: Callable[[EpochEnd], Decision] = lambda _: Decision.CONTINUE,
        joining: Callable[[Sequence[TrialEnd]], Sequence[TrainJob]] = lambda _: (),
    ) -> dict[int, tuple[list[EpochEnd], TrialEnd]]:
        """The epochs and the end of every trial."""
        epochs: dict[int, list[EpochEnd]] = {}
        ends: dict[int, TrialEnd] = {}
        group = self.runner.run_group(jobs)
        try:
            events = next(group)
            while True:
                answer: Any = {}
                for event in events:
                    if isinstance(event, EpochEnd):
                        epochs.setdefault(event.trial, []).append(event)
                        answer[event.trial] = decide(event)
                    else:
                        ends[event.trial] = event
                if not answer:
                    answer = joining([event for event in events if isinstance(event, TrialEnd)])
                events = group.send(answer)
        except StopIteration as stop:
            ends.update({end.trial: end for end in stop.value})
        return {trial: (epochs.get(trial, []), end) for trial, end in ends.items()}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def weights(job: TrainJob, epoch: int) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(job.folder / f"epoch-{epoch:05d}.pt", weights_only=True)
    return state


def largest_difference(one: Any, other: Any) -> float:
    """Between two checkpoints, in any of their tensors and numbers."""
    if isinstance(one, torch.Tensor):
        return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return max((largest_difference(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, (list, tuple)):
        return max((largest_difference(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    return abs(float(one or 0) - float(other or 0)) if not isinstance(one, str) else float(one != other)


def metrics(epochs: Sequence[EpochEnd]) -> list[dict[str, float]]:
    return [end.metrics for end in epochs]


MIXED = {"kind": "full", "mixup": 0.4, "cutmix": 1.0}
STEPS = {"kind": "python", "target": "mine.py:steps", "batch_size": 32, "split": {"val": 0.25, "test": 0}}
OPTIMIZERS = (
    {"kind": "adam", "lr": 0.01},
    {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"kind": "rmsprop", "lr": 0.002, "momentum": 0.5},
    {"kind": "adamw", "lr": 0.005, "weight_decay": 0.2, "amsgrad": True},
    {"kind": "adagrad", "lr": 0.05},
)
SCHEDULES = (
    {"kind": "cosine", "warmup_epochs": 0.5},
    {"kind": "constant"},
    {"kind": "one_cycle"},
    {"kind": "plateau", "patience": 0},
    {"kind": "step", "step_size": 1},
)
GROUPS: dict[str, list[TrialConfig]] = {
    "optimizers, schedules, epochs": [
        config_of(optimizer=optimizer, schedule=schedule, train={"epochs": 2 + index % 3})
        for index, (optimizer, schedule) in enumerate(zip(OPTIMIZERS, SCHEDULES, strict=True))
    ],
    "rules of torch, groups, the user's own": [
        config_of(model=mlp(norm="layer"), optimizer=optimizer)
        for optimizer in (
            {"kind": "nadam"},
            {"kind": "adafactor"},
            {"kind": "muon", "adamw_lr": 0.01},
            {"kind": "adamw", "weight_decay": 0.5, "decay": "weights"},
            {"kind": "python", "target": "mine.py:Signs", "lr": 0.001},
        )
    ],
    "weights of classes": [
        config_of(loss={"kind": "cross_entropy", "class_weights": "balanced", "label_smoothing": smoothing})
        for smoothing in (0.1, 0.2)
    ],
    "focal loss": [config_of(loss={"kind": "focal", "alpha": "balanced"}) for _ in range(2)],
    "averages, accumulation": [
        config_of(model=mlp(norm="batch"), train=train)
        for train in (
            {"averaging": {"kind": "ema", "decay": 0.9}},
            {"averaging": {"kind": "swa", "start_epoch": 2, "lr": 0.1}},
            {"accumulate": 2, "grad_clip_value": 0.01},
        )
    ],
    "dropout, smoothing, clipping": [
        config_of(
            model=mlp(dropout=rate), loss={"kind": "auto", "label_smoothing": smoothing}, train={"grad_clip": clip}
        )
        for rate, smoothing, clip in ((0.1, 0.1, None), (0.5, 0.2, 0.5), (0.3, 0.05, 2.0))
    ],
    "batch norm": [config_of(model=mlp(norm="batch", activation="gelu", dropout=rate)) for rate in (0.1, 0.4)],
    "layer norm": [config_of(model=mlp(norm="layer", activation="silu")) for _ in range(3)],
    "activations": [config_of(model=mlp(activation="leaky_relu", width=[8, 24], dropout=[0.1, 0.2])) for _ in range(2)],
    "linear": [config_of(model=mlp(depth=0)) for _ in range(2)],
    "convnet": [config_of(model={"kind": "convnet", "depth": 2, "width": 4, "dropout": rate}) for rate in (0.1, 0.3)],
    "experts, balanced": [
        config_of(model={"kind": "moe", "width": 8, "dropout": rate}, optimizer={"kind": "adamw", "lr": 0.01})
        for rate in (0.1, 0.3)
    ],
    "residual, alpha dropout, mish": [
        config_of(model=mlp(residual=True, activation="mish", norm="group", dropout_form="alpha", dropout=rate))
        for rate in (0.1, 0.2)
    ],
    "resnet": [
        config_of(model={"kind": "resnet", "depth": 1, "width": 4, "dropout": rate}, train={"epochs": 1})
        for rate in (0.1, 0.2)
    ],
    "transformer of patches": [
        config_of(
            model={"kind": "transformer", "depth": 1, "width": 8, "dropout": rate, "attention_dropout": 0.1},
            train={"epochs": 1},
        )
        for rate in (0.1, 0.2)
    ],
    "transformer without dropout": [
        config_of(model={"kind": "transformer", "depth": 1, "width": 8}, train={"epochs": 1}) for _ in range(2)
    ],
    "regression": [
        config_of(
            data={"kind": "diabetes", "batch_size": 64},
            objective={"metric": "mse"},
            optimizer={"kind": "adam", "lr": lr},
        )
        for lr in (0.01, 0.03)
    ],
    "mixed labels": [
        config_of(data=DIGITS | {"augment": MIXED}, loss={"kind": "cross_entropy", "label_smoothing": smoothing})
        for smoothing in (0.1, 0.2)
    ],
    **{
        f"33 rows of 5, {activation}": [
            config_of(data=DIGITS | {"batch_size": 33}, model=mlp(width=5, activation=activation, dropout=rate))
            for rate in (0.1, 0.2, 0.3)
        ]
        for activation in ("relu", "tanh", "gelu", "silu")
    },
    "steps with a place of their own": [
        config_of(data=STEPS, model={"kind": "transformer", "width": 8, "heads": 2, "pooling": "cls"}) for _ in range(2)
    ],
    "tokens of which some are ignored": [
        config_of(
            data=STEPS | {"target": "mine.py:tokens", "task": "language", "options": {"n_ignored": 3}},
            model={"kind": "transformer", "width": 8, "heads": 2, "depth": 1},
            objective={"metric": "perplexity"},
        )
        for _ in range(2)
    ],
    "one logit": [
        config_of(data={"kind": "breast_cancer", "batch_size": 64}, loss={"kind": "bce", "label_smoothing": smoothing})
        for smoothing in (0.1, 0.2)
    ],
}


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("precision", ("fp32", "fp64"))
def test_lanes_are_to_the_bit_what_each_run_is_alone(lab: Lab, name: str, precision: str) -> None:
    configs = [
        config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})
        for config in GROUPS[name]
    ]
    alone = lab.alone(lab.jobs("alone", configs))
    together = lab.together(lab.jobs("together", configs))
    assert len(together) == len(configs)
    for one, other in zip(lab.jobs("alone", configs), lab.jobs("together", configs), strict=True):
        (expected, end), (got, got_end) = alone[one.trial], together[other.trial]
        assert got[0].picked["lanes"] == str(len(configs))
        assert metrics(got) == metrics(expected)
        assert got_end == end
        last = got[-1].epoch
        assert largest_difference(weights(one, last), weights(other, last)) == 0.0


def test_lanes_of_a_users_model_agree_with_runs_alone_to_rounding(lab: Lab) -> None:
    configs = [
        config_of(model=net(), optimizer={"kind": "sgd", "lr": lr, "momentum": 0.9}, train={"precision": "fp64"})
        for lr in (0.1, 0.02, 0.05)
    ]
    alone, together = lab.jobs("alone", configs), lab.jobs("together", configs)
    lab.alone(alone)
    results = lab.together(together)
    assert results[0][0][0].picked["step"] == "vmap"
    assert results[0][0][0].picked["lanes"] == "3"
    for one, other in zip(alone, together, strict=True):
        difference = largest_difference(weights(one, 3), weights(other, 3))
        assert 0.0 < difference < 1e-10, "not the same program, and the same numbers"


@pytest.mark.parametrize("cell", ("lstm", "gru"))
def test_lanes_of_a_recurrent_network_agree_with_runs_alone_to_rounding(lab: Lab, cell: str) -> None:
    model = {"kind": "recurrent", "cell": cell, "width": 8}
    configs = [
        config_of(data=STEPS, model=model, optimizer={"kind": "sgd", "lr": lr}, train={"precision": "fp64"})
        for lr in (0.1, 0.02)
    ]
    alone, together = lab.jobs("alone", configs), lab.jobs("together", configs)
    lab.alone(alone)
    results = lab.together(together)
    assert results[0][0][0].picked["step"] in ("vmap", "autograd")
    for one, other in zip(alone, together, strict=True):
        assert largest_difference(weights(one, 3), weights(other, 3)) < 1e-10


SLOW = {"kind": "sgd", "lr": 1e-5}
STACKED: dict[str, list[TrialConfig]] = {
    "adam": [config_of(optimizer={"kind": "adam", "lr": lr, "weight_decay": lr}) for lr in (0.01, 0.002)],
    "adamw, clipped": [
        config_of(optimizer={"kind": "adamw", "lr": lr}, train={"grad_clip": clip, "grad_clip_value": clip})
        for lr, clip in ((0.01, 0.5), (0.02, None))
    ],
    "sgd": [config_of(optimizer={"kind": "sgd", "lr": lr}) for lr in (0.1, 0.02)],
    "sgd with momentum, smoothed": [
        config_of(
            optimizer={"kind": "sgd", "lr": 0.05, "momentum": momentum, "dampening": 0.1},
            loss={"kind": "auto", "label_smoothing": 0.1 + momentum / 10},
            schedule={"kind": "cosine"},
        )
        for momentum in (0.5, 0.9)
    ],
    "rmsprop": [config_of(optimizer={"kind": "rmsprop", "lr": lr, "momentum": 0.5}) for lr in (0.002, 0.001)],
    "convnet with batch norm": [
        config_of(model={"kind": "convnet", "depth": 1, "width": 4}, optimizer={"kind": "sgd", "lr": lr})
        for lr in (0.05, 0.02)
    ],
    "weights of classes": [
        config_of(loss={"kind": "auto", "class_weights": "balanced", "label_smoothing": smoothing}, optimizer=SLOW)
        for smoothing in (0.1, 0.2)
    ],
    "mixed labels": [
        config_of(data=DIGITS | {"augment": MIXED}, loss={"kind": "auto", "label_smoothing": smoothing}, optimizer=SLOW)
        for smoothing in (0.1, 0.2)
    ],
    "experts": [
        config_of(model={"kind": "moe", "width": 8}, optimizer={"kind": "sgd", "lr": lr}) for lr in (0.05, 0.02)
    ],
    "transformer of patches": [
        config_of(model={"kind": "transformer", "depth": 1, "width": 8}, optimizer={"kind": "sgd", "lr": lr})
        for lr in (0.05, 0.02)
    ],
    "a user's model with batch norm": [
        config_of(model=net(), optimizer={"kind": "sgd", "lr": lr}) for lr in (0.05, 0.02)
    ],
    "one logit": [
        config_of(
            data={"kind": "breast_cancer", "batch_size": 64},
            loss={"kind": "bce", "label_smoothing": smoothing},
            optimizer={"kind": "sgd", "lr": 0.05},
        )
        for smoothing in (0.1, 0.2)
    ],
    "regression": [
        config_of(data={"kind": "diabetes", "batch_size": 64}, objective={"metric": "mse"}, optimizer=SLOW)
        for _ in range(2)
    ],
}


@pytest.mark.parametrize("name", STACKED)
def test_stacked_lanes_agree_with_runs_alone_to_rounding(lab: Lab, name: str) -> None:
    configs = [
        config.model_copy(update={"train": config.train.model_copy(update={"precision": "fp64"})})
        for config in STACKED[name]
    ]
    alone, together = lab.jobs("alone", configs), lab.jobs("together", configs)
    lab.alone(alone)
    prepared = lab.runner._data(configs[0].data)
    for job in together:
        job.folder.mkdir(parents=True)
    runs = [Run.build(job, prepared) for job in together]
    for _ in range(2):
        group = LaneGroup(runs, StackedLanes)
        group.train_epoch(lambda: False)
    LaneGroup(runs).train_epoch(lambda: False)  # and the state is one that other steps go on from
    for one, other in zip(alone, together, strict=True):
        difference = largest_difference(weights(one, 3), weights(other, 3))
        assert difference < 1e-10


def test_dropout_of_stacked_lanes_takes_a_rate_for_each() -> None:
    layer = LaneDropout(Dropout(0.5))
    keep_T = torch.tensor([0.9, 0.4])

    def dropped(keep: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"keep": keep}, (x,))

    torch.manual_seed(0)
    x_TBF = torch.func.vmap(dropped, randomness="different")(keep_T, torch.ones(2, 200, 100))
    assert (x_TBF > 0).double().mean(dim=(1, 2)).tolist() == pytest.approx([0.9, 0.4], abs=0.01)
    assert x_TBF.mean(dim=(1, 2)).tolist() == pytest.approx([1.0, 1.0], abs=0.02)
    whole = LaneDropout(ChannelDropout(0.5))(torch.ones(50, 8, 3, 3))
    assert all(len(channel.unique()) == 1 for row in whole for channel in row)
    assert torch.equal(layer.eval()(torch.ones(3)), torch.ones(3))


def test_gradients_in_another_order_of_memory_are_taken_as_they_are_meant(lab: Lab) -> None:
    crossed = {"kind": "python", "target": "mine.py:Crossed"}
    configs = [
        config_of(model=crossed, optimizer={"kind": "adam", "lr": lr}, train={"precision": "fp64"})
        for lr in (0.01, 0.002)
    ]
    alone, together = lab.jobs("alone", configs), lab.jobs("together", configs)
    lab.alone(alone)
    assert lab.together(together)[0][0][0].picked["step"] == "vmap"
    for one, other in zip(alone, together, strict=True):
        assert largest_difference(weights(one, 3), weights(other, 3)) < 1e-10


def test_one_model_for_all_lanes_needs_one_dropout_rate(lab: Lab) -> None:
    jobs = lab.jobs("x", [config_of(model=net(drop=rate)) for rate in (0.1, 0.2)])
    prepared = lab.runner._data(jobs[0].config.data)
    with pytest.raises(TapeError, match="the dropout rates of the lanes differ"):
        LaneGroup([Run.build(job, prepared) for job in jobs])


def test_lanes_with_different_rules_are_not_stacked(lab: Lab) -> None:
    jobs = lab.jobs("x", [config_of(), config_of(optimizer={"kind": "sgd", "lr": 0.1})])
    prepared = lab.runner._data(jobs[0].config.data)
    with pytest.raises(TapeError, match="one rule"):
        LaneGroup([Run.build(job, prepared) for job in jobs], StackedLanes)


@pytest.mark.gpu
@pytest.mark.parametrize("model", (mlp(dropout=0.2), {"kind": "convnet", "depth": 1, "width": 4}))
def test_lanes_on_a_gpu_learn_through_a_graph(lab: Lab, model: dict[str, Any]) -> None:
    configs = [config_of(model=model, train={"device": "cuda", "epochs": 5}) for _ in range(8)]
    jobs = [replace(job, device="cuda:0") for job in lab.jobs("together", configs)]
    results = lab.together(jobs)
    assert [end.outcome for _, end in results.values()] == [Outcome.COMPLETED] * 8
    assert results[0][0][0].picked["step"] == "stacked, CUDA graph"
    assert min(epochs[-1].metrics["val/accuracy"] for epochs, _ in results.values()) > 0.8


def test_a_lane_can_be_resumed_alone_and_a_run_in_a_lane(lab: Lab) -> None:
    configs = [config_of(model=mlp(dropout=0.2), optimizer=optimizer) for optimizer in OPTIMIZERS[:2]]
    straight = lab.jobs("straight", configs)
    expected = lab.alone(straight)

    moved = lab.jobs("moved", configs)
    first = lab.together(moved, lambda _: Decision.PAUSE)
    assert [end.outcome for _, end in first.values()] == [Outcome.PAUSED] * 2
    moved = [resumed(job, first[job.trial][0]) for job in moved]
    second = lab.together(moved[:1], lambda _: Decision.PAUSE)  # alone
    moved[0] = resumed(moved[0], second[0][0])
    third = lab.together(moved)  # and among others, which are at another epoch
    assert metrics([*first[0][0], *second[0][0], *third[0][0]]) == metrics(expected[0][0])
    assert metrics([*first[1][0], *third[1][0]]) == metrics(expected[1][0])
    for one, other in zip(straight, moved, strict=True):
        assert largest_difference(weights(one, 3), weights(other, 3)) == 0.0


def resumed(job: TrainJob, epochs: Sequence[EpochEnd]) -> TrainJob:
    saved: list[Checkpoint] = [end.checkpoint for end in epochs if end.checkpoint is not None]
    known = [*job.checkpoints, *saved]
    kept = [item for item in known if item.epoch in epochs[-1].kept]
    return replace(job, attempt=job.attempt + 1, checkpoints=tuple(sorted(kept, key=lambda item: -item.epoch)))


def test_a_lane_that_is_stopped_makes_room_for_another_and_the_others_notice_nothing(lab: Lab) -> None:
    configs = [config_of(train={"epochs": 4}) for _ in range(4)]
    expected = lab.alone(lab.jobs("alone", configs))
    jobs = lab.jobs("together", configs)
    waiting = [jobs[3]]

    def decide(end: EpochEnd) -> Decision:
        return Decision.STOP if (end.trial, end.epoch) == (1, 2) else Decision.CONTINUE

    def join(ends: Sequence[TrialEnd]) -> Sequence[TrainJob]:
        return [waiting.pop()] if waiting and any(end.trial == 1 for end in ends) else []

    results = lab.together(jobs[:3], decide, join)
    assert {trial: end.outcome for trial, (_, end) in results.items()} == {
        0: Outcome.COMPLETED,
        1: Outcome.STOPPED,
        2: Outcome.COMPLETED,
        3: Outcome.COMPLETED,
    }
    for trial in (0, 2, 3):
        assert metrics(results[trial][0]) == metrics(expected[trial][0])
    assert metrics(results[1][0]) == metrics(expected[1][0])[:2]


def test_a_lane_stops_early_or_diverges_without_the_others(lab: Lab) -> None:
    configs = [
        config_of(train={"epochs": 6, "early_stopping": {"patience": 1, "min_delta": 0.5}}),
        config_of(optimizer={"kind": "sgd", "lr": 1e30}),
        config_of(),
    ]
    results = lab.together(lab.jobs("together", configs))
    assert [results[trial][1].outcome for trial in range(3)] == [
        Outcome.EARLY_STOPPED,
        Outcome.DIVERGED,
        Outcome.COMPLETED,
    ]
    assert math.isnan(results[1][0][-1].metrics["val/accuracy"])
    assert metrics(results[2][0]) == metrics(lab.alone(lab.jobs("alone", configs)[2:])[2][0])


def test_a_model_that_vmap_refuses_goes_on_one_at_a_time_and_says_so(lab: Lab) -> None:
    jobs = lab.jobs("together", [config_of(model=net(refuses=True)) for _ in range(2)])
    results = lab.together(jobs)
    assert [end.outcome for _, end in results.values()] == [Outcome.COMPLETED] * 2
    assert metrics(results[0][0]) == metrics(lab.alone(lab.jobs("alone", [jobs[0].config]))[0][0])
    log = (jobs[1].folder / "log.txt").read_text()
    assert "2 lanes do not work" in log
    assert "going on with 1" in log


def test_lanes_go_on_together_when_the_one_that_fails_has_ended(lab: Lab) -> None:
    kinds = [{"kind": "python", "target": "mine.py:Faulty"}, {"kind": "sgd", "lr": 0.1}, {"kind": "adam"}]
    results = lab.together(lab.jobs("together", [config_of(optimizer=kind) for kind in kinds]))
    assert [results[trial][1].outcome for trial in range(3)] == [Outcome.CRASHED, *[Outcome.COMPLETED] * 2]
    assert [results[trial][0][0].picked["lanes"] for trial in (1, 2)] == ["2", "2"]


def n_open() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_hundreds_of_lanes_keep_few_files_open(lab: Lab) -> None:
    jobs = [replace(lab.jobs("logs", [config_of()])[0], trial=trial) for trial in range(200)]
    jobs = [replace(job, folder=job.folder.parent / str(job.trial)) for job in jobs]
    logs, before = TrialLogs(), n_open()
    for job in [*jobs, *jobs]:
        logs.begin(job)
    assert n_open() - before <= 2 * MAX_OPEN
    logs.close()
    assert n_open() == before
    assert [len((job.folder / "log.txt").read_text().splitlines()) for job in jobs] == [2] * 200


def test_a_group_that_runs_out_of_memory_goes_on_in_halves(lab: Lab) -> None:
    jobs = lab.jobs("together", [config_of(model=net(memory=2), train={"epochs": 2}) for _ in range(4)])
    results = lab.together(jobs)
    assert [end.outcome for _, end in results.values()] == [Outcome.COMPLETED] * 4
    assert "4 lanes do not work" in (jobs[3].folder / "log.txt").read_text()
    assert results[0][0][0].picked["lanes"] == "2"


def test_a_job_that_has_no_memory_beside_the_others_begins_when_one_of_them_has_ended(lab: Lab) -> None:
    configs = [config_of(model=net(places=2), train={"epochs": epochs}) for epochs in (2, 4, 2)]
    jobs = lab.jobs("together", configs)
    results = lab.together(jobs)
    assert [(len(epochs), end.outcome) for epochs, end in results.values()] == [
        (2, Outcome.COMPLETED),
        (4, Outcome.COMPLETED),
        (2, Outcome.COMPLETED),
    ]
    assert "no memory beside 2 lanes (" in (jobs[2].folder / "log.txt").read_text()


def test_a_job_that_cannot_begin_does_not_hold_the_others_up(lab: Lab) -> None:
    bad = config_of(data={**DIGITS, "batch_size": 1}, model=mlp(norm="batch"))
    jobs = lab.jobs("together", [config_of(), config_of()])
    broken = replace(lab.jobs("broken", [bad])[0], trial=7)
    results = lab.together([*jobs, broken])
    assert results[7][1].outcome is Outcome.INFEASIBLE
    assert [results[trial][1].outcome for trial in (0, 1)] == [Outcome.COMPLETED] * 2


def test_an_abort_ends_all_lanes(lab: Lab) -> None:
    jobs = lab.jobs("together", [config_of() for _ in range(3)])

    def decide(_: EpochEnd) -> Decision:
        lab.abort = True
        return Decision.CONTINUE

    results = lab.together(jobs, decide)
    assert [end.outcome for _, end in results.values()] == [Outcome.ABORTED] * 3
    assert all(len(epochs) == 1 for epochs, _ in results.values())


def test_a_checkpoint_of_a_lane_holds_that_lane_alone(lab: Lab) -> None:
    configs = [config_of(train={"epochs": 1}) for _ in range(4)]
    alone, together = lab.jobs("alone", configs), lab.jobs("together", configs)
    lab.alone(alone)
    lab.together(together)
    sizes = [(job.folder / "epoch-00001.pt").stat().st_size for job in (alone[0], together[0])]
    assert sizes[0] == sizes[1]


def test_trials_of_different_shapes_are_no_program(lab: Lab) -> None:
    narrow, wide = lab.jobs("x", [config_of(), config_of(model=mlp(width=17))])
    prepared = lab.runner._data(narrow.config.data)
    with pytest.raises((RuntimeError, TapeError)):
        LaneGroup([Run.build(narrow, prepared), Run.build(wide, prepared)]).train_epoch(lambda: False)
    with_dropout = lab.jobs("x", [config_of(model=mlp(dropout=0.1))])[0]
    with pytest.raises(MergeError):
        LaneGroup([Run.build(narrow, prepared), Run.build(with_dropout, prepared)]).train_epoch(lambda: False)


def operand(*shape: int, is_aligned: bool = True) -> Operand:
    return Operand(meta=Meta.of(torch.empty(shape)), is_aligned=is_aligned)


def test_a_product_is_stacked_where_it_has_the_bits_of_a_call_a_lane() -> None:
    operands = (operand(32, 64), operand(64, 16))
    assert stacks_exactly(torch.mm, torch.bmm, operands, 3)
    assert not stacks_exactly(torch.mm, lambda a, b: torch.bmm(a, b) * 1.0000002, operands, 3)


@pytest.mark.parametrize("is_aligned", (True, False))
def test_a_stacked_product_is_compared_with_lanes_in_memory_of_their_own(*, is_aligned: bool) -> None:
    addresses: set[int] = set()

    def alone(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        addresses.add(x.data_ptr() % 64)
        return torch.mm(x, w)

    def together(x_T: torch.Tensor, w_T: torch.Tensor) -> torch.Tensor:
        assert (x_T[1].data_ptr() % 64 == 0) is is_aligned
        return torch.stack([torch.mm(x.clone(), w.clone()) for x, w in zip(x_T, w_T, strict=True)])

    assert stacks_exactly(alone, together, (operand(33, 5, is_aligned=is_aligned), operand(5, 7)), 3)
    assert addresses == {0}


def test_lanes_of_weights_begin_where_weights_of_one_run_do() -> None:
    lanes = [torch.randn(5, 7) for _ in range(3)]
    whole = stacked_apart(lanes)
    assert torch.equal(whole, torch.stack(lanes))
    assert [lane.data_ptr() % 64 for lane in whole] == [0, 0, 0]
    assert stacked_apart([torch.tensor(0.0), torch.tensor(1.0)]).tolist() == [0.0, 1.0]


def test_lanes_are_measured_beside_a_run_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_probe, "LARGE_STEP_S", 1.0)  # a step of a busy machine counts as large else
    (job,) = lab.jobs("x", [config_of()])
    measured = lab.runner.measure_lanes(LanesRequest(job=job, sizes=(2, 4)))
    assert set(measured.step_seconds) == {1, 2, 4}
    assert all(0.0 < seconds < 1.0 for seconds in measured.step_seconds.values())
    assert not job.folder.exists()


def test_a_model_that_fails_is_not_measured(lab: Lab) -> None:
    job = replace(lab.jobs("x", [config_of()])[0], config=config_of(model=net(memory=-1)))
    assert lab.runner.measure_lanes(LanesRequest(job=job, sizes=(2,))).step_seconds == {}


@pytest.mark.parametrize(
    ("change", "shares"),
    (
        ({"optimizer": {"kind": "sgd", "lr": 1.0}}, True),
        ({"schedule": {"kind": "cosine"}}, True),
        ({"train": {"epochs": 9, "grad_clip": 1.0}}, True),
        ({"model": mlp(width=17)}, False),
        ({"model": mlp(dropout=0.1)}, False),
        ({"data": {**DIGITS, "batch_size": 64}}, False),
        ({"train": {"batches_per_epoch": 3}}, False),
        ({"loss": {"kind": "auto", "label_smoothing": 0.1}}, False),
    ),
)
def test_what_lanes_share_is_what_fixes_the_program(*, change: dict[str, Any], shares: bool) -> None:
    assert (lane_key(config_of(**change)) == lane_key(config_of())) is shares


def test_lanes_on_a_gpu_share_the_rule_that_updates_them() -> None:
    kinds = [{"kind": "sgd", "lr": 0.1}, {"kind": "sgd", "lr": 0.2, "momentum": 0.9}, {"kind": "adam"}]
    assert len({lane_key(config_of(optimizer=kind), one_rule=True) for kind in kinds}) == 3
    rates = [{"kind": "adam", "lr": lr, "betas": [beta, 0.99]} for lr, beta in ((0.1, 0.9), (0.2, 0.8))]
    assert len({lane_key(config_of(optimizer=kind), one_rule=True) for kind in rates}) == 1
    assert fixed_params({"optimizer.kind": "sgd", "optimizer.lr": 0.1}, one_rule=True) == {"optimizer.kind": "sgd"}


def test_rates_may_differ_where_there_are_some() -> None:
    keys = {lane_key(config_of(model=mlp(dropout=[0.1, rate]))) for rate in (0.2, 0.3)}
    assert len(keys) == 1


def test_params_that_lanes_share_are_told_by_their_names() -> None:
    params = {
        "model.width.0": 8,
        "model.dropout.0": 0.1,
        "data.batch_size": 32,
        "optimizer.kind": "sgd",
        "optimizer.lr": 0.1,
        "train.epochs": 3,
        "train.batches_per_epoch": 5,
        "loss.label_smoothing": 0.1,
        "model.options.hidden": 3,
    }
    assert fixed_params(params) == {
        "model.width.0": 8,
        "data.batch_size": 32,
        "train.batches_per_epoch": 5,
        "model.options.hidden": 3,
    }
