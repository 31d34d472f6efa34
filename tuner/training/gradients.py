"""What happens to gradients between backward and the update: they are gathered over batches, and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

CLIP_EPS = 1e-6
"""torch.nn.utils.clip_grad_norm_ divides by the norm plus this."""

Gradients = Sequence[Tensor | None]


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
    """Gathers the gradients of several batches into those of one step, each row with the same weight.

    So a step over n batches is that over one batch with all their rows; the last batches of an epoch are a step too.
    """

    every: int
    """Batches a step."""
    n_batches: int
    """Batches an epoch."""
    batch_size: int
    _seen: int = 0
    """Batches of this epoch."""
    _share: float = 0.0
    """Rows of the batches since the last step, in full batches."""
    _sums: list[Tensor | None] = field(default_factory=list)

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""
        return -(-self.n_batches // self.every)

    @property
    def is_empty(self) -> bool:
        """Whether the next batch is the first one of a step."""
        return self._share == 0.0

    def share(self, n_rows: int) -> float:
        """The weight of a batch, 1 for a full one."""
        return n_rows / self.batch_size

    def count(self, n_rows: int) -> float | None:
        """Count a batch; the weight of all batches of the step when it is complete."""
        self._seen += 1
        self._share += self.share(n_rows)
        is_last = self._seen == self.n_batches
        if self._seen % self.every and not is_last:
            return None
        total, self._share = self._share, 0.0
        if is_last:
            self._seen = 0
        return total

    def add(self, grads: Gradients, n_rows: int) -> Gradients | None:
        """Take in the gradients of a batch, its means; those of the step when it is complete."""
        if self.every == 1:
            return grads
        share = self.share(n_rows)
        if self.is_empty:
            self._sums = [None if grad is None else grad * share for grad in grads]
        else:
            self._sums = [_added(total, grad, share) for total, grad in zip(self._sums, grads, strict=True)]
        total = self.count(n_rows)
        if total is None:
            return None
        torch._foreach_div_([gathered for gathered in self._sums if gathered is not None], total)
        return self._sums


def _added(total: Tensor | None, grad: Tensor | None, share: float) -> Tensor | None:
    if grad is None:
        return total
    return grad * share if total is None else total.add_(grad, alpha=share)
