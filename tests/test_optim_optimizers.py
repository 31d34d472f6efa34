from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tuner.config.schema import OPTIMIZER_KINDS, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd
from tuner.errors import ConfigError
from tuner.optim.groups import one_group
from tuner.optim.optimizers import OPTIMIZERS, RULES, build_optimizer
from tuner.optim.rules import FUSED_DEVICES

CPU = torch.device("cpu")


def train(make: Any, n_steps: int = 10) -> torch.Tensor:
    """The weights of a small network, all in one vector, after some steps with the optimizer that `make` gives."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(20, 6, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    optimizer = make(model.parameters())
    for _ in range(n_steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize(
    ("config", "by_hand"),
    (
        (Sgd(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            Sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (
            Sgd(lr=0.1, momentum=0.9, dampening=0.5),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
        ),
        (Adam(), torch.optim.Adam),
        (
            Adam(lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1, amsgrad=True),
            lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1, amsgrad=True),
        ),
        (AdamW(), torch.optim.AdamW),
        (AdamW(lr=0.02, weight_decay=0.3), lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.3)),
        (
            RmsProp(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1),
            lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1),
        ),
        (RmsProp(lr=1e-2), torch.optim.RMSprop),
        (Adagrad(), torch.optim.Adagrad),
        (
            Adagrad(lr=0.1, lr_decay=0.01, eps=1e-6, weight_decay=0.1),
            lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.01, eps=1e-6, weight_decay=0.1),
        ),
    ),
)
def test_training_agrees_with_the_torch_optimizer_built_by_hand(config: Optimizer, by_hand: Any) -> None:
    ours = train(lambda parameters: build_optimizer(config, one_group(parameters), CPU))
    torch.testing.assert_close(ours, train(by_hand), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(ours, train(lambda parameters: torch.optim.SGD(parameters, lr=0.0)), atol=1e-3)


def test_every_kind_of_the_schema_has_an_optimizer() -> None:
    assert set(OPTIMIZERS) == set(RULES) == set(OPTIMIZER_KINDS) - {"python"}


@pytest.mark.parametrize("kind", sorted(set(OPTIMIZERS) - {"muon"}))
def test_the_fused_update_is_taken_on_the_cpu_where_there_is_one(kind: str) -> None:
    optimizer = build_optimizer(OPTIMIZER_KINDS[kind](), one_group(nn.Linear(2, 2).parameters()), CPU)
    assert bool(optimizer.param_groups[0].get("fused")) is (kind in FUSED_DEVICES)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", sorted(set(OPTIMIZERS) - {"muon"}))
def test_every_optimizer_takes_a_step_on_the_card(kind: str) -> None:
    device = torch.device("cuda")
    model = nn.Linear(3, 2).to(device)
    before = model.weight.detach().clone()
    optimizer = build_optimizer(OPTIMIZER_KINDS[kind](), one_group(model.parameters()), device)
    model(torch.ones(4, 3, device=device)).sum().backward()
    optimizer.step()
    assert bool((model.weight != before).all())
    assert bool(optimizer.param_groups[0].get("fused")) is (kind in {"sgd", "adam", "adamw"})


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = build_optimizer(Sgd(), one_group(model.parameters()), CPU)
    assert [tuple(parameter.shape) for parameter in optimizer.param_groups[0]["params"]] == [(2, 2), (2,)]


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build_optimizer(Sgd(), one_group(nn.Flatten().parameters()), CPU)
    assert str(caught.value) == (
        "model: the model has no parameters to train; give it a layer, or set requires_grad on its parameters"
    )
