"""A layer that is a mixture of linear layers.

Shapes: B batch, F features, O outputs, E experts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """E linear layers in one product: [B, F] -> [B, E, O]."""

    def __init__(self, n_in: int, n_out: int, n_experts: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in)  # as nn.Linear begins
        self.weight = nn.Parameter(torch.empty(n_experts, n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_experts, n_out).uniform_(-bound, bound))

    def forward(self, x_BF: Tensor) -> Tensor:
        n_experts, n_out, _ = self.weight.shape
        y = nn.functional.linear(x_BF, self.weight.flatten(0, 1), self.bias.flatten())
        return y.view(-1, n_experts, n_out)


class Mixture(nn.Module):
    """Every row's outputs are those of its `top_k` experts, weighted by the router's softmax over them.

    All experts compute all rows, and those that were not taken count with weight 0: then every step is the same
    operations, whatever the router says. Nothing is drawn (Shazeer et al. add noise to the router).
    """

    def __init__(self, n_in: int, n_out: int, *, n_experts: int, top_k: int, balance: float) -> None:
        super().__init__()
        self.router = nn.Linear(n_in, n_experts)
        self.experts = Experts(n_in, n_out, n_experts)
        self.top_k, self.balance = top_k, balance
        self.loss_scale: float | Tensor = 1.0
        """What the loss is multiplied by before backward, where gradients are scaled."""

    def forward(self, x_BF: Tensor) -> Tensor:
        logits_BE = self.router(x_BF)
        taken_BE = torch.zeros_like(logits_BE).scatter(1, logits_BE.topk(self.top_k, dim=1).indices, 1.0)
        weights_BE = logits_BE.masked_fill(taken_BE == 0.0, -math.inf).softmax(dim=1)
        y_BO: Tensor = (weights_BE.unsqueeze(2) * self.experts(x_BF)).sum(dim=1)
        if not self.training or not self.balance:
            return y_BO
        penalised: Tensor = Penalised.apply(y_BO, self.balance * self.loss_scale * imbalance(logits_BE, taken_BE))
        return penalised


def imbalance(logits_BE: Tensor, taken_BE: Tensor) -> Tensor:
    """E times the sum over experts of (share of the choices) x (mean probability); 1 when all are taken evenly.

    Fedus et al., arXiv:2101.03961, equation 4, whose experts are taken one at a time.
    """
    share_E = taken_BE.mean(dim=0) / taken_BE.sum(dim=1).mean()
    return taken_BE.shape[1] * (share_E * logits_BE.softmax(dim=1).mean(dim=0)).sum()


class Penalised(torch.autograd.Function):
    """Its first argument; in the backward pass the second one counts as a term of the loss.

    So a layer adds to what is minimised without every loss and metric knowing of it. The loss that is reported is
    without it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor, penalty: Tensor) -> Tensor:  # noqa: ARG004 - its gradient is what it is for
        return y.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG004 - torch's own
        (grad,) = grads
        return grad, grad.new_ones(())
