"""CIFAR-10 in its Python form: `cifar-10-batches-py/data_batch_1..5, test_batch`, pickles of {b"data", b"labels"}.

Unpickled with only what a NumPy array needs, since a pickle can run any code; torchvision would import for 6 s and call
pickle.load.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.scaling import Array
from tuner.errors import DataError

FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)

_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no part of an array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read(folder: Path, names: tuple[str, ...]) -> tuple[Array, Array]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of the given files; DataError names the damaged one."""
    batches = [_read_batch(folder / name) for name in names]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _read_batch(path: Path) -> tuple[Array, Array]:
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
        by_name = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        images, labels = np.asarray(by_name["data"]), np.asarray(by_name["labels"])
    # What unpickling changed bytes can raise is open-ended; the file is at fault in every case.
    except Exception as error:
        raise DataError(f"{path}: cannot be read as a CIFAR-10 batch ({error!r}); get the file again") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), np.prod(SHAPE)) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {images.dtype} {images.shape} with {len(labels)} labels; expected uint8 (N, 3072) with N labels"
        )
    return images.reshape(-1, *SHAPE), labels.astype(np.int64)
