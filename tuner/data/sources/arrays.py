"""Named arrays as a data set: which of them are the inputs and targets of which part, and what they are.

N rows of all parts together: those for training, then val, then test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.arrays import ArrayData
from tuner.data.cache import write_rows
from tuner.data.decoded import CHUNK_BYTES, ArrayRows, Decoded, Request
from tuner.data.encoders import ImageEncoder, TensorEncoder
from tuner.data.info import Layout
from tuner.data.items import CHANNELS, IMAGE_NDIM
from tuner.data.scaling import Array
from tuner.data.sources.array_targets import read_targets
from tuner.data.splits import PARTS, Indices
from tuner.errors import DataError

ALIASES = {
    "x": ("x", "X", "x_train", "X_train", "inputs", "data", "images", "features"),
    "y": ("y", "Y", "y_train", "Y_train", "targets", "target", "labels", "label"),
    "x_val": ("x_val", "X_val", "x_valid", "X_valid"),
    "y_val": ("y_val", "Y_val", "y_valid", "Y_valid"),
    "x_test": ("x_test", "X_test"),
    "y_test": ("y_test", "Y_test"),
}
"""Where an option that names an array is null, the first of these that is there."""
SEQUENCE_NDIM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """A file, or several, with arrays by name."""

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], Array]
    """An array by its name; DataError where it is none, or is damaged."""
    is_torch: bool = False
    """Whether ambiguous images have their channels first, as torch's have."""

    def place(self, name: str) -> str:
        return f"{self.path}: {name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfFile:
    """The arrays of one part."""

    part: str
    x_name: str
    x: Array
    y_name: str
    y: Array


