"""Which epoch is best, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass


def is_better(value: float, best: float | None, *, maximize: bool) -> bool:
    """Whether `value` beats `best`; the first of equal values stays best, and nan and inf never beat anything."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if maximize else value < best


@dataclass(slots=True, kw_only=True)
class BestEpoch:
    """Follows the objective over the epochs of one trial.

    `patience` None never stops. `epoch` and `value` are the best so far; `reference` is the value that the next
    improvement has to beat by more than `min_delta`, as torch's and Keras' early stopping define it.
    """

    maximize: bool
    patience: int | None = None
    min_delta: float = 0.0
    epoch: int = 0
    value: float | None = None
    reference: float | None = None
    waited: int = 0

    def update(self, epoch: int, value: float) -> bool:
        """Take the value of an epoch in; True when it is the best so far."""
        signed = value if self.maximize else -value
        reference = None if self.reference is None else (self.reference if self.maximize else -self.reference)
        if math.isfinite(value) and (reference is None or signed > reference + self.min_delta):
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        if is_better(value, self.value, maximize=self.maximize):
            self.epoch, self.value = epoch, value
            return True
        return False

    @property
    def is_exhausted(self) -> bool:
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, float | int | None]:
        return {"epoch": self.epoch, "value": self.value, "reference": self.reference, "waited": self.waited}

    def restore(self, state: dict[str, float | int | None]) -> None:
        self.epoch = int(state["epoch"] or 0)
        self.value, self.reference = state["value"], state["reference"]
        self.waited = int(state["waited"] or 0)
