"""Averaged weights are those of torch.optim.swa_utils, and what a trial is evaluated by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from tuner.config.schema.train import Averaging
from tuner.training.averaging import AveragedModel, annealed, start_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def batches(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(8, 3, generator=generator), torch.zeros(8)) for _ in range(4)]


def train(model: nn.Module, epoch: int, after_step: Any) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x_B, _ in batches(epoch):
        optimizer.zero_grad()
        model(x_B).square().mean().backward()
        optimizer.step()
        after_step()


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_ema_is_torchs_average_with_its_buffers() -> None:
    one, other = network(), network()
    ours = AveragedModel.of(Averaging(kind="ema", decay=0.9, warmup=False), 3, one)
    theirs = swa_utils.AveragedModel(other, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True)
    for epoch in (1, 2, 3):
        train(one, epoch, lambda epoch=epoch: ours.after_step(epoch))
        ours.after_epoch(epoch, [])
        train(other, epoch, lambda: theirs.update_parameters(other))
    expected = state_of(theirs.module)
    for name, tensor in state_of(ours.model).items():
        if tensor.is_floating_point():  # counts are those of the model; torch averages them too
            torch.testing.assert_close(tensor, expected[name])
    assert not torch.allclose(ours.model[0].weight, one[0].weight)  # type: ignore[index]


def test_swa_is_torchs_average_with_its_update_of_batch_norm() -> None:
    one, other = network(), network()
    ours = AveragedModel.of(Averaging(kind="swa", start_epoch=2), 4, one)
    theirs = swa_utils.AveragedModel(other)
    for epoch in (1, 2, 3, 4):
        train(one, epoch, lambda epoch=epoch: ours.after_step(epoch))
        ours.after_epoch(epoch, batches(epoch))
        assert ours.is_active is (epoch >= 2)
        train(other, epoch, lambda: None)
        if epoch >= 2:
            theirs.update_parameters(other)
    swa_utils.update_bn(batches(4), theirs)
    expected = state_of(theirs.module)
    for name, tensor in state_of(ours.model).items():
        torch.testing.assert_close(tensor, expected[name])


def test_a_warm_up_of_the_decay_forgets_the_first_weights() -> None:
    model = network()
    slow = AveragedModel.of(Averaging(kind="ema", decay=0.9999, warmup=False), 1, model)
    warm = AveragedModel.of(Averaging(kind="ema", decay=0.9999), 1, model)

    def both() -> None:
        slow.after_step(1)
        warm.after_step(1)

    train(model, 1, both)
    distance = [(averaged.model[0].weight - model[0].weight).norm() for averaged in (slow, warm)]  # type: ignore[index]
    assert distance[1] < distance[0] / 2


@pytest.mark.parametrize("strategy", ("cos", "linear"))
@pytest.mark.parametrize("anneal_epochs", (0, 3))
def test_the_learning_rate_of_swa_is_annealed_as_torchs(strategy: Any, anneal_epochs: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = swa_utils.SWALR(optimizer, 0.05, anneal_epochs=anneal_epochs, anneal_strategy=strategy)
    expected = []
    for _ in range(6):
        expected.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    config = Averaging(kind="swa", lr=0.05, anneal_epochs=anneal_epochs, anneal_strategy=strategy)
    assert [annealed(config, 0.2, n_epochs) for n_epochs in range(6)] == pytest.approx(expected)


def test_swa_begins_after_three_quarters_and_ema_at_once() -> None:
    assert [start_of(Averaging(kind="swa"), epochs) for epochs in (1, 4, 10, 20)] == [1, 4, 8, 16]
    assert start_of(Averaging(kind="ema"), 20) == 1
    assert start_of(Averaging(kind="swa", start_epoch=5), 20) == 5
