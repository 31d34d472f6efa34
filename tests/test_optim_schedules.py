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
from pydantic import ValidationError
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
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
from tuner.config.schema.schedules import CosineRestarts, Cyclic, InverseSqrt, Linear, Multistep, Polynomial
from tuner.optim.plateau import PlateauState
from tuner.optim.schedules import SHAPES, changes_within_epoch, lr_at

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


def test_step_is_torchs_stepped_per_epoch() -> None:
    expected = torchs(lambda o: StepLR(o, 2, 0.5), every=STEPS_PER_EPOCH)
    assert ours(Step(step_size=2, gamma=0.5)) == approx(expected)
    assert len(set(expected)) == 3


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


@pytest.mark.parametrize("per", ("step", "epoch"))
@pytest.mark.parametrize(
    ("of", "proper"),
    (
        (
            lambda per: Linear(start_factor=0.5, end_factor=0.1, epochs=4.0, per=per),
            lambda o, n: LinearLR(o, start_factor=0.5, end_factor=0.1, total_iters=4 * n),
        ),
        (lambda per: Linear(per=per), lambda o, n: LinearLR(o, 1.0, 0.0, total_iters=EPOCHS * n)),
        (
            lambda per: Polynomial(power=2.5, per=per),
            lambda o, n: PolynomialLR(o, total_iters=EPOCHS * n, power=2.5),
        ),
        (lambda per: Cosine(eta_min=0.01, per=per), lambda o, n: CosineAnnealingLR(o, EPOCHS * n, 0.01)),
        (
            lambda per: CosineRestarts(t_0=2, eta_min=0.01, per=per),
            lambda o, n: CosineAnnealingWarmRestarts(o, 2 * n, 1, 0.01),
        ),
        (
            lambda per: CosineRestarts(t_0=1, t_mult=2, per=per),
            lambda o, n: CosineAnnealingWarmRestarts(o, n, 2),
        ),
        (lambda per: Exponential(gamma=0.8, per=per), lambda o, n: ExponentialLR(o, 0.8 ** (1 / n))),
    ),
    ids=("linear", "linear to 0", "polynomial", "cosine", "restarts", "longer restarts", "exponential"),
)
def test_a_schedule_is_torchs_stepped_as_often_as_it_says(
    of: Callable[[str], Schedule], proper: Callable[[torch.optim.Optimizer, int], LRScheduler], per: str
) -> None:
    n_a_unit, every = (STEPS_PER_EPOCH, 1) if per == "step" else (1, STEPS_PER_EPOCH)
    expected = torchs(lambda o: proper(o, n_a_unit), every=every)
    assert ours(of(per)) == approx(expected)
    assert len(set(expected)) > 1


def test_multistep_is_torchs_stepped_per_epoch() -> None:
    expected = torchs(lambda o: MultiStepLR(o, [1, 4], 0.5), every=STEPS_PER_EPOCH)
    assert ours(Multistep(milestones=(1, 4), gamma=0.5)) == approx(expected)
    assert len(set(expected)) == 3


@pytest.mark.parametrize("three_phase", (False, True))
def test_one_cycle_in_lines_and_in_three_phases_is_torchs(*, three_phase: bool) -> None:
    expected = torchs(
        lambda o: OneCycleLR(
            o, BASE_LR, total_steps=N_STEPS, anneal_strategy="linear", three_phase=three_phase, cycle_momentum=False
        )
    )
    assert ours(OneCycle(anneal_strategy="linear", three_phase=three_phase)) == approx(expected)


def test_three_phases_need_room_for_the_fall() -> None:
    with pytest.raises(ValidationError, match=r"three_phase: needs pct_start of at most 0\.5"):
        OneCycle(three_phase=True, pct_start=0.6)


@pytest.mark.parametrize("mode", ("triangular", "triangular2", "exp_range"))
@pytest.mark.parametrize("down", (None, 0.5))
def test_cyclic_is_torchs_stepped_per_batch(mode: Any, down: float | None) -> None:
    config = Cyclic(div_factor=5.0, up_epochs=1.0, down_epochs=down, mode=mode, gamma=0.7)
    expected = torchs(
        lambda o: CyclicLR(
            o,
            BASE_LR / 5.0,
            BASE_LR,
            step_size_up=STEPS_PER_EPOCH,
            step_size_down=None if down is None else round(down * STEPS_PER_EPOCH),
            mode=mode,
            gamma=0.7 ** (1 / STEPS_PER_EPOCH),
            cycle_momentum=False,
        )
    )
    assert ours(config) == approx(expected)


