"""What happens to gradients between backward and the update: they are gathered over batches, and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

CLIP_EPS = 1e-6
"""torch.nn.utils.clip_grad_norm_ divides by the norm plus this."""

Gradients = Sequence[Tensor | None]
Weight = float | Tensor
"""What a mean is over: rows, or what a tensor says, which stays on its device."""


def clip(grads: Gradients, max_norm: float | None, max_value: float | None = None) -> None:
    """Change gradients in place: every value to at most `max_value`, then their norm together to at most `max_norm`.

    As torch's clip_grad_value_ and clip_grad_norm_ do.
    """
    present = [grad for grad in grads if grad is not None]
    if max_value is not None:
        torch._foreach_clamp_min_(present, -max_value)
        torch._foreach_clamp_max_(present, max_value)
    if max_norm is not None:
        norm = nn.utils.get_total_norm(present)
        torch._foreach_mul_(present, torch.clamp(max_norm / (norm + CLIP_EPS), max=1.0))


@dataclass(slots=True, kw_only=True)
class Accumulator:
    """Gathers the gradients of several batches into those of one step, each with the weight of its mean.

    So a step over n batches is that over one batch with all their rows; the last batches of an epoch are a step too.
    """

    every: int
    """Batches a step."""
    n_batches: int
    """Batches an epoch."""
    batch_size: int
    _seen: int = 0
    """Batches of this epoch."""
    _unit: Weight = 1.0
    _total: Weight = 0.0
    """The shares of the batches since the last step."""
    _sums: list[Tensor | None] = field(default_factory=list)

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""
        return -(-self.n_batches // self.every)

    @property
    def is_empty(self) -> bool:
        """Whether the next batch is the first one of a step."""
        return self._seen % self.every == 0

    def share(self, weight: Weight) -> Weight:
        """The weight of the next batch, its rows or a tensor, about 1 for a full one."""
        if not isinstance(weight, Tensor):
            return weight / self.batch_size
        if self.is_empty:
            self._unit = weight.clamp(min=1.0)
        return weight / self._unit

    def count(self, share: Weight) -> Weight | None:
        """Count a batch; the share of all batches of the step when it is complete."""
        self._total = share if self.is_empty else self._total + share
        self._seen += 1
        is_last = self._seen == self.n_batches
        if self._seen % self.every and not is_last:
            return None
        if is_last:
            self._seen = 0
        total = self._total
        return torch.where(total > 0.0, total, 1.0) if isinstance(total, Tensor) else total  # no batch may count

    def add(self, grads: Gradients, weight: Weight) -> Gradients | None:
        """Take in the gradients of a batch, its means over so much; those of the step when it is complete."""
        if self.every == 1:
            return grads
        share = self.share(weight)
        if self.is_empty:
            self._sums = [None if grad is None else grad * share for grad in grads]
        else:
            self._sums = [_added(total, grad, share) for total, grad in zip(self._sums, grads, strict=True)]
        total = self.count(share)
        if total is None:
            return None
        divide(self._sums, total)
        return self._sums


def divide(grads: Gradients, total: Weight) -> None:
    """Divide gradients in place."""
    torch._foreach_div_([grad for grad in grads if grad is not None], total)


def _added(total: Tensor | None, grad: Tensor | None, share: Weight) -> Tensor | None:
    if grad is None:
        return total
    if total is None:
        return grad * share
    return total.add_(grad * share) if isinstance(share, Tensor) else total.add_(grad, alpha=share)
