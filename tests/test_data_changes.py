"""Data that changed between two looks: what was decoded before is not taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuner.config.imported import with_imports
from tuner.config.schema import PythonData
from tuner.config.schema.images import TorchvisionData
from tuner.data.prepare import Prepared, prepare

OWN = """
import torch
from pathlib import Path
from tools.shifts import SHIFT

class Mine:
    def __init__(self, path=None):
        self.rows = [float(x) for x in Path(path).read_text().split()] if path else list(range(40))
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, i):
        return torch.tensor([self.rows[i] + SHIFT, 1.0]), i % 2
"""
COLLATE = """
import torch
def pad(items):
    return torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("")
    (tmp_path / "tools" / "shifts.py").write_text("SHIFT = 0.0\n")
    return tmp_path


def n_decoded(folder: Path, data: PythonData | TorchvisionData) -> int:
    """How often the data have been decoded, after one more look."""
    prepared(folder, data)
    return sum(path.is_dir() for path in (folder / "runs").iterdir())


def prepared(folder: Path, data: PythonData | TorchvisionData) -> Prepared:
    return prepare(data, metric="accuracy", seed=0, base_dir=folder, cache_dir=folder / "runs")


def test_a_module_that_a_dataset_imports_is_a_part_of_it(folder: Path) -> None:
    data = PythonData(target="mine.py:Mine")
    assert n_decoded(folder, data) == n_decoded(folder, data) == 1
    (folder / "tools" / "shifts.py").write_text("SHIFT = 5.00\n")
    (folder / "unrelated.py").write_text("")
    assert n_decoded(folder, data) == 2


def test_so_is_a_file_that_its_options_name(folder: Path) -> None:
    (folder / "rows.txt").write_text(" ".join(map(str, range(40))))
    data = PythonData(target="mine.py:Mine", options={"path": "rows.txt"})
    assert n_decoded(folder, data) == 1
    (folder / "rows.txt").write_text(" ".join(map(str, range(1, 51))))
    assert n_decoded(folder, data) == 2
    info = prepared(folder, data).info
    assert info.n_train + info.n_val + info.n_test == 50


def test_a_collate_function_of_another_file_makes_other_batches(folder: Path) -> None:
    (folder / "batches.py").write_text(COLLATE)
    data = PythonData(target="mine.py:Mine", collate="batches.py:pad")
    before = prepared(folder, data).train.targets
    (folder / "batches.py").write_text(COLLATE.replace("[y for", "[1 - y for"))
    assert (prepared(folder, data).train.targets == 1 - before).all()


def test_imports_are_followed_through_packages_and_in_circles(folder: Path) -> None:
    (folder / "tools" / "__init__.py").write_text("from . import shifts\nimport json, numpy.linalg\n")
    (folder / "tools" / "shifts.py").write_text("from ..mine import OTHER\nfrom .deep import *\nSHIFT = 0.0\n")
    (folder / "tools" / "deep.py").write_text("no python")
    (folder / "alone.py").write_text("")
    found = with_imports([folder / "mine.py"], [folder])
    assert sorted(path.relative_to(folder.resolve()).as_posix() for path in found) == [
        "mine.py",
        "tools/__init__.py",
        "tools/deep.py",
        "tools/shifts.py",
    ]


def test_the_first_module_of_a_name_counts_and_installed_packages_are_not_looked_through(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "net.py").write_text("import shared, torch, pytest\n")
    for place in (folder, folder / "code"):
        (place / "shared.py").write_text("")
    found = with_imports([folder / "code" / "net.py", Path(np.__file__)], [folder])
    assert sorted(found) == sorted([folder / "code" / "net.py", folder / "code" / "shared.py", Path(np.__file__)])


def write_images(folder: Path, label: str, numbers: range) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((6, 6, 3), number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / label / f"{number}.png")


@pytest.mark.parametrize("root", ("images", "."))
def test_images_that_are_added_below_a_root_are_seen(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        write_images(tmp_path / "images", label, range(12))
    data = TorchvisionData(name="ImageFolder", root="images") if root == "images" else eurosat(tmp_path)
    assert n_decoded(tmp_path, data) == n_decoded(tmp_path, data) == 1
    (tmp_path / "studies.db").write_bytes(b"grows")
    assert n_decoded(tmp_path, data) == 1
    added = tmp_path / ("images" if root == "images" else "eurosat/2750")
    write_images(added, "cat", range(12, 15))
    assert n_decoded(tmp_path, data) == 2
    info = prepared(tmp_path, data).info
    assert info.n_train + info.n_val + info.n_test == 27


def eurosat(folder: Path) -> TorchvisionData:
    """A data set whose root is where one works."""
    (folder / "eurosat").mkdir()
    (folder / "images").rename(folder / "eurosat" / "2750")
    return TorchvisionData(name="EuroSAT", root=".", download=False)
