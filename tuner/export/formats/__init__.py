"""The formats that a model can be exported to, one module each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from tuner.config.messages import suggestion
from tuner.errors import MissingError, UsageError
from tuner.export.bundle import WEIGHTS
from tuner.export.formats import onnx, pt, pt2, safetensors
from tuner.export.formats.graph import Axes
from tuner.export.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to keep a model in a file."""

    file: str
    write: Callable[[LoadedModel, Tensor, Axes, Path], None]
    """Write a model by some preprocessed rows of its data, of whose axes some vary. Raises what its libraries raise."""
    open: Callable[[Path, bool], LoadedModel]
    """Read what was written; the flag allows code that a config names to be run."""
    remedy: str
    """What to do about a model that cannot be written so."""
    packages: tuple[str, ...] = ()
    """What writing takes besides torch."""
    reader: str = ""
    """The package that reading takes."""
    extra: str = ""
    """Which extra of tuner installs them."""


FORMATS: dict[str, Format] = {
    "pt": Format(file=WEIGHTS, write=pt.write, open=pt.open_file, remedy="export the trial again"),
    "safetensors": Format(
        file="model.safetensors",
        write=safetensors.write,
        open=safetensors.open_file,
        remedy="keep what is no tensor out of the state_dict, or take --format pt",
    ),
    "onnx": Format(
        file="model.onnx",
        write=onnx.write,
        open=onnx.open_file,
        remedy="change the operation in the model, or take --format pt2 or safetensors, which know all of torch's",
        packages=("onnx", "onnxscript", "onnxruntime"),
        reader="onnxruntime",
        extra="onnx",
    ),
    "pt2": Format(
        file="model.pt2",
        write=pt2.write,
        open=pt2.open_file,
        remedy="keep forward free of branches on values, or take --format safetensors, which has the weights alone",
    ),
}


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names once each, the weights first; UsageError for one that is unknown, MissingError without its packages."""
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"--format {name}: unknown format{suggestion(name, FORMATS)}")
        require(name, FORMATS[name].packages)
    return tuple(name for name in FORMATS if name == "pt" or name in names)


def require(name: str, packages: Sequence[str]) -> None:
    """MissingError when one of the packages is not installed."""
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        raise MissingError(
            f"format {name} needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed: pip"
            f' install "tuner[{FORMATS[name].extra}]"'
        )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # a module that somebody put there by hand
        return False
