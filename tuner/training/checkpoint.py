"""Checkpoints: one self-contained file an epoch, written atomically, verified by checksum, loaded without pickled code.

The order of a write is: temporary file, fsync, rename, fsync of the folder. The checksum is recorded last, by the
driver, in the same transaction as the epoch's metrics: a file that no row names does not count. The previous file stays
until the driver has acknowledged the new one, so that at least one recorded checkpoint is always whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from tuner.faults import fault_point
from tuner.paths import sync_folder
from tuner.training.checkpoint_files import file_name
from tuner.training.events import Checkpoint


class CorruptCheckpointError(Exception):
    """A checkpoint is missing, was changed, or cannot be read."""


def save(folder: Path, epoch: int, payload: dict[str, Any]) -> Checkpoint:
    """Write the checkpoint of `epoch` into `folder`.

    Raises OSError when the disk is full; then nothing is left behind and older checkpoints are untouched. The bytes are
    made in memory first, since torch reports a full disk as RuntimeError.
    """
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    content = buffer.getbuffer()
    path = folder / file_name(epoch)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fault_point("checkpoint_written")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    fault_point("checkpoint_renamed")
    return Checkpoint(
        epoch=epoch, file=path.name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=content.nbytes
    )


def verify(folder: Path, checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint; raises CorruptCheckpointError when they are not the recorded ones."""
    path = folder / checkpoint.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptCheckpointError(f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != checkpoint.sha256:
        raise CorruptCheckpointError(f"{path}: its checksum is not the recorded one")
    return content


def load(folder: Path, checkpoint: Checkpoint, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint back; raises CorruptCheckpointError when it is not, to the bit, the one that was recorded."""
    content = verify(folder, checkpoint)
    try:
        payload: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CorruptCheckpointError(f"{folder / checkpoint.file}: {error}") from error
    return payload
