from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from tuner.config.schema import (
    SCHEDULE_KINDS,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Plateau,
    Schedule,
    Step,
)
from tuner.optim.schedules import SHAPES, PlateauState, changes_within_epoch, lr_at

BASE_LR = 0.3
STEPS_PER_EPOCH, EPOCHS = 7, 6
N_STEPS = STEPS_PER_EPOCH * EPOCHS
Factory = Callable[[torch.optim.Optimizer], LRScheduler]


def sgd(lr: float = BASE_LR) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def ours(config: Schedule, n_steps: int = N_STEPS) -> list[float]:
    epochs = n_steps // STEPS_PER_EPOCH
    return [
        lr_at(config, base_lr=BASE_LR, step=step, steps_per_epoch=STEPS_PER_EPOCH, epochs=epochs)
        for step in range(n_steps)
    ]


def torchs(make: Factory, *, every: int = 1, n_steps: int = N_STEPS) -> list[float]:
    """The lr of every optimizer step under a torch scheduler that is stepped after each `every` of them."""
    optimizer = sgd()
    scheduler = make(optimizer)
    lrs = []
    for step in range(n_steps):
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < n_steps:
            scheduler.step()
    return lrs


def approx(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-12)


def test_every_kind_of_the_schema_has_a_shape() -> None:
    assert set(SHAPES) == set(SCHEDULE_KINDS)


def test_constant_is_the_base_lr() -> None:
    assert ours(Constant()) == [BASE_LR] * N_STEPS


@pytest.mark.parametrize("eta_min", (0.0, 0.01))
def test_cosine_is_torchs_stepped_per_batch(eta_min: float) -> None:
    assert ours(Cosine(eta_min=eta_min)) == approx(torchs(lambda o: CosineAnnealingLR(o, N_STEPS, eta_min)))


def test_step_is_torchs_stepped_per_epoch() -> None:
    expected = torchs(lambda o: StepLR(o, 2, 0.5), every=STEPS_PER_EPOCH)
    assert ours(Step(step_size=2, gamma=0.5)) == approx(expected)
    assert len(set(expected)) == 3


def test_exponential_is_torchs_stepped_per_epoch() -> None:
    expected = torchs(lambda o: ExponentialLR(o, 0.8), every=STEPS_PER_EPOCH)
    assert ours(Exponential(gamma=0.8)) == approx(expected)


@pytest.mark.parametrize("pct_start", (0.05, 0.3, 0.5, 0.9))
@pytest.mark.parametrize("n_steps", (STEPS_PER_EPOCH, N_STEPS))
def test_one_cycle_is_torchs_stepped_per_batch(pct_start: float, n_steps: int) -> None:
    config = OneCycle(pct_start=pct_start, div_factor=10.0, final_div_factor=100.0)
    expected = torchs(
        lambda o: OneCycleLR(
            o,
            BASE_LR,
            total_steps=n_steps,
            pct_start=pct_start,
            div_factor=10.0,
            final_div_factor=100.0,
            cycle_momentum=False,
        ),
        n_steps=n_steps,
    )
    assert ours(config, n_steps) == approx(expected)


def test_one_cycle_whose_rise_is_the_first_step_starts_at_the_peak() -> None:
    config = OneCycle(pct_start=0.5)  # torch divides by zero here
    lrs = [lr_at(config, base_lr=BASE_LR, step=step, steps_per_epoch=2, epochs=1) for step in range(2)]
    assert lrs == approx([BASE_LR, BASE_LR / 25.0 / 1e4])


@pytest.mark.parametrize(
    ("config", "proper"),
    (
        (Constant(warmup_epochs=1.5), lambda o, n: ConstantLR(o, factor=1.0, total_iters=n)),
        (Cosine(warmup_epochs=1.5), lambda o, n: CosineAnnealingLR(o, N_STEPS - n)),
        (
            Step(warmup_epochs=1.5, step_size=2, gamma=0.5),
            lambda o, n: StepLR(o, 2 * STEPS_PER_EPOCH, 0.5),
        ),
    ),
)
def test_warm_up_is_torchs_sequence_of_linear_and_the_schedule(
    config: Schedule, proper: Callable[[torch.optim.Optimizer, int], LRScheduler]
) -> None:
    n_warmup = 10  # 1.5 epochs of 7 steps, rounded to even
    expected = torchs(
        lambda o: SequentialLR(
            o,
            [LinearLR(o, start_factor=1 / (n_warmup + 1), total_iters=n_warmup), proper(o, n_warmup)],
            milestones=[n_warmup],
        )
    )
    assert ours(config) == approx(expected)
    assert expected[0] == pytest.approx(BASE_LR / 11)


def test_one_cycle_warms_up_to_where_it_starts() -> None:
    lrs = ours(OneCycle(warmup_epochs=1.0, div_factor=10.0))
    start = BASE_LR / 10.0
    assert lrs[: STEPS_PER_EPOCH + 1] == approx([start * step / 8 for step in range(1, 9)])


