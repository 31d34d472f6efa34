"""What a model costs beside its errors: parameters, time of a forward pass, time of an epoch.

B batch.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

N_WARMUP = 3
N_REPEATS = 15


@dataclass(slots=True, kw_only=True)
class Costs:
    """The costs of one trial that its goals name; they go into its checkpoints, so that nothing is timed twice."""

    wanted: frozenset[str] = frozenset()
    n_params: int = 0
    latency_ms: float | None = None
    seconds: list[float] = field(default_factory=list)
    """Of every epoch so far."""

    @property
    def needs_latency(self) -> bool:
        return "latency_ms" in self.wanted and self.latency_ms is None

    def add_epoch(self, seconds: float) -> None:
        if "epoch_seconds" in self.wanted:
            self.seconds.append(seconds)

    def metrics(self) -> dict[str, float]:
        """The costs by name, as far as they are known; `epoch_seconds` is the median of the epochs so far."""
        known: dict[str, float | None] = {
            "params": float(self.n_params),
            "latency_ms": self.latency_ms,
            "epoch_seconds": statistics.median(self.seconds) if self.seconds else None,
        }
        return {name: value for name, value in known.items() if name in self.wanted and value is not None}

    def state(self) -> dict[str, Any]:
        return {"latency_ms": self.latency_ms, "seconds": list(self.seconds)}

    def restore(self, state: dict[str, Any]) -> None:
        self.latency_ms, self.seconds = state["latency_ms"], list(state["seconds"])


def n_trainable(model: nn.Module) -> int:
    return sum(param.numel() for param in model.parameters() if param.requires_grad)


def latency_ms(model: nn.Module, x_B: Tensor) -> float:
    """Milliseconds of one forward pass in evaluation mode: the median of some, after a few that do not count.

    The model is left in the mode that it was in.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for _ in range(N_WARMUP):
                model(x_B)
            return 1e3 * statistics.median(_seconds(model, x_B) for _ in range(N_REPEATS))
    finally:
        model.train(was_training)


def _seconds(model: nn.Module, x_B: Tensor) -> float:
    _wait_for(x_B.device)
    started = time.perf_counter()
    model(x_B)
    _wait_for(x_B.device)  # a kernel that is only queued has taken no time yet
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        torch.accelerator.synchronize(device)
