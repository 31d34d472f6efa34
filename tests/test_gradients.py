"""Gradients of several batches are those of one, and clipping is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tuner.data.targets import IGNORED
from tuner.optim.class_losses import CrossEntropyLoss, NllLoss
from tuner.optim.loss_function import LossFunction
from tuner.optim.task_losses import TokenCrossEntropyLoss
from tuner.training.gradients import Accumulator, clip


def gradients(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor | None]:
    return list(torch.autograd.grad(model(x).square().mean(), list(model.parameters())))


@pytest.mark.parametrize("every", (1, 2, 3, 10))
def test_a_step_over_several_batches_is_that_over_their_rows(every: int) -> None:
    model, x = nn.Linear(3, 2), torch.randn(26, 3, generator=torch.Generator().manual_seed(0))
    batches = torch.split(x, 4)  # the last one has 2 rows
    gathered = Accumulator(every=every, n_batches=len(batches), batch_size=4)
    for _ in range(2):  # epochs
        steps = [grads for batch in batches if (grads := gathered.add(gradients(model, batch), len(batch)))]
        expected = [gradients(model, rows) for rows in torch.split(x, 4 * every)]
        assert len(steps) == len(expected) == gathered.n_steps
        for step, alone in zip(steps, expected, strict=True):
            torch.testing.assert_close(list(step), alone)


WEIGHTS = torch.tensor([0.2, 3.0, 1.0])
LOSSES: dict[str, LossFunction] = {
    "cross entropy": CrossEntropyLoss(weight_K=WEIGHTS),
    "smoothed": CrossEntropyLoss(weight_K=WEIGHTS, label_smoothing=0.2),
    "nll": NllLoss(weight_K=WEIGHTS),
    "plain": CrossEntropyLoss(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_classes_count_over_all_batches_of_a_step(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    loss, model, x = LOSSES[name], nn.Linear(4, 3), torch.randn(26, 4, generator=draw)
    y = torch.randint(0, 3, (26,), generator=draw).sort().values  # so that batches differ in what they weigh
    gathered = Accumulator(every=3, n_batches=7, batch_size=4)
    steps = []
    for x_B, y_B in zip(torch.split(x, 4), torch.split(y, 4), strict=True):
        weight = loss.batch_weight(y_B)
        grads = torch.autograd.grad(loss(model(x_B), y_B), list(model.parameters()))
        steps.append(gathered.add(grads, len(y_B) if weight is None else weight))
    expected = [
        torch.autograd.grad(loss(model(x_B), y_B), list(model.parameters()))
        for x_B, y_B in zip(torch.split(x, 12), torch.split(y, 12), strict=True)
    ]
    complete = [step for step in steps if step is not None]
    assert [step is not None for step in steps] == [False, False, True, False, False, True, True]
    for step, whole in zip(complete, expected, strict=True):
        torch.testing.assert_close(tuple(step), whole)


def test_tokens_count_alike_in_all_batches_of_a_step_and_a_batch_without_any_for_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    loss, model = TokenCrossEntropyLoss(), nn.Linear(4, 5)
    x, y = torch.randn(6, 3, 4, generator=draw), torch.randint(0, 5, (6, 3), generator=draw)
    y[:2], y[2, :2] = IGNORED, IGNORED
    gathered = Accumulator(every=3, n_batches=3, batch_size=2)
    got = None
    for x_BL, y_BL in zip(torch.split(x, 2), torch.split(y, 2), strict=True):
        grads = torch.autograd.grad(loss(model(x_BL), y_BL), list(model.parameters()))
        got = gathered.add(grads, loss.batch_weight(y_BL))
    torch.testing.assert_close(tuple(got or ()), torch.autograd.grad(loss(model(x), y), list(model.parameters())))
    nothing = Accumulator(every=2, n_batches=2, batch_size=2)
    weight = loss.batch_weight(y[:2])
    nothing.add([torch.zeros(2)], weight)
    assert torch.equal((nothing.add([torch.zeros(2)], weight) or ())[0], torch.zeros(2))  # type: ignore[arg-type]


def test_a_parameter_without_a_gradient_in_one_batch_keeps_that_of_the_others() -> None:
    gathered = Accumulator(every=2, n_batches=2, batch_size=4)
    assert gathered.add([torch.ones(2), None, None], 4) is None
    one, two, three = gathered.add([None, torch.ones(2), None], 4) or ()
    assert torch.equal(one, torch.full((2,), 0.5))  # type: ignore[arg-type]
    assert torch.equal(two, torch.full((2,), 0.5))  # type: ignore[arg-type]
    assert three is None


def test_clipping_by_value_and_by_norm_is_torchs() -> None:
    grads = [torch.tensor([3.0, -0.2]), torch.tensor([[-5.0]])]
    params = [nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad.clone()
    nn.utils.clip_grad_value_(params, 2.0)
    nn.utils.clip_grad_norm_(params, 1.0)
    ours = [*(grad.clone() for grad in grads), None]
    clip(ours, 1.0, 2.0)
    torch.testing.assert_close(ours[:2], [param.grad for param in params])