def test_a_warm_up_longer_than_the_run_only_rises() -> None:
    lrs = ours(Cosine(warmup_epochs=100.0))
    assert lrs == sorted(lrs)
    assert 0.0 < lrs[0] < lrs[-1] < BASE_LR


def test_a_step_beyond_the_end_keeps_the_last_value() -> None:
    for config in (Cosine(eta_min=0.01), OneCycle()):
        at_end, beyond = (
            lr_at(config, base_lr=BASE_LR, step=step, steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS)
            for step in (N_STEPS, N_STEPS + 5)
        )
        assert beyond == at_end < ours(config)[N_STEPS // 2]


@pytest.mark.parametrize("kind", sorted(SCHEDULE_KINDS))
@pytest.mark.parametrize("warmup_epochs", (0.0, 1.5))
def test_once_an_epoch_is_enough_unless_it_says_otherwise(kind: str, warmup_epochs: float) -> None:
    config = SCHEDULE_KINDS[kind](warmup_epochs=warmup_epochs)
    lrs = ours(config)
    epochs = [lrs[start : start + STEPS_PER_EPOCH] for start in range(0, N_STEPS, STEPS_PER_EPOCH)]
    assert any(len(set(epoch)) > 1 for epoch in epochs) is changes_within_epoch(config)


@given(
    kind=st.sampled_from(sorted(SCHEDULE_KINDS)),
    warmup_epochs=st.floats(0.0, 10.0),
    step=st.integers(0, 500),
    steps_per_epoch=st.integers(1, 20),
    epochs=st.integers(1, 20),
)
def test_the_lr_is_never_negative_nor_above_the_base(
    kind: str, warmup_epochs: float, step: int, steps_per_epoch: int, epochs: int
) -> None:
    config = SCHEDULE_KINDS[kind](warmup_epochs=warmup_epochs)
    lr = lr_at(config, base_lr=BASE_LR, step=step, steps_per_epoch=steps_per_epoch, epochs=epochs)
    assert 0.0 <= lr <= BASE_LR * (1 + 1e-12)


# -------------------------------------------------------------------------------------------------------------- plateau


def plateau_lrs(config: Plateau, values: list[float], *, maximize: bool) -> list[float]:
    state = PlateauState(config=config, maximize=maximize, lr=BASE_LR)
    lrs = []
    for value in values:
        state.update(value)
        lrs.append(state.lr)
    return lrs


def torchs_plateau_lrs(config: Plateau, values: list[float], *, maximize: bool) -> list[float]:
    optimizer = sgd()
    scheduler = ReduceLROnPlateau(
        optimizer, "max" if maximize else "min", config.factor, config.patience, min_lr=config.min_lr
    )
    lrs = []
    for value in values:
        scheduler.step(value)
        lrs.append(float(optimizer.param_groups[0]["lr"]))
    return lrs


@pytest.mark.parametrize("maximize", (True, False))
@pytest.mark.parametrize("patience", (0, 1, 3))
def test_plateau_is_torchs(maximize: bool, patience: int) -> None:
    config = Plateau(factor=0.5, patience=patience, min_lr=0.01)
    draw = random.Random(patience)
    for _ in range(20):
        values = [draw.choice([0.5, 0.50001, 0.51, 0.6, 0.9, math.nan]) for _ in range(30)]
        expected = torchs_plateau_lrs(config, values, maximize=maximize)
        assert plateau_lrs(config, values, maximize=maximize) == expected
        assert expected[-1] < BASE_LR


def test_a_negative_objective_that_gets_worse_is_a_plateau() -> None:
    values = [-1.0, -1.00005, -1.00009, -1.00013]
    config = Plateau(factor=0.5, patience=2)
    assert plateau_lrs(config, values, maximize=True) == [BASE_LR, BASE_LR, BASE_LR, BASE_LR / 2]
    assert torchs_plateau_lrs(config, values, maximize=True) == [BASE_LR] * 4  # the deviation that the module states


def test_plateau_goes_on_from_its_state_as_if_never_paused() -> None:
    config = Plateau(factor=0.5, patience=1)
    values = [1.0, 2.0, 2.0, 0.5, 0.6, 0.7, 0.7, 0.7]
    straight = PlateauState(config=config, maximize=False, lr=BASE_LR)
    paused = PlateauState(config=config, maximize=False, lr=BASE_LR)
    for value in values:
        straight.update(value)
        restored = PlateauState(config=config, maximize=False, lr=99.0)
        restored.restore(json.loads(json.dumps(paused.state())))
        restored.update(value)
        paused = restored
    assert paused == straight
    assert straight.state() == {"lr": BASE_LR / 8, "best": 0.5, "waited": 0}


def test_plateau_warms_up_to_the_lr_of_its_state() -> None:
    config = Plateau(warmup_epochs=1.0)
    lrs = [lr_at(config, base_lr=0.8, step=step, steps_per_epoch=3, epochs=4) for step in range(5)]
    assert lrs == approx([0.2, 0.4, 0.6, 0.8, 0.8])
