"""The schedule that follows the objective: ReduceLROnPlateau as plain numbers.

Its margin is a share of |best|. torch takes a share of best, which for negative values, such as a bad r2, counts values
that got slightly worse as better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.config.schema import Plateau

EPS = 1e-8
"""Smallest change of the learning rate that is made, torch's default."""


@dataclass(slots=True, kw_only=True)
class PlateauState:
    """The learning rate, which falls when the objective has stopped improving; epochs of warm-up count like others."""

    config: Plateau
    maximize: bool
    lr: float
    best: float | None = None
    waited: int = 0
    cooling: int = 0
    """Epochs that still do not count as waiting."""

    def update(self, value: float) -> None:
        """Take in the objective of an epoch; nan and inf are no improvement."""
        if self._improves(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.waited = 0
        if self.waited > self.config.patience:
            self.waited, self.cooling = 0, self.config.cooldown
            reduced = max(self.lr * self.config.factor, self.config.min_lr)
            if self.lr - reduced > EPS:
                self.lr = reduced

    def state(self) -> dict[str, float | int | None]:
        return {"lr": self.lr, "best": self.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: dict[str, float | int | None]) -> None:
        self.lr = float(state["lr"] or 0.0)
        self.best = state["best"]
        self.waited, self.cooling = int(state["waited"] or 0), int(state["cooling"] or 0)

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        scale = abs(self.best) if self.config.threshold_mode == "rel" else 1.0
        margin = self.config.threshold * scale
        return value > self.best + margin if self.maximize else value < self.best - margin
