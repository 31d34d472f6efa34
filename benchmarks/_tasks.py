"""Tasks for measuring a search without training: params in, a learning curve out.

Those of a folder with `curves.py` (`names()`, `load(name)`; recorded and surrogate curves), or, where there is none,
synthetic ones of the same interface, which are easier: smooth losses with a narrow good region, learning rates that
diverge, curves that cross.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TOO_LARGE = 0.92
"""Learning rates above this share of their range diverge."""
N_REFERENCE = 4000
"""Random configurations that say what the best and the median of a synthetic task are."""


class Task(Protocol):
    """What a search is scored on; losses, lower is better."""

    name: str
    epochs: int
    space: dict[str, dict[str, Any]]

    def curve(self, params: dict[str, Any]) -> Sequence[float]:
        """The loss after epochs 1, 2, ...; nan from where the training diverged."""

    def regret(self, value: float) -> float:
        """0 for the best known loss, 1 for that of the median configuration at its best epoch."""


def load_all(tables: Path | None) -> list[Task]:
    """The tasks of the folder, or the synthetic ones."""
    if tables is None or not (tables / "curves.py").is_file():
        return [SyntheticTask(f"synthetic-{seed}", seed) for seed in range(5)]
    spec = importlib.util.spec_from_file_location("curves", tables / "curves.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["curves"] = module
    spec.loader.exec_module(module)
    return [module.load(name) for name in module.names()]


class SyntheticTask:
    """A loss with an optimum, whose learning rate decides how fast it is come near, and whether at all."""

    epochs = 27

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        rng = np.random.default_rng([5, seed])
        self._n_others = 3 + seed % 3
        self._optimum = rng.uniform(0.1, 0.9, self._n_others + 1)
        self._weights = rng.uniform(0.3, 2.0, self._n_others)
        self._seed = seed
        self.space = {"lr": {"low": 1e-5, "high": 1.0, "log": True, "integer": False}}
        for index in range(self._n_others):
            is_integer = index == 0
            self.space[f"x{index}"] = (
                {"low": 1, "high": 64, "log": True, "integer": True}
                if is_integer
                else {"low": 0.0, "high": 1.0, "log": False, "integer": False}
            )
        draw = np.random.default_rng([6, seed])
        best = [self._lowest(draw.random(self._n_others + 1)) for _ in range(N_REFERENCE)]
        self._best, self._median = float(np.nanmin(best)), float(np.nanmedian(best))

    def _lowest(self, unit: np.ndarray) -> float:
        curve = self._curve(unit)
        finite = curve[np.isfinite(curve)]
        return float(finite.min()) if len(finite) else math.nan

    def curve(self, params: dict[str, Any]) -> Sequence[float]:
        unit = []
        for name, entry in self.space.items():
            low, high, value = entry["low"], entry["high"], params[name]
            if entry["log"]:
                low, high, value = math.log(low), math.log(high), math.log(value)
            unit.append((value - low) / (high - low))
        return self._curve(np.array(unit)).tolist()

    def _curve(self, unit: np.ndarray) -> np.ndarray:
        offset = unit - self._optimum
        floor = 0.1 + float((self._weights * offset[1:] ** 2).sum()) + 0.5 * offset[0] ** 2
        rate = 10.0 ** (-2.0 + 3.0 * unit[0])
        epoch = np.arange(1, self.epochs + 1)
        noise = np.random.default_rng([7, self._seed, *(int(1e6 * value) for value in unit)])
        curve = floor + 2.0 * np.exp(-rate * epoch / 3.0) * (1.0 + 0.3 * noise.standard_normal())
        curve += 0.01 * noise.standard_normal(self.epochs)
        if unit[0] > TOO_LARGE:
            curve[int(noise.integers(0, 5)) :] = math.nan
        return curve

    def regret(self, value: float) -> float:
        return (value - self._best) / (self._median - self._best)