def decoded(data: ArrayData, file: ArrayFile, request: Request) -> Decoded:
    has_targets = request.task != "autoencoding"
    found = [part for name in PARTS if (part := _part(data, file, name, has_targets=has_targets)) is not None]
    encoder = _encoder(data, file, found)
    for part in found:
        _check_shape(file, part, found[0])
    numbers = Numbering(file=file, parts=tuple(found))
    task, labels, targets = read_targets(data, [part.y for part in found], request.task, numbers.target_name)
    rows = _stored(request.scratch / "arrays.npy", encoder, numbers)
    return Decoded(
        task=task,
        labels=labels,
        rows=ArrayRows(array=rows, encoder=encoder),
        targets=targets,
        given=numbers.given,
        row_name=numbers.target_name,
        layout=_layout(data, encoder),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """All rows of all parts, one after the other."""

    file: ArrayFile
    parts: tuple[PartOfFile, ...]

    @property
    def given(self) -> dict[str, Indices]:
        begins, given = 0, {}
        for part in self.parts:
            if part.part != "train":
                given[part.part] = np.arange(begins, begins + len(part.x))
            begins += len(part.x)
        return given

    def target_name(self, row: int) -> str:
        part, index = self._locate(row)
        return f"{self.file.place(part.y_name)}: row {index}"

    def _locate(self, row: int) -> tuple[PartOfFile, int]:
        for part in self.parts:
            if row < len(part.x):
                return part, row
            row -= len(part.x)
        raise AssertionError(f"row {row} of none")


# ----------------------------------------------------------------------------------------------------------- the names


def _part(data: ArrayData, file: ArrayFile, part: str, *, has_targets: bool) -> PartOfFile | None:
    """The arrays of a part; None where the file has none of it."""
    suffix = "" if part == "train" else f"_{part}"
    x_name, y_name = _name(data, file, f"x{suffix}"), _name(data, file, f"y{suffix}")
    if part != "train" and x_name is None and (y_name is None or not has_targets):
        return None
    if x_name is not None and y_name is None and not has_targets:
        x = file.read(x_name)
        return PartOfFile(part=part, x_name=x_name, x=x, y_name=x_name, y=np.zeros(len(np.atleast_1d(x))))
    if x_name is None or y_name is None:
        key = f"x{suffix}" if x_name is None else f"y{suffix}"
        raise DataError(
            f"{file.path}: no array for data.{key}; looked for {', '.join(ALIASES[key])}, and it has"
            f" {', '.join(file.names) or 'none'}: name one in data.{key}"
        )
    x, y = file.read(x_name), file.read(y_name)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        got = f"{_length(x)} rows, but {y_name!r} has {_length(y)}"
        raise DataError(f"{file.place(x_name)}: {got}; inputs and targets need as many rows")
    if part == "train" and not len(x):
        raise DataError(f"{file.place(x_name)}: no rows")
    return PartOfFile(part=part, x_name=x_name, x=x, y_name=y_name, y=y)


def _length(array: Array) -> str:
    return str(len(array)) if array.ndim else "a single value instead of"


def _name(data: ArrayData, file: ArrayFile, key: str) -> str | None:
    wanted: str | None = getattr(data, key)
    if wanted is None:
        return next((name for name in ALIASES[key] if name in file.names), None)
    if wanted not in file.names:
        shown = ", ".join(file.names) or "none"
        raise DataError(f"{file.path}: data.{key}: no array {wanted!r}{suggestion(wanted, file.names)}; it has {shown}")
    return wanted


# ---------------------------------------------------------------------------------------------------------- the inputs


def _encoder(data: ArrayData, file: ArrayFile, parts: Sequence[PartOfFile]) -> ImageEncoder | TensorEncoder:
    first = parts[0]
    if first.x.dtype.kind not in "biuf":
        raise DataError(f"{file.place(first.x_name)}: values of type {first.x.dtype}; expected numbers")
    kind = data.inputs if data.inputs != "auto" else _kind_of(first.x)
    shape = first.x.shape[1:] or (1,)
    if kind == "tokens":
        _check_tokens(file, parts)
        most = max(int(part.x.max(initial=0)) for part in parts)
        return TensorEncoder(
            shape=shape, dtype="int64", n_tokens=max(most, data.padding or 0) + 1, padding=data.padding
        )
    if data.padding is not None:
        raise DataError(f"data.padding: is for tokens, and {file.place(first.x_name)} has {kind}; leave it out")
    if kind == "numbers":
        return TensorEncoder(shape=shape, dtype="float32")
    image = _image_shape(file, first, shape)
    return ImageEncoder(shape=image) if first.x.dtype == np.uint8 else TensorEncoder(shape=image, dtype="float32")


def _kind_of(x: Array) -> str:
    if x.dtype == np.uint8:
        return "images" if x.ndim in (IMAGE_NDIM, IMAGE_NDIM + 1) else "numbers"
    is_tokens = x.dtype.kind in "iu" and x.ndim == SEQUENCE_NDIM and len(x) > 0 and int(x.min()) >= 0
    return "tokens" if is_tokens else "numbers"


def _check_tokens(file: ArrayFile, parts: Sequence[PartOfFile]) -> None:
    for part in parts:
        if part.x.dtype.kind not in "iu":
            raise DataError(f"{file.place(part.x_name)}: values of type {part.x.dtype}; tokens are integers")
        if len(part.x) and int(part.x.min()) < 0:
            row = int(np.argwhere(part.x < 0)[0][0])
            raise DataError(f"{file.place(part.x_name)}: row {row}: a token below 0; number tokens from 0")


def _image_shape(file: ArrayFile, part: PartOfFile, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width; which axis has the channels is told by the shape."""
    if len(shape) == IMAGE_NDIM - 1:
        return 1, shape[0], shape[1]
    first, last = (len(shape) == IMAGE_NDIM and shape[axis] in CHANNELS for axis in (0, -1))
    if not first and not last:
        raise DataError(
            f"{file.place(part.x_name)}: rows of shape {shape}; expected images (H, W), (C, H, W) or (H, W, C) of 1 to"
            " 4 channels, or set data.inputs: numbers"
        )
    if part.x.dtype != np.uint8 or (first and (file.is_torch or not last)):
        if not first:
            raise DataError(
                f"{file.place(part.x_name)}: images of {part.x.dtype} with channels last {shape}; put the channels"
                " first, (N, C, H, W)"
            )
        return shape[0], shape[1], shape[2]
    return shape[2], shape[0], shape[1]


def _check_shape(file: ArrayFile, part: PartOfFile, first: PartOfFile) -> None:
    if part.x.shape[1:] != first.x.shape[1:] or part.x.dtype != first.x.dtype:
        raise DataError(
            f"{file.place(part.x_name)}: {part.x.dtype} rows of shape {part.x.shape[1:]}; expected {first.x.dtype}"
            f" {first.x.shape[1:]}, as in {first.x_name!r}"
        )


def _stored(path: Path, encoder: ImageEncoder | TensorEncoder, numbers: Numbering) -> Array:
    """All rows in stored form, as one memory-mapped file."""
    chunks = (chunk for part in numbers.parts for chunk in _chunks(part, encoder, numbers.file))
    n_rows = sum(len(part.x) for part in numbers.parts)
    write_rows(path, chunks, n_rows=n_rows, row_shape=encoder.shape, dtype=encoder.dtype)
    rows: Array = np.load(path, mmap_mode="r")
    return rows


def _chunks(part: PartOfFile, encoder: ImageEncoder | TensorEncoder, file: ArrayFile) -> Iterator[Array]:
    step = max(1, CHUNK_BYTES // max(1, part.x.nbytes // max(1, len(part.x))))
    for start in range(0, len(part.x), step):
        chunk = part.x[start : start + step]
        if encoder.dtype == "float32":
            chunk = _finite(chunk, start, part, file)
        is_channels_last = chunk.ndim == IMAGE_NDIM + 1 and chunk.shape[1:] != encoder.shape
        chunk = np.moveaxis(chunk, -1, 1) if is_channels_last else chunk
        yield chunk.reshape(-1, *encoder.shape)


def _finite(chunk: Array, start: int, part: PartOfFile, file: ArrayFile) -> Array:
    with np.errstate(over="ignore"):
        small = chunk.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(small))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        where = f"row {start + place[0]}" + (f" at {place[1:]}" if len(place) > 1 else "")
        raise DataError(
            f"{file.place(part.x_name)}: {where}: {chunk[place]}; expected finite numbers of float32's range: fill it"
            " in, or remove the row"
        )
    return small


def _layout(data: ArrayData, encoder: ImageEncoder | TensorEncoder) -> Layout:
    return data.layout if data.layout != "auto" and len(encoder.shape) == SEQUENCE_NDIM else ""
