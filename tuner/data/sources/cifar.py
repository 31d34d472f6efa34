"""CIFAR-10 and CIFAR-100 in their Python form: pickles of {b"data", b"labels"}, or b"fine_labels".

`cifar-10-batches-py/data_batch_1..5, test_batch` and `cifar-100-python/train, test`.

Unpickled with only what a NumPy array needs, since a pickle can run any code; torchvision would import for 6 s and call
pickle.load.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.scaling import Array
from tuner.errors import DataError

FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER_100 = "cifar-100-python"
_NAMES_100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""
LABELS_100 = tuple(_NAMES_100.split())
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


def read(paths: Sequence[Path]) -> tuple[Array, Array]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of the given files; DataError names the damaged one."""
    batches = [_read_batch(path) for path in paths]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _read_batch(path: Path) -> tuple[Array, Array]:
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
        by_name = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        key = "fine_labels" if "fine_labels" in by_name else "labels"
        images, labels = np.asarray(by_name["data"]), np.asarray(by_name[key])
    # What unpickling changed bytes can raise is open-ended; the file is at fault in every case.
    except Exception as error:
        raise DataError(f"{path}: cannot be read as a CIFAR batch ({error!r}); get the file again") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), np.prod(SHAPE)) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {images.dtype} {images.shape} with {len(labels)} labels; expected uint8 (N, 3072) with N labels"
        )
    return images.reshape(-1, *SHAPE), labels.astype(np.int64)
