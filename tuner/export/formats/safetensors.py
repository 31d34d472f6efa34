"""Safetensors: the weights without pickle, and in the metadata all that is needed to build the model around them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tuner.errors import ExportError, VerificationError
from tuner.export.bundle import CODE, Bundle
from tuner.export.formats.graph import Axes
from tuner.export.loaded import LoadedModel, refuse_code, restored

FRAMEWORK = {"format": "pt"}
"""What other readers look for: whose tensors these are."""


def write(model: LoadedModel, _rows: Tensor, _axes: Axes, path: Path) -> None:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for name, value in model.module.state_dict().items():
        if not isinstance(value, Tensor):
            raise ExportError(f"{name!r} of the state_dict is a {type(value).__name__}, no tensor")
        tensors[name] = value.detach().clone().contiguous()  # those that share memory are refused
    path.write_bytes(save(tensors, metadata={**model.bundle.to_texts(), **FRAMEWORK}))  # its own file is 0600


def open_file(path: Path, allow_code: bool) -> LoadedModel:
    """The model; a config that names files of the user's own finds them in the folder `code` beside the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise VerificationError(f"{path}: cannot be read as safetensors ({error}); export it again") from error
    bundle = Bundle.from_texts(texts, path)
    refuse_code(bundle, path, allow_code=allow_code)
    return restored(bundle, weights, code=path.parent / CODE)
