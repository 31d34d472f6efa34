"""The plain state_dict, which is always there; what else the model needs is in the files beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tuner.export.formats.graph import Axes
from tuner.export.loaded import LoadedModel, load_folder


def write(model: LoadedModel, _rows: Tensor, _axes: Axes, path: Path) -> None:
    torch.save(model.module.state_dict(), path)


def open_file(path: Path, allow_code: bool) -> LoadedModel:
    return load_folder(path.parent, allow_code=allow_code)
