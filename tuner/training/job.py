"""What a worker is given to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.config.goals import Goals
from tuner.config.schema import TrialConfig
from tuner.training.events import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """One attempt at one trial, complete in itself: the same weights in any worker (CPU, same number of threads)."""

    trial: int
    attempt: int
    seed: int
    """The trial's own seed, from which those of init, shuffling and dropout are derived."""
    config: TrialConfig
    metric: str
    """The objective, as `val/<metric>`."""
    maximize: bool
    checkpoints: tuple[Checkpoint, ...]
    """Recorded checkpoints, the newest first; empty for a fresh start."""
    folder: Path
    """Where checkpoints, log and metrics.jsonl of this trial go."""
    base_dir: Path
    """What relative paths in the config are relative to."""
    threads: int
    device: str
    goals: Goals | None = None
    """What else is recorded, and what a trial must meet to begin; None when it is `metric` alone."""
    n_cores: int = 1
    """Cores that this worker may keep busy: its threads, and loader processes of streamed data."""
