"""Names of checkpoint files, and which of them stay; apart from `checkpoint` because the driver does not load torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PATTERN = "epoch-*.pt"


def file_name(epoch: int) -> str:
    return f"epoch-{epoch:05d}.pt"


def retain(folder: Path, epochs: Iterable[int]) -> None:
    """Delete every checkpoint in `folder` but those of `epochs`, and what a death in the middle of a write left."""
    kept = {file_name(epoch) for epoch in epochs}
    for path in [*folder.glob(PATTERN), *folder.glob(f".{PATTERN}.tmp")]:
        if path.name not in kept:
            path.unlink(missing_ok=True)
