"""What is kept of an epoch, read for an export."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from tuner.errors import StorageError, VerificationError
from tuner.paths import write_atomically
from tuner.training import checkpoint as checkpoints
from tuner.training.job import TrainJob


def stored_state(job: TrainJob, epoch: int) -> dict[str, Any]:
    """The checkpoint of an epoch; VerificationError when it is not there, or not the one that was recorded."""
    stored = next((item for item in job.checkpoints if item.epoch == epoch), None)
    if stored is None:
        raise VerificationError(f"trial {job.trial} has no stored weights of epoch {epoch}")
    try:
        return checkpoints.load(job.folder, stored, torch.device("cpu"))
    except checkpoints.CorruptCheckpointError as error:
        raise VerificationError(f"the weights of trial {job.trial} cannot be trusted: {error}") from error


def write_tensors(path: Path, content: object) -> None:
    """Write what torch.load reads; StorageError when that fails."""
    # In memory first: torch reports a full disk as RuntimeError.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise StorageError(f"{path}: the weights cannot be written: {error.strerror}") from error
