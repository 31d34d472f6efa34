"""The training loop: the same numbers however often it is paused, and a name for every way it can end."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tuner.config.schema import TrialConfig
from tuner.errors import ConfigError, VerificationError
from tuner.execution.protocol import EvaluateRequest, Evaluation, PrepareRequest
from tuner.execution.runner import Runner
from tuner.optim.schedules import lr_at
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob

BASE: dict[str, Any] = {
    "objective": {"metric": "accuracy"},
    "data": {"kind": "iris", "batch_size": 16},
    "model": {"kind": "mlp", "depth": 1, "width": 8},
    "loss": {"kind": "auto"},
    "optimizer": {"kind": "adam", "lr": 0.02},
    "schedule": {"kind": "constant"},
    "train": {"epochs": 4, "device": "cpu"},
}
DIABETES = {"kind": "diabetes", "batch_size": 64}
SMALL_DIGITS = {"kind": "digits", "batch_size": 64, "split": {"val": 200, "test": 1000}}

SOURCE = """
import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

class Noisy(Dataset):
    def __len__(self):
        return 60
    def __getitem__(self, i):
        x = torch.full((4,), float(i % 3)) + torch.rand(4) + random.random() + float(np.random.rand())
        return x, i % 3

class Signs(torch.optim.Optimizer):
    # Steps by the sign of a mean; evaluation is with half of the weights.
    def __init__(self, params, lr, beta=0.9, lasting=None):
        super().__init__(params, {"lr": lr, "beta": beta, "n_steps": 0, "mode": "train"})
        self.lasting = lasting
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            assert group["mode"] == "train"
            group["n_steps"] += 1
            for param in group["params"]:
                state = self.state[param]
                mean = state.setdefault("mean", torch.zeros_like(param))
                state["share"] = np.float64(1 / group["n_steps"])
                if self.lasting:
                    state["lasting"] = Noisy()
                mean.lerp_(param.grad, 1 - group["beta"])
                param.sub_(mean.sign(), alpha=group["lr"] / group["n_steps"])
    def _scale(self, mode, factor):
        for group in self.param_groups:
            if group["mode"] != mode:
                group["mode"] = mode
                for param in group["params"]:
                    param.data.mul_(factor)
    def train(self):
        self._scale("train", 2.0)
    def eval(self):
        self._scale("eval", 0.5)

class Sometimes:
    def __init__(self, chance):
        self.chance = chance
    def __call__(self, outputs, targets):  # not the same at every step
        factor = 2.0 if random.random() < self.chance and outputs.requires_grad else 1.0
        return factor * nn.functional.cross_entropy(outputs, targets)

class Closed(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
    def step(self, closure):
        return closure()

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs, mode=""):
        super().__init__()
        self.mode, self.calls = mode, 0
        self.head = nn.Linear(input_shape[0], n_outputs)
        if mode == "numpy init":
            with torch.no_grad():
                self.head.weight.copy_(torch.from_numpy(np.random.rand(*self.head.weight.shape)))
    def forward(self, x):
        self.calls += 1
        return getattr(self, "_" + self.mode.replace(" ", "_"), self._plain)(x)
    def _plain(self, x):
        return self.head(x)
    def _stochastic(self, x):
        gate = float(random.random() < 0.7) * float(np.random.rand()) + torch.rand(())
        return self.head(x) * gate if self.training else self.head(x)
    def _draws_in_evaluation(self, x):
        return self.head(x) + torch.randn(len(x), self.head.out_features)
    def _crash(self, x):
        if self.training:
            raise ValueError("no such thing")
        return self.head(x)
    def _crash_in_evaluation(self, x):
        raise ValueError("no evaluation")
    def _wrong_shape(self, x):
        if self.training:
            return self.head(x[:, :1])
        return self.head(x)
    def _gpu_memory(self, x):
        if self.training:
            raise torch.OutOfMemoryError
        return self.head(x)
    def _host_memory(self, x):
        if self.training:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes\\ntrace")
        return self.head(x)
    def _exit(self, x):
        if self.training:
            raise SystemExit(3)
        return self.head(x)
    def _nan_in_training(self, x):
        y = self.head(x)
        return y * float("nan") if self.training else torch.nan_to_num(y)
    def _inf_in_validation(self, x):
        y = self.head(x)
        return y if self.training else y.sign() * 3e38
