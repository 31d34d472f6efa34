"""Scores on the sealed test part: each set of weights is scored once, and the score is kept.

Scoring again would give the same numbers, and the temptation to choose by them. The key is the checksum of the
checkpoint, so that a score belongs to weights and to nothing else.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.paths import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedScore:
    """What the weights of a checkpoint gave on the test part, and when that was asked."""

    metrics: Mapping[str, float]
    scored_at: float
    """Seconds since 1970."""
    details: Mapping[str, Any] | None = None
    """What each class came to."""

    @property
    def day(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.scored_at))


def read_score(folder: Path, sha256: str) -> SealedScore | None:
    """The score of these weights; None when they were never scored."""
    try:
        found = json.loads(_file(folder, sha256).read_bytes())
        metrics = {name: math.nan if value is None else float(value) for name, value in found["metrics"].items()}
        return SealedScore(metrics=metrics, scored_at=float(found["scored_at"]), details=found.get("details"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep_score(folder: Path, sha256: str, score: SealedScore, trial: int) -> None:
    """Keep a score beside the study's trials."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {name: value if math.isfinite(value) else None for name, value in score.metrics.items()}
    content = {"trial": trial, "scored_at": score.scored_at, "metrics": metrics, "details": score.details}
    write_atomically(_file(folder, sha256), json.dumps(content, indent=1).encode())


def _file(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.json"