def test_inverse_sqrt_falls_from_the_end_of_its_warm_up_as_transformers_have_it() -> None:
    n_warmup = 2 * STEPS_PER_EPOCH
    expected = torchs(lambda o: LambdaLR(o, lambda step: math.sqrt(n_warmup / max(step, n_warmup))))
    lrs = ours(InverseSqrt(warmup_epochs=2.0))
    assert lrs[n_warmup:] == approx(expected[n_warmup:])
    assert lrs[:n_warmup] == approx([BASE_LR * step / (n_warmup + 1) for step in range(1, n_warmup + 1)])


def test_inverse_sqrt_without_a_warm_up_has_halved_after_three_timescales() -> None:
    assert ours(InverseSqrt(timescale_epochs=1.0))[3 * STEPS_PER_EPOCH] == pytest.approx(BASE_LR / 2)
    assert ours(InverseSqrt()) == ours(InverseSqrt(timescale_epochs=1.0))


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


@pytest.mark.parametrize("kind", ("linear", "polynomial", "cosine", "cosine_restarts", "exponential"))
@pytest.mark.parametrize("warmup_epochs", (0.5, 1.5, 2.0))
def test_what_changes_once_an_epoch_does_so_where_epochs_begin_whatever_the_warm_up(
    kind: str, warmup_epochs: float
) -> None:
    lrs = ours(SCHEDULE_KINDS[kind](warmup_epochs=warmup_epochs, per="epoch"))
    n_warmup = round(warmup_epochs * STEPS_PER_EPOCH)
    epochs = [lrs[max(start, n_warmup) : start + STEPS_PER_EPOCH] for start in range(0, N_STEPS, STEPS_PER_EPOCH)]
    proper = [epoch for epoch in epochs if epoch]
    assert all(len(set(epoch)) == 1 for epoch in proper)
    assert len({epoch[0] for epoch in proper}) > 2
    assert proper[0][0] == BASE_LR


def test_one_cycle_warms_up_to_where_it_starts() -> None:
    lrs = ours(OneCycle(warmup_epochs=1.0, div_factor=10.0))
    start = BASE_LR / 10.0
    assert lrs[: STEPS_PER_EPOCH + 1] == approx([start * step / 8 for step in range(1, 9)])


def test_a_warm_up_longer_than_the_run_only_rises() -> None:
    lrs = ours(Cosine(warmup_epochs=100.0))
    assert lrs == sorted(lrs)
    assert 0.0 < lrs[0] < lrs[-1] < BASE_LR


def test_a_step_beyond_the_end_keeps_the_last_value() -> None:
    for config in (Cosine(eta_min=0.01), OneCycle(), Linear(end_factor=0.1), Polynomial()):
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
        optimizer,
        "max" if maximize else "min",
        config.factor,
        config.patience,
        threshold=config.threshold,
        threshold_mode=config.threshold_mode,
        cooldown=config.cooldown,
        min_lr=config.min_lr,
    )
    lrs = []
    for value in values:
        scheduler.step(value)
        lrs.append(float(optimizer.param_groups[0]["lr"]))
    return lrs


@pytest.mark.parametrize("maximize", (True, False))
@pytest.mark.parametrize("patience", (0, 1, 3))
@pytest.mark.parametrize(
    "options", ({}, {"cooldown": 2}, {"threshold": 0.05, "threshold_mode": "abs"}), ids=("plain", "cooldown", "abs")
)
def test_plateau_is_torchs(maximize: bool, patience: int, options: dict[str, Any]) -> None:
    config = Plateau(factor=0.7, patience=patience, min_lr=0.01, **options)
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
    config = Plateau(factor=0.5, patience=1, cooldown=1)
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
    assert straight.state() == {"lr": BASE_LR / 4, "best": 0.5, "waited": 1, "cooling": 0}


def test_plateau_warms_up_to_the_lr_of_its_state() -> None:
    config = Plateau(warmup_epochs=1.0)
    lrs = [lr_at(config, base_lr=0.8, step=step, steps_per_epoch=3, epochs=4) for step in range(5)]
    assert lrs == approx([0.2, 0.4, 0.6, 0.8, 0.8])