"""


def config_of(**sections: dict[str, Any]) -> TrialConfig:
    merged = {name: {**BASE[name], **section} if name == "train" else section for name, section in sections.items()}
    return TrialConfig.model_validate({**BASE, **merged})


def python_model(mode: str) -> dict[str, Any]:
    return {"kind": "python", "target": "mine.py:Net", "options": {"mode": mode}}


class Lab:
    """A runner with its folder; trains jobs as a driver would, with every checkpoint acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(textwrap.dedent(SOURCE))
        self.abort = False
        self.runner = Runner(lambda: self.abort)

    def job(self, name: str, config: TrialConfig, *, seed: int = 11, maximize: bool = True) -> TrainJob:
        return TrainJob(
            trial=3,
            attempt=1,
            seed=seed,
            config=config,
            metric=f"val/{config.objective.metric}",
            maximize=maximize,
            checkpoints=(),
            folder=self.folder / name,
            base_dir=self.folder,
            threads=1,
            device="cpu",
        )

    def prepare(self, config: TrialConfig) -> PrepareRequest:
        request = PrepareRequest(
            config=config,
            metric=config.objective.metric,
            seed=config.seed,
            base_dir=self.folder,
            data_dir=self.folder / "data",
            threads=1,
        )
        self.runner.prepare(request)
        return request

    def train(
        self, job: TrainJob, decide: Callable[[EpochEnd], Decision] = lambda _: Decision.CONTINUE
    ) -> tuple[list[EpochEnd], TrialEnd]:
        self.prepare(job.config)
        run = self.runner.run(job)
        ends = []
        try:
            end = next(run)
            while True:
                ends.append(end)
                end = run.send(decide(end))
        except StopIteration as stop:
            return ends, stop.value

    def train_with_pauses(self, job: TrainJob, at: set[int]) -> tuple[list[EpochEnd], TrialEnd]:
        """As `train`, but in a new run after each epoch of `at`."""
        ends: list[EpochEnd] = []
        while True:
            more, end = self.train(job, lambda end: Decision.PAUSE if end.epoch in at else Decision.CONTINUE)
            ends += more
            if end.outcome is not Outcome.PAUSED:
                return ends, end
            job = replace(job, attempt=job.attempt + 1, checkpoints=recorded(ends))

    def evaluate(self, job: TrainJob, ends: list[EpochEnd], epoch: int) -> Evaluation:
        return self.runner.evaluate(
            EvaluateRequest(
                prepare=self.prepare(job.config),
                job=replace(job, checkpoints=recorded(ends)),
                epoch=epoch,
                weights=self.folder / "weights.pt",
            )
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    torch.set_num_threads(1)
    return Lab(tmp_path)


def recorded(ends: list[EpochEnd]) -> tuple[Checkpoint, ...]:
    saved = {end.epoch: end.checkpoint for end in ends if end.checkpoint is not None}
    return tuple(saved[epoch] for epoch in sorted(saved, reverse=True))


def final_state(job: TrainJob, ends: list[EpochEnd]) -> dict[str, Any]:
    saved = ends[-1].checkpoint
    assert saved is not None
    state: dict[str, Any] = torch.load(job.folder / saved.file, weights_only=True)
    return state


def is_same(one: Any, other: Any) -> bool:
    """Equal to the bit, through mappings and sequences."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def assert_same_run(straight: tuple[TrainJob, list[EpochEnd]], paused: tuple[TrainJob, list[EpochEnd]]) -> None:
    assert [end.epoch for end in paused[1]] == [end.epoch for end in straight[1]]
    assert [end.metrics for end in paused[1]] == [end.metrics for end in straight[1]]
    assert is_same(final_state(*straight), final_state(*paused))


@pytest.mark.parametrize("accumulate", (1, 2))
def test_the_balance_of_experts_weighs_as_much_where_gradients_are_scaled(lab: Lab, accumulate: int) -> None:
    def router(precision: str, balance: float) -> torch.Tensor:
        config = config_of(
            model={"kind": "moe", "depth": 1, "width": 4, "n_experts": 3, "balance": balance},
            optimizer={"kind": "sgd", "lr": 0.5},
            train={"precision": precision, "epochs": 1, "batches_per_epoch": 2, "accumulate": accumulate},
        )
        job = lab.job(f"{precision} {balance}", config)
        weights = final_state(job, lab.train(job)[0])["model"]
        return torch.cat([weight.flatten() for name, weight in weights.items() if "router" in name])

    plain, scaled = (router(precision, 0.05) - router(precision, 0.0) for precision in ("fp32", "fp16"))
    largest = float(plain.abs().max())
    assert largest > 1e-3
    torch.testing.assert_close(scaled, plain, rtol=0.0, atol=0.1 * largest)


# ------------------------------------------------------------------------------------------------ pauses change nothing

NOISY = {"kind": "python", "target": "mine.py:Noisy", "batch_size": 8}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "sgd": {"optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}},
    "adam": {"optimizer": {"kind": "adam", "lr": 0.02, "amsgrad": True}},
    "adamw": {"optimizer": {"kind": "adamw", "lr": 0.02, "weight_decay": 0.1}},
    "rmsprop": {"optimizer": {"kind": "rmsprop", "lr": 0.01, "momentum": 0.5, "centered": True}},
    "adagrad": {"optimizer": {"kind": "adagrad", "lr": 0.05, "lr_decay": 0.01}},
    "nadam": {"optimizer": {"kind": "nadam", "weight_decay": 0.1}, "train": {"precision": "fp64"}},
    "radam": {"optimizer": {"kind": "radam", "lr": 0.02}},
    "adamax": {"optimizer": {"kind": "adamax"}},
    "adadelta": {"optimizer": {"kind": "adadelta"}},
    "asgd": {"optimizer": {"kind": "asgd", "t0": 5.0}, "schedule": {"kind": "cosine"}},
    "rprop": {"optimizer": {"kind": "rprop"}, "data": {"kind": "iris", "batch_size": 120}},
    "adafactor": {"optimizer": {"kind": "adafactor"}},
    "muon": {"optimizer": {"kind": "muon", "lr": 0.02}, "model": {"kind": "mlp", "depth": 3, "width": 8}},
    "decay of weights only": {"optimizer": {"kind": "adamw", "weight_decay": 0.5, "decay": "weights"}},
    "own optimizer": {"optimizer": {"kind": "python", "target": "mine.py:Signs", "options": {"beta": 0.8}}},
    "balanced classes": {"loss": {"kind": "auto", "class_weights": "balanced", "label_smoothing": 0.1}},
    "focal": {"loss": {"kind": "focal", "gamma": 1.5, "alpha": [0.5, 1.0, 2.0]}},
    "hinge": {"loss": {"kind": "hinge", "p": 2}},
    "huber": {"data": DIABETES, "objective": {"metric": "rmse"}, "loss": {"kind": "huber", "delta": 20.0}},
    "poisson": {"data": DIABETES, "objective": {"metric": "rmse"}, "loss": {"kind": "poisson"}},
    "own loss": {"loss": {"kind": "python", "target": "mine.py:Sometimes", "options": {"chance": 0.5}}},
    "bf16": {"train": {"precision": "bf16"}},
    "fp16 with a scaler, over batches": {"train": {"precision": "fp16", "accumulate": 3, "grad_clip": 1.0}},
    "fp16 with two optimizers": {"train": {"precision": "fp16"}, "optimizer": {"kind": "muon"}},
    "accumulation": {"train": {"accumulate": 3, "grad_clip_value": 0.05}, "schedule": {"kind": "cosine"}},
    "ema": {
        "train": {"averaging": {"kind": "ema", "decay": 0.9}},
        "model": {"kind": "mlp", "width": 8, "norm": "batch", "dropout": 0.3},
    },
    "ema from the third epoch": {"train": {"averaging": {"kind": "ema", "start_epoch": 3}}},
    "swa": {
        "train": {"averaging": {"kind": "swa", "start_epoch": 2, "lr": 0.1, "anneal_epochs": 2}},
        "model": {"kind": "mlp", "width": 8, "norm": "batch", "dropout": 0.3},
        "schedule": {"kind": "plateau", "patience": 0},
    },
    "swa of a user's model": {
        "train": {"averaging": {"kind": "swa", "start_epoch": 2}},
        "model": python_model("stochastic"),
    },
    "cosine": {"schedule": {"kind": "cosine"}},
    "one_cycle": {"schedule": {"kind": "one_cycle"}},
    "step": {"schedule": {"kind": "step", "step_size": 1, "gamma": 0.5}},
    "exponential": {"schedule": {"kind": "exponential"}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 0, "factor": 0.5}},
    "warm-up": {"schedule": {"kind": "cosine", "warmup_epochs": 1.5}},
    "mlp with dropout and batch norm": {"model": {"kind": "mlp", "width": 8, "dropout": 0.3, "norm": "batch"}},
    "convnet": {
        "data": SMALL_DIGITS,
        "model": {"kind": "convnet", "depth": 1, "width": 4, "head_width": 8, "dropout": 0.2},
    },
    "python model that draws from every generator": {"model": python_model("stochastic")},
    "augmented and mixed images": {
        "data": SMALL_DIGITS | {"augment": {"kind": "randaugment", "mixup": 0.4, "cutmix": 1.0}},
        "model": {"kind": "mlp", "width": 4, "depth": 1},
    },
    "random augmentation": {"data": NOISY, "model": {"kind": "mlp", "width": 4, "dropout": 0.2}},
    "regression": {"data": DIABETES, "objective": {"metric": "rmse"}},
    "clipping": {"train": {"grad_clip": 0.1, "batches_per_epoch": 3}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_paused_after_every_epoch_is_bit_identical_to_a_straight_one(lab: Lab, variant: str) -> None:
    config = config_of(**VARIANTS[variant])
    maximize = config.objective.metric == "accuracy"
    straight = lab.job("straight", config, maximize=maximize)
    paused = lab.job("paused", config, maximize=maximize)
    ends, end = lab.train(straight)
    paused_ends, paused_end = lab.train_with_pauses(paused, {1, 2, 3, 4})
    assert (end.outcome, paused_end.outcome) == (Outcome.COMPLETED, Outcome.COMPLETED)
    assert_same_run((straight, ends), (paused, paused_ends))
    assert len({end.metrics["train/loss"] for end in ends}) == 4  # it did learn something in every epoch


def test_the_users_optimizer_goes_on_with_its_state_and_is_evaluated_in_its_mode(lab: Lab) -> None:
    job = lab.job("job", config_of(**VARIANTS["own optimizer"]))
    ends, _ = lab.train(job)
    (group,) = final_state(job, ends)["optimizer"]["state"]["param_groups"]
    assert (group["n_steps"], group["beta"], group["mode"]) == (32, 0.8, "eval")
    assert lab.evaluate(job, ends, 4).metrics["val/loss"] == ends[-1].metrics["val/loss"]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    (
        ({"target": "mine.py:Closed"}, "its step needs closure; tuner calls step"),
        ({"target": "mine.py:Noisy", "options": {}}, "'mine.py:Noisy' cannot be called"),
        ({"target": "mine.py:Signs", "options": {"bta": 0.5}}, "unexpected keyword argument 'bta'"),
        ({"target": "torch.nn:ParameterList"}, "must return a torch.optim.Optimizer, got ParameterList"),
    ),
    ids=("closure", "no parameters", "unknown option", "no optimizer"),
)
def test_what_is_no_optimizer_is_refused_before_anything_runs(
    lab: Lab, optimizer: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        lab.prepare(config_of(optimizer={"kind": "python", **optimizer}))
    assert message in str(caught.value)


def test_a_state_of_the_users_optimizer_that_would_not_load_again_is_refused(lab: Lab) -> None:
    optimizer = {"kind": "python", "target": "mine.py:Signs", "options": {"lasting": True}}
    _, end = lab.train(lab.job("job", config_of(optimizer=optimizer)))
    assert "state['state'][0]['lasting']: a Noisy would not load again" in end.message


@settings(max_examples=12, deadline=None)
@given(at=st.sets(st.integers(1, 6)), patience=st.none() | st.integers(1, 3))
def test_it_does_not_matter_after_which_epochs_a_run_pauses(
    tmp_path_factory: pytest.TempPathFactory, at: set[int], patience: int | None
) -> None:
    torch.set_num_threads(1)
    lab = Lab(tmp_path_factory.mktemp("lab"))
    stopping = {"early_stopping": {"patience": patience}} if patience else {}
    config = config_of(
        schedule={"kind": "plateau", "patience": 1},
        model={"kind": "mlp", "width": 8, "dropout": 0.4, "norm": "batch"},
        train={"epochs": 6, **stopping},
    )
    straight, paused = lab.job("straight", config), lab.job("paused", config)
    ends, end = lab.train(straight)
    paused_ends, paused_end = lab.train_with_pauses(paused, at)
    assert paused_end.outcome is end.outcome
    assert_same_run((straight, ends), (paused, paused_ends))


def test_a_job_whose_epochs_are_all_recorded_ends_without_training(lab: Lab) -> None:
    job = lab.job("job", config_of())
    ends, _ = lab.train(job)
    again, end = lab.train(replace(job, checkpoints=recorded(ends)))
    assert (again, end.outcome) == ([], Outcome.COMPLETED)


# -------------------------------------------------------------------------------------------------------- repeatability


def test_the_same_job_gives_the_same_numbers_and_another_seed_gives_others(lab: Lab) -> None:
    config = config_of(model={"kind": "mlp", "width": 8, "dropout": 0.3})
    one, other = lab.job("one", config), lab.job("other", config)
    first, again = lab.train(one)[0], lab.train(other)[0]
    assert_same_run((one, first), (other, again))
    seeded_otherwise = lab.train(lab.job("third", config, seed=12))[0]
    assert all(a.metrics["train/loss"] != b.metrics["train/loss"] for a, b in zip(first, seeded_otherwise, strict=True))


def test_initial_weights_drawn_from_numpy_follow_from_the_trials_seed(lab: Lab) -> None:
    config = config_of(model=python_model("numpy init"))
    jobs = [lab.job(name, config) for name in ("one", "two")]
    one, two = (lab.train(job)[0] for job in jobs)
    assert_same_run((jobs[0], one), (jobs[1], two))


def test_what_a_worker_trained_before_does_not_matter(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = config_of(data=NOISY, model={"kind": "mlp", "width": 8, "dropout": 0.3})
    lab.train(lab.job("before", config_of(), seed=1))
    torch.rand(7)
    after_another = lab.job("job", config)
    ends = lab.train(after_another)[0]
    fresh = Lab(tmp_path_factory.mktemp("fresh"))
    alone = fresh.job("job", config)
    assert_same_run((after_another, ends), (alone, fresh.train(alone)[0]))


def test_training_leaves_the_random_generators_of_its_process_as_they_were(lab: Lab) -> None:
    before = torch.get_rng_state()
    lab.train(lab.job("job", config_of(model={"kind": "mlp", "dropout": 0.5})))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_runner_can_serve_two_studies_with_other_splits(lab: Lab) -> None:
    one = config_of()
    two = one.model_copy(update={"seed": 99})
    first = lab.train(lab.job("one", one))[0]
    second = lab.train(lab.job("two", two))[0]
    assert [end.metrics for end in first] != [end.metrics for end in second]
    again = lab.train(lab.job("again", one))[0]
    assert [end.metrics for end in again] == [end.metrics for end in first]


# ------------------------------------------------------------------------------------------------------- the best epoch


@pytest.mark.parametrize(
    ("sections", "maximize"),
    (
        ({"train": {"epochs": 6}}, True),
        ({"objective": {"metric": "loss"}, "model": {"kind": "mlp", "norm": "batch", "dropout": 0.3}}, False),
        ({"data": DIABETES, "objective": {"metric": "r2"}, "optimizer": {"kind": "adam", "lr": 0.1}}, True),
        ({"data": NOISY, "model": python_model("draws in evaluation")}, True),
    ),
    ids=("accuracy", "loss", "regression", "noise in data and model"),
)
def test_the_kept_best_epoch_evaluates_to_exactly_the_stored_value(
    lab: Lab, sections: dict[str, Any], maximize: bool
) -> None:
    job = lab.job("job", config_of(**sections), maximize=maximize)
    ends, _ = lab.train(job)
    values = [end.metrics[job.metric] for end in ends]
    best = values.index((max if maximize else min)(values)) + 1
    evaluation = lab.evaluate(job, ends, best)
    stored = {name: value for name, value in ends[best - 1].metrics.items() if name != "train/loss"}
    assert {name: evaluation.metrics[name] for name in stored} == stored
    assert {name.partition("/")[0] for name in evaluation.metrics} == {"val", "test"}
    weights = torch.load(lab.folder / "weights.pt", weights_only=True)
    saved = ends[best - 1].checkpoint
    assert saved is not None
    assert is_same(dict(weights), dict(torch.load(job.folder / saved.file, weights_only=True)["model"]))


def test_early_stopping_ends_the_run_and_keeps_the_first_of_equal_epochs(lab: Lab) -> None:
    config = config_of(optimizer={"kind": "sgd", "lr": 1e-30}, train={"epochs": 9, "early_stopping": {"patience": 3}})
    job = lab.job("job", config)
    ends, end = lab.train(job)
    assert len({end.metrics["val/accuracy"] for end in ends}) == 1
    assert (len(ends), end.outcome) == (4, Outcome.EARLY_STOPPED)
    assert sorted(path.name for path in job.folder.glob("*.pt")) == [f"epoch-0000{n}.pt" for n in (1, 3, 4)]
    assert lab.evaluate(job, ends, 1).metrics["val/accuracy"] == ends[0].metrics["val/accuracy"]


def test_improvements_below_min_delta_do_not_keep_a_run_alive(lab: Lab) -> None:
    objective = {"metric": "loss"}
    slow = {"kind": "sgd", "lr": 1e-3}
    strict = config_of(objective=objective, optimizer=slow, train={"early_stopping": {"patience": 2, "min_delta": 0.5}})
    job = lab.job("strict", strict, maximize=False)
    ends, end = lab.train(job)
    assert (len(ends), end.outcome) == (3, Outcome.EARLY_STOPPED)
    assert ends[2].metrics["val/loss"] < ends[0].metrics["val/loss"]
    lenient = config_of(objective=objective, optimizer=slow, train={"early_stopping": {"patience": 2}})
    assert lab.train(lab.job("lenient", lenient, maximize=False))[1].outcome is Outcome.COMPLETED


def test_weights_that_are_not_stored_or_were_changed_are_not_evaluated(lab: Lab) -> None:
    job = lab.job("job", config_of())
    ends, _ = lab.train(job)
    with pytest.raises(VerificationError, match="trial 3 has no stored weights of epoch 9"):
        lab.evaluate(job, ends, 9)
    path = job.folder / "epoch-00004.pt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VerificationError, match=r"the weights of trial 3 cannot be trusted: .*its checksum is not"):
        lab.evaluate(job, ends, 4)


def test_a_model_that_fails_when_it_is_evaluated_again_is_a_verification_error_with_its_place(lab: Lab) -> None:
    job = lab.job("job", config_of(model=python_model("")))
    ends, _ = lab.train(job)
    broken = replace(job, config=config_of(model=python_model("crash in evaluation")))
    with pytest.raises(VerificationError) as caught:
        lab.evaluate(broken, ends, 4)
    place = f"{lab.folder / 'mine.py'}:{line_of('no evaluation')}"
    assert str(caught.value) == f"trial 3 cannot be evaluated again: ValueError: no evaluation, in {place}"


# ----------------------------------------------------------------------------------------------------------- divergence


def assert_diverged(lab: Lab, job: TrainJob) -> EpochEnd:
    ends, end = lab.train(job)
    assert end.outcome is Outcome.DIVERGED
    last = ends[-1]
    assert last.checkpoint is None
    assert math.isnan(last.metrics[job.metric])
    assert not (job.folder / f"epoch-{last.epoch:05d}.pt").exists()
    line = json.loads((job.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert (line["epoch"], line[job.metric]) == (last.epoch, None)
    return last


@pytest.mark.parametrize(("metric", "maximize"), (("loss", False), ("rmse", False), ("r2", True)))
def test_a_learning_rate_that_is_far_too_high_diverges(lab: Lab, metric: str, maximize: bool) -> None:
    config = config_of(objective={"metric": metric}, data=DIABETES, optimizer={"kind": "sgd", "lr": 1e6})
    assert_diverged(lab, lab.job("job", config, maximize=maximize))


@pytest.mark.parametrize("mode", ("nan in training", "inf in validation"))
def test_an_accuracy_beside_a_loss_that_is_not_finite_has_diverged(lab: Lab, mode: str) -> None:
    last = assert_diverged(lab, lab.job("job", config_of(model=python_model(mode))))
    assert math.isfinite(last.metrics["val/balanced_accuracy"])


# ------------------------------------------------------------------------------------------------------------- outcomes


def outcome_of(lab: Lab, mode: str) -> TrialEnd:
    return lab.train(lab.job("job", config_of(model=python_model(mode))))[1]


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(textwrap.dedent(SOURCE).splitlines(), start=1) if text in line)


def test_a_crash_in_the_users_model_names_its_file_and_line_and_leaves_a_traceback(lab: Lab) -> None:
    end = outcome_of(lab, "crash")
    place = f"{lab.folder / 'mine.py'}:{line_of('no such thing')}"
    assert (end.trial, end.attempt, end.outcome) == (3, 1, Outcome.CRASHED)
    assert end.message == f"ValueError: no such thing, in {place}"
    assert end.cause == f"ValueError {place}"
    log = (lab.folder / "job" / "log.txt").read_text()
    assert "Traceback (most recent call last)" in log
    assert "ValueError: no such thing" in log


def test_a_crash_inside_torch_names_the_line_of_the_model_that_led_there(lab: Lab) -> None:
    end = outcome_of(lab, "wrong shape")
    assert end.outcome is Outcome.CRASHED
    assert end.message.startswith("RuntimeError: ")
    assert end.message.endswith(f", in {lab.folder / 'mine.py'}:{line_of('self.head(x[:, :1])')}")


def test_an_exit_in_the_users_model_is_a_crash_of_its_trial(lab: Lab) -> None:
    end = outcome_of(lab, "exit")
    assert end.outcome is Outcome.CRASHED
    assert end.message == f"SystemExit: 3, in {lab.folder / 'mine.py'}:{line_of('SystemExit(3)')}"


def test_running_out_of_memory_is_told_from_a_crash(lab: Lab) -> None:
    gpu = outcome_of(lab, "gpu memory")
    assert (gpu.outcome, gpu.message, gpu.cause) == (Outcome.OOM, "out of memory", "out of memory")
    host = outcome_of(lab, "host memory")
    assert (host.outcome, host.cause) == (Outcome.OOM, "out of memory")
    assert host.message == "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"


def test_a_config_that_cannot_be_built_is_infeasible(lab: Lab) -> None:
    config = config_of(
        data={"kind": "iris", "batch_size": 1}, model={"kind": "mlp", "depth": 1, "width": 4, "norm": "batch"}
    )
    ends, end = lab.train(lab.job("job", config))
    assert (ends, end.outcome) == ([], Outcome.INFEASIBLE)
    assert end.message == (
        "data.batch_size: 1 row has no variance for batch normalisation; use at least 2, or another norm"
    )
    assert end.message in (lab.folder / "job" / "log.txt").read_text()


def test_dropping_the_only_batch_is_infeasible_and_says_what_to_change(lab: Lab) -> None:
    config = config_of(data={"kind": "iris", "batch_size": 500, "drop_last": True})
    _, end = lab.train(lab.job("job", config))
    assert end.outcome is Outcome.INFEASIBLE
    assert end.message == (
        "data.drop_last: 120 rows for training make no full batch of data.batch_size 500; lower it, or set drop_last "
        "to false"
    )


def test_an_abort_ends_a_run_between_two_batches(lab: Lab) -> None:
    def decide(end: EpochEnd) -> Decision:
        lab.abort = end.epoch == 2
        return Decision.CONTINUE

    ends, end = lab.train(lab.job("job", config_of()), decide)
    assert (len(ends), end.outcome) == (2, Outcome.ABORTED)


def test_a_stop_ends_a_run_after_the_epoch(lab: Lab) -> None:
    ends, end = lab.train(lab.job("job", config_of()), lambda _: Decision.STOP)
    assert (len(ends), end.outcome) == (1, Outcome.STOPPED)


# ---------------------------------------------------------------------------------------------------- batches and steps


def n_steps(lab: Lab, name: str, data: dict[str, Any], train: dict[str, Any]) -> float:
    """Optimizer steps of one epoch, as Adam counts them itself."""
    job = lab.job(name, config_of(data=data, train={"epochs": 1, **train}))
    ends, end = lab.train(job)
    assert end.outcome is Outcome.COMPLETED, end.message
    return float(final_state(job, ends)["optimizer"]["state"][0]["step"])


def test_an_epoch_has_the_batches_that_the_config_asks_for(lab: Lab) -> None:  # iris: 120 rows for training
    assert n_steps(lab, "whole", {"kind": "iris", "batch_size": 50}, {}) == 3
    assert n_steps(lab, "full", {"kind": "iris", "batch_size": 50, "drop_last": True}, {}) == 2
    assert n_steps(lab, "limited", {"kind": "iris", "batch_size": 50}, {"batches_per_epoch": 1}) == 1
    assert n_steps(lab, "lone row", {"kind": "iris", "batch_size": 17}, {}) == 7  # 120 = 7 * 17 + 1
    assert n_steps(lab, "single", {"kind": "iris", "batch_size": 1}, {"batches_per_epoch": 5}) == 5


@pytest.mark.parametrize(
    "schedule",
    (
        {"kind": "cosine", "eta_min": 0.001},
        {"kind": "one_cycle"},
        {"kind": "exponential", "gamma": 0.5},
        {"kind": "constant", "warmup_epochs": 2.5},
    ),
    ids=lambda schedule: schedule["kind"],
)
def test_every_step_has_the_learning_rate_of_the_schedule(lab: Lab, schedule: dict[str, Any]) -> None:
    job = lab.job("job", config_of(schedule=schedule))
    ends, _ = lab.train(job, lambda end: Decision.STOP if end.epoch == 2 else Decision.CONTINUE)
    last_step = 2 * 8 - 1  # 120 rows in batches of 16
    expected = lr_at(job.config.schedule, base_lr=0.02, step=last_step, steps_per_epoch=8, epochs=4)
    assert final_state(job, ends)["optimizer"]["param_groups"][0]["lr"] == expected
    assert expected != 0.02


def test_a_schedule_counts_the_steps_that_batches_are_gathered_for(lab: Lab) -> None:
    job = lab.job("job", config_of(schedule={"kind": "cosine"}, train={"accumulate": 3}))
    ends, _ = lab.train(job, lambda end: Decision.STOP if end.epoch == 2 else Decision.CONTINUE)
    optimizer = final_state(job, ends)["optimizer"]
    assert optimizer["state"][0]["step"] == 2 * 3  # 8 batches an epoch: 3, 3 and 2
    expected = lr_at(job.config.schedule, base_lr=0.02, step=5, steps_per_epoch=3, epochs=4)
    assert optimizer["param_groups"][0]["lr"] == expected


def test_batches_that_are_gathered_train_as_one_large_batch(lab: Lab) -> None:
    def weights(batch_size: int, accumulate: int) -> dict[str, torch.Tensor]:
        train = {"accumulate": accumulate, "precision": "fp64"}
        data = {"kind": "iris", "batch_size": batch_size}
        job = lab.job(f"{batch_size}", config_of(data=data, train=train))
        ends, _ = lab.train(job)
        model: dict[str, torch.Tensor] = final_state(job, ends)["model"]
        return model

    large, gathered = weights(50, 1), weights(10, 5)  # 120 rows: the last step of an epoch has 20
    for name, tensor in large.items():
        torch.testing.assert_close(gathered[name], tensor)


@pytest.mark.parametrize("kind", ("ema", "swa"))
def test_the_averaged_weights_are_what_is_validated_and_kept(lab: Lab, kind: str) -> None:
    averaging = {"kind": kind, "start_epoch": 2}
    job = lab.job("job", config_of(train={"averaging": averaging}, model={"kind": "mlp", "width": 8, "norm": "batch"}))
    ends, _ = lab.train(job)
    state = final_state(job, ends)
    assert not is_same(state["model"], state["averaging"]["trained"])
    again = lab.evaluate(job, ends, 4).metrics
    assert {name: again[name] for name in ("val/loss", "val/accuracy")} == {
        name: ends[-1].metrics[name] for name in ("val/loss", "val/accuracy")
    }
    plain = lab.job("plain", config_of(model={"kind": "mlp", "width": 8, "norm": "batch"}))
    of_plain, _ = lab.train(plain)
    assert [end.metrics["train/loss"] for end in of_plain] == [end.metrics["train/loss"] for end in ends]
    assert of_plain[0].metrics == ends[0].metrics
    assert of_plain[3].metrics != ends[3].metrics
    assert is_same(final_state(plain, of_plain)["model"], state["averaging"]["trained"])


def test_an_average_that_would_begin_after_the_end_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"averaging\.start_epoch: 9 is after the last of 4 epochs"):
        config_of(train={"averaging": {"kind": "ema", "start_epoch": 9}})


def test_plateau_lowers_the_learning_rate_when_the_objective_stands_still(lab: Lab) -> None:
    config = config_of(
        optimizer={"kind": "sgd", "lr": 1e-6}, schedule={"kind": "plateau", "patience": 0, "factor": 0.5}
    )
    job = lab.job("job", config)
    ends, _ = lab.train(job)
    assert len({end.metrics["val/accuracy"] for end in ends}) == 1
    assert final_state(job, ends)["optimizer"]["param_groups"][0]["lr"] == 0.25e-6  # lowered after epochs 2, 3 and 4
    assert final_state(job, ends)["plateau"]["lr"] == 0.125e-6


def test_clipping_bounds_the_step_by_the_norm_of_the_gradient(lab: Lab) -> None:
    def moved(grad_clip: float | None) -> float:
        train = {"epochs": 2, "batches_per_epoch": 1, "grad_clip": grad_clip}
        config = config_of(
            data=DIABETES, objective={"metric": "mse"}, optimizer={"kind": "sgd", "lr": 1e-4}, train=train
        )
        job = lab.job(f"clip {grad_clip}", config, maximize=False)
        lab.train(job)
        one, two = (torch.load(job.folder / f"epoch-0000{n}.pt", weights_only=True)["model"] for n in (1, 2))
        return float(torch.cat([(two[name] - one[name]).flatten() for name in one]).norm())

    assert moved(0.05) == pytest.approx(0.05e-4, rel=1e-2)
    assert moved(None) > 0.05e-4 * 10
