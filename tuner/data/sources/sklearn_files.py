"""The files inside the scikit-learn package, read without importing it: `sklearn.datasets` takes 1.9 s of CPU time.

A test compares every number with what `sklearn.datasets` loads. Where a later version keeps its files elsewhere, that
is what is used.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tuner.data.scaling import Array

IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
WINE = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
)
CELLS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
BREAST_CANCER = (
    *(f"mean {name}" for name in CELLS),
    *(f"{name} error" for name in CELLS),
    *(f"worst {name}" for name in CELLS),
)
DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
PIXELS = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A small data set: values [N, F], targets [N], and the names of columns and classes."""

    values: Array
    targets: Array
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()


def read(kind: str) -> Table | None:
    """The data set from its files; None when they are not where they are expected, or not what is expected."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    try:
        table = READERS[kind](Path(spec.origin).parent / "datasets" / "data")
    except (OSError, ValueError, EOFError, zlib.error):
        return None
    return table if table.values.shape == (len(table.targets), len(table.columns)) else None


def _digits(folder: Path) -> Table:
    text = gzip.decompress((folder / "digits.csv.gz").read_bytes()).decode("ascii")
    values = np.fromstring(text.replace("\n", ","), sep=",").reshape(-1, len(PIXELS) + 1)
    return Table(values=values[:, :-1], targets=values[:, -1], columns=PIXELS, labels=tuple(map(str, range(10))))


def _classes(file_name: str, columns: tuple[str, ...]) -> Callable[[Path], Table]:
    """A file whose first line has the numbers of rows and columns and the names of the classes."""

    def read_classes(folder: Path) -> Table:
        first, *lines = (folder / file_name).read_text(encoding="utf-8").splitlines()
        rows = np.array([line.split(",") for line in lines]).astype(np.float64)
        labels = tuple(first.split(",")[2:])
        return Table(values=rows[:, :-1], targets=rows[:, -1], columns=columns, labels=labels)

    return read_classes


def _diabetes(folder: Path) -> Table:
    values, targets = (
        np.loadtxt(folder / name, encoding="utf-8") for name in ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")
    )
    return Table(values=values, targets=targets, columns=DIABETES)


READERS: dict[str, Callable[[Path], Table]] = {
    "digits": _digits,
    "iris": _classes("iris.csv", IRIS),
    "wine": _classes("wine_data.csv", WINE),
    "breast_cancer": _classes("breast_cancer.csv", BREAST_CANCER),
    "diabetes": _diabetes,
}
