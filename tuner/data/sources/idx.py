"""IDX, the file format of MNIST (yann.lecun.com/exdb/mnist), plain or gzipped.

Two zero bytes, the type, the number of axes, big-endian sizes, values. Read here and not by torchvision, whose import
takes 6 s.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.errors import DataError

UNSIGNED_BYTE, INTEGER = 0x08, 0x0C
TYPES: dict[int, np.dtype[Any]] = {UNSIGNED_BYTE: np.dtype(np.uint8), INTEGER: np.dtype(">i4")}
_NAMES = {UNSIGNED_BYTE: "bytes", INTEGER: "integers"}
MAX_BYTES = 2**32


def read(path: Path, *, ndim: int, code: int = UNSIGNED_BYTE) -> npt.NDArray[Any]:
    """The array in an IDX file; DataError when it is not one of `ndim` axes and this type, or of the size it claims."""
    quick = _read_quickly(path, ndim, code) if path.suffix == ".gz" else None
    if quick is not None:
        return quick
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(path, file.read(4 + 4 * ndim), ndim, code)
            expected = math.prod(shape) * TYPES[code].itemsize
            content = file.read(expected + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); get the file again") from error
    if len(content) != expected:
        got = f"more than {expected}" if len(content) > expected else str(len(content))
        raise DataError(
            f"{path}: {got} bytes of values; expected {expected} for {' x '.join(map(str, shape))}; get the file again"
        )
    values: npt.NDArray[Any] = np.frombuffer(content, dtype=TYPES[code])
    return values.reshape(shape)


def _read_quickly(path: Path, ndim: int, code: int) -> npt.NDArray[Any] | None:
    """The array in a whole gzip file of one member; None for others, which the gzip module reads and finds fault with.

    47 MB of images take 0.36 s, through the gzip module 0.46 s (2-core x86 server).
    """
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        shape = _shape(path, inflater.decompress(path.read_bytes(), 4 + 4 * ndim), ndim, code)
        expected = math.prod(shape) * TYPES[code].itemsize
        content = inflater.decompress(inflater.unconsumed_tail, expected + 1)
    except zlib.error:
        return None
    is_whole = inflater.eof and not inflater.unused_data and len(content) == expected
    return np.frombuffer(content, dtype=TYPES[code]).reshape(shape) if is_whole else None


def _shape(path: Path, header: bytes, ndim: int, code: int) -> tuple[int, ...]:
    expected = bytes((0, 0, code, ndim))
    if len(header) < 4 + 4 * ndim or header[:4] != expected:
        raise DataError(
            f"{path}: starts with {header[:4].hex(' ')}; an IDX file of {_NAMES[code]} with {ndim} axes starts"
            f" with {expected.hex(' ')}"
        )
    shape = struct.unpack(f">{ndim}I", header[4:])
    if math.prod(shape) > MAX_BYTES:
        raise DataError(f"{path}: claims {' x '.join(map(str, shape))} bytes; expected at most {MAX_BYTES}")
    return shape
