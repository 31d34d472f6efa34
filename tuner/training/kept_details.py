"""The details of a trial's best epoch, beside its checkpoints; see `tuner.training.details` for what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "details.json"
"""In a trial's folder."""


def keep_details(folder: Path, epoch: int, details: Mapping[str, Any] | None) -> None:
    """Keep the details of the validation part after a trial's best epoch, in the place of those of another one."""
    if details is None:
        return
    temporary = folder / f".{FILE}.tmp"  # no fsync: what a power loss takes is seen again at the next best epoch
    temporary.write_text(json.dumps({"epoch": epoch, "val": details}), encoding="utf-8")
    temporary.replace(folder / FILE)


def kept_details(folder: Path, epoch: int) -> dict[str, Any] | None:
    """The details of the validation part after an epoch; None where they were not kept."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        return dict(found["val"]) if found["epoch"] == epoch else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
