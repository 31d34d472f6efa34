"""Files of arrays: NumPy's .npz and .npy, torch's .pt; nothing in them is unpickled."""

from __future__ import annotations

import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.config.schema.arrays import ArrayData
from tuner.data.decoded import Decoded, Request
from tuner.data.scaling import Array
from tuner.data.sources.arrays import ArrayFile, decoded
from tuner.data.sources.paths import resolve_existing
from tuner.errors import DataError, NotFoundError

NPY, NPZ = ".npy", ".npz"
PICKLE = b"\x80"


def files(data: ArrayData, base_dir: Path) -> tuple[Path, ...]:
    path = _path(data, base_dir)
    folder = path if path.is_dir() else path.parent
    return tuple(sorted(folder.glob(f"*{NPY}"))) if path.is_dir() or path.suffix == NPY else (path,)


def read(data: ArrayData, request: Request) -> Decoded:
    path = _path(data, request.base_dir)
    if data.kind == "tensors":
        return decoded(data, _tensors(path), request)
    if path.is_dir() or path.suffix == NPY:
        data, file = _npy(data, path)
        return decoded(data, file, request)
    return decoded(data, _npz(path), request)


def _path(data: ArrayData, base_dir: Path) -> Path:
    path = resolve_existing(data.path, base_dir)
    if path is None:
        raise NotFoundError(f"data.path {data.path}: no such file; looked in {base_dir} and {Path.cwd()}")
    if path.is_dir() and data.kind == "tensors":
        raise DataError(f"{path}: a folder; expected a file that torch.save has written")
    return path


def opened(path: Path) -> ArrayFile:
    """The arrays of a file, whatever they are for; that of a .npy file has the file's name."""
    if path.suffix == NPY:
        return ArrayFile(path=path, names=(path.stem,), read=lambda _: _mapped(path))
    return _npz(path) if path.suffix == NPZ else _tensors(path)


# --------------------------------------------------------------------------------------------------------------- NumPy


def _npz(path: Path) -> ArrayFile:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: no .npz file, or not whole; write it with np.savez(path, x=x, y=y)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = tuple(archive.files)
    except Exception as error:  # as below; NumPy would leave open what it has opened itself
        raise _unreadable(str(path), error) from error
    return ArrayFile(path=path, names=names, read=lambda name: _member(path, name))


def _member(path: Path, name: str) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    # zlib, zipfile and NumPy raise what they like at changed bytes; the file is at fault in every case.
    except Exception as error:
        raise _unreadable(f"{path}: {name!r}", error) from error


def _npy(data: ArrayData, path: Path) -> tuple[ArrayData, ArrayFile]:
    """The arrays of a folder, by the names of their files; a file that is named itself has the inputs."""
    folder = path if path.is_dir() else path.parent
    names = tuple(sorted(file.stem for file in folder.glob(f"*{NPY}")))
    file = ArrayFile(path=folder, names=names, read=lambda name: _mapped(folder / f"{name}{NPY}"))
    keys = ("x", "y", "x_val", "y_val", "x_test", "y_test")
    stems = {key: name.removesuffix(NPY) for key in keys if (name := getattr(data, key)) is not None}
    if not path.is_dir():
        stems = {"x": path.stem, **stems}
    return data.model_copy(update=stems), file


def _mapped(path: Path) -> Array:
    try:
        _refuse_cut_off(path)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(str(path), error) from error


def _refuse_cut_off(path: Path) -> None:
    """ValueError for a file that is shorter than its header says: NumPy would leave it open."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        n_bytes = file.tell() + math.prod(shape) * dtype.itemsize
    if path.stat().st_size < n_bytes and not dtype.hasobject:
        raise ValueError(f"{path.stat().st_size} bytes; expected {n_bytes}")


def _unreadable(place: str, error: Exception) -> DataError:
    if "allow_pickle" in str(error) or "Object arrays" in str(error) or "Python object" in str(error):
        return DataError(
            f"{place}: holds Python objects, and unpickling them could run code; save numbers or text, such as"
            " np.array(values, dtype=np.float32), padded to one shape"
        )
    return DataError(f"{place}: cannot be read ({_first_line(error)}); write the file again")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__


# --------------------------------------------------------------------------------------------------------------- torch


def _tensors(path: Path) -> ArrayFile:
    with path.open("rb") as file:
        is_pickle = file.read(1) == PICKLE  # torch's form of before 1.6
    if not is_pickle and not zipfile.is_zipfile(path):
        raise DataError(f"{path}: cannot be read: no file of torch.save, or not whole; write it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=not is_pickle)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: holds Python objects besides tensors, and unpickling them could run code; save tensors alone:"
            " torch.save({'x': x, 'y': y}, path)"
        ) from error
    # What changed bytes can raise is open-ended; the file is at fault in every case.
    except Exception as error:
        raise DataError(f"{path}: cannot be read ({_first_line(error)}); write it again with torch.save") from error
    named = _named(path, content)
    return ArrayFile(
        path=path, names=tuple(named), read=lambda name: _as_array(f"{path}: {name!r}", named[name]), is_torch=True
    )


def _named(path: Path, content: Any) -> dict[str, Any]:
    if isinstance(content, Mapping):
        return {str(name): value for name, value in content.items()}
    if isinstance(content, torch.Tensor):
        return {"x": content}
    if isinstance(content, (list, tuple)) and len(content) == len(("x", "y")):
        return {"x": content[0], "y": content[1]}
    raise DataError(f"{path}: {type(content).__name__}; expected a dict of tensors, a pair (x, y) or a tensor")


def _as_array(place: str, value: Any) -> Array:
    if not isinstance(value, torch.Tensor):
        texts = (
            isinstance(value, (list, tuple)) and value and all(isinstance(item, (str, int, float)) for item in value)
        )
        if texts:
            return np.asarray(value)
        raise DataError(f"{place}: {type(value).__name__}; expected a tensor")
    if value.layout is not torch.strided or value.is_quantized or value.is_complex():
        raise DataError(f"{place}: a tensor of {value.layout} {value.dtype}; expected plain numbers: value.to_dense()")
    value = value.detach()
    return np.asarray((value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy())
