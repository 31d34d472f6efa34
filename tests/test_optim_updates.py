"""The update rules give the weights of torch.optim to the bit, whatever state they started from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tuner.config.schema import Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd
from tuner.errors import ConfigError
from tuner.optim.optimizers import build_optimizer
from tuner.optim.updates import DirectUpdate, TorchUpdate, Update, build_update

CPU = torch.device("cpu")
CONFIGS: tuple[Optimizer, ...] = (
    Sgd(lr=0.1),
    Sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    Sgd(lr=0.1, momentum=0.9, dampening=0.5),
    Adam(),
    Adam(lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1, amsgrad=True),
    AdamW(),
    AdamW(lr=0.02, weight_decay=0.3),
    RmsProp(lr=1e-2),
    RmsProp(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1),
    Adagrad(),
    Adagrad(lr=0.1, lr_decay=0.01, eps=1e-6, weight_decay=0.1),
)
each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: repr(config)[:60])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def gradients(model: nn.Module, step: int, *, missing: int | None = None) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(20, 6, generator=generator)
    params = list(model.parameters())
    grads: list[torch.Tensor | None] = list(torch.autograd.grad(model(x).square().mean(), params))
    if missing is not None:
        grads[missing] = None
    return grads


def by_torch(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range, missing: dict[int, int]) -> None:
    for step in steps:
        for param, grad in zip(model.parameters(), gradients(model, step, missing=missing.get(step)), strict=True):
            param.grad = grad
        optimizer.step()


def by_update(model: nn.Module, update: Update, steps: range, missing: dict[int, int]) -> None:
    for step in steps:
        update.step(gradients(model, step, missing=missing.get(step)))


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@each_config
@pytest.mark.parametrize("missing", ({}, {0: 1}, {3: 2, 4: 0}), ids=("all", "late first step", "gaps"))
def test_updates_give_the_weights_of_torch_optim_to_the_bit(config: Optimizer, missing: dict[int, int]) -> None:
    ours, theirs = network(), network()
    update = build_update(config, ours.parameters(), CPU)
    assert isinstance(update, DirectUpdate)
    by_update(ours, update, range(8), missing)
    if missing and isinstance(
        config, Sgd
    ):  # torch's fused SGD fails on a late first step; the plain one rounds otherwise
        plain = torch.optim.SGD(theirs.parameters(), **config.model_dump(exclude={"kind"}))
        by_torch(theirs, plain, range(8), missing)
        assert torch.allclose(weights(ours), weights(theirs), rtol=1e-5, atol=1e-7)
    else:
        by_torch(theirs, build_optimizer(config, theirs.parameters(), CPU), range(8), missing)
        assert torch.equal(weights(ours), weights(theirs))
    assert not torch.equal(weights(ours), weights(network()))


@each_config
def test_an_update_goes_on_from_a_state_of_torch_optim_and_the_other_way_round(config: Optimizer) -> None:
    one, other = network(), network()
    first, optimizer = build_update(config, one.parameters(), CPU), build_optimizer(config, other.parameters(), CPU)
    by_update(one, first, range(4), {})
    by_torch(other, optimizer, range(4), {})

    from_torch = build_update(config, one.parameters(), CPU)
    from_torch.load_state_dict(optimizer.state_dict())
    from_ours = TorchUpdate(optimizer=build_optimizer(config, other.parameters(), CPU), lr=config.lr)
    from_ours.load_state_dict(first.state_dict())
    by_update(one, from_torch, range(4, 8), {})
    by_update(other, from_ours, range(4, 8), {})
    assert torch.equal(weights(one), weights(other))


@each_config
def test_a_learning_rate_that_changes_counts_from_the_next_step(config: Optimizer) -> None:
    ours, theirs = network(), network()
    update, optimizer = build_update(config, ours.parameters(), CPU), build_optimizer(config, theirs.parameters(), CPU)
    for step, lr in enumerate((0.1, 0.02, 0.3)):
        update.lr = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        by_update(ours, update, range(step, step + 1), {})
        by_torch(theirs, optimizer, range(step, step + 1), {})
    assert torch.equal(weights(ours), weights(theirs))


def test_a_stored_state_is_not_the_one_that_goes_on_changing() -> None:
    model = network()
    update = build_update(Adam(), model.parameters(), CPU)
    by_update(model, update, range(2), {})
    copy = build_update(Adam(), model.parameters(), CPU)
    copy.load_state_dict(update.state_dict())
    before = copy.state_dict()["state"][0]["exp_avg"].clone()
    by_update(model, update, range(2, 4), {})
    assert torch.equal(copy.state_dict()["state"][0]["exp_avg"], before)


def test_a_restored_state_takes_the_memory_format_of_its_parameter() -> None:
    model = nn.Conv2d(3, 4, 3)
    update = build_update(Adam(), model.parameters(), torch.device("cpu"))
    update.step([torch.ones_like(param) for param in update.params])
    stored = update.state_dict()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    restored = build_update(Adam(), model.parameters(), torch.device("cpu"))
    restored.load_state_dict(stored)
    assert isinstance(restored, DirectUpdate)
    mean = restored.states[0]["exp_avg"]
    assert mean.stride() == model.weight.stride() != stored["state"][0]["exp_avg"].stride()
    assert torch.equal(mean, stored["state"][0]["exp_avg"])


def test_parameters_that_are_not_trained_are_left_out() -> None:
    model = network()
    frozen = next(model.parameters()).requires_grad_(False)
    update = build_update(Sgd(lr=0.1), model.parameters(), CPU)
    assert all(param is not frozen for param in update.params)


@pytest.mark.parametrize("scales", (False, True))
def test_a_model_with_nothing_to_train_is_refused(*, scales: bool) -> None:
    with pytest.raises(ConfigError, match="no parameters to train"):
        build_update(Adam(), [], CPU, scales_gradients=scales)


def test_scaled_gradients_go_through_torch_optim() -> None:
    update: Any = build_update(Adam(), network().parameters(), CPU, scales_gradients=True)
    assert isinstance(update, TorchUpdate)
