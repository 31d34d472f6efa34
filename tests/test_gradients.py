"""Gradients of several batches are those of one, and clipping is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

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
