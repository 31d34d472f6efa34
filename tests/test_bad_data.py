"""Bad data of every source: refused before the first trial, in one line that says where and what to do.

The details of each source are tested beside it; here it is what a person meets, some of it through the command line.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuner.config.spec import find_file, load
from tuner.data.prepare import prepare
from tuner.errors import DataError

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}

OWN = """
import os, signal
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

class Good:
    def __len__(self):
        return 1000
    def __getitem__(self, i):
        return torch.full((3,), float(i)), i % 2

class Raises(Good):
    def __getitem__(self, i):
        if i == 917:
            raise OSError("cannot decode frame")
        return super().__getitem__(i)

class Grows(Good):
    def __getitem__(self, i):
        return torch.zeros(3 if i < 917 else 4) + i, i % 2

class Infinite(Good):
    def __getitem__(self, i):
        return torch.full((3,), float("inf") if i == 917 else float(i)), i % 2

class Labels(Good):
    def __getitem__(self, i):
        return torch.full((3,), float(i)), -7 if i == 917 else i % 2

class Nothing(Good):
    def __getitem__(self, i):
        return None if i == 917 else super().__getitem__(i)

class Words(Good):
    def __getitem__(self, i):
        return "some text", i % 2

class Ends(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(3), 0)] * 20)

class Loses(Good):
    def __getitem__(self, i):
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(i)
"""


def own(name: str, options: str = "") -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / "mine.py").write_text(OWN)
        return f"{{kind: python, target: mine.py:{name}{options}}}"

    return write


def text_file(name: str, content: bytes, section: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return section

    return write


def truncated_idx(folder: Path) -> str:
    images = struct.pack(">IIII", 0x803, 100, 28, 28) + bytes(28 * 28 * 50)
    labels = struct.pack(">II", 0x801, 100) + bytes(100)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return "{kind: mnist, root: ., download: false}"


def broken_png(folder: Path) -> str:
    for label in ("cat", "dog"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((4, 4, 3), number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    path = folder / "photos" / "dog" / "7.png"
    path.write_bytes(path.read_bytes()[:40])
    return "{kind: image_folder, path: photos}"


def damaged_npz(folder: Path) -> str:
    np.savez(folder / "arrays.npz", x=np.zeros((20, 3)), y=np.arange(20) % 2)
    content = bytearray((folder / "arrays.npz").read_bytes())
    content[content.rfind(b"PK\x01\x02")] = 0
    (folder / "arrays.npz").write_bytes(content)
    return "{kind: npz, path: arrays.npz}"


def encrypted_zip(folder: Path) -> str:
    """What one with a password says of its file."""
    with zipfile.ZipFile(folder / "table.zip", "w") as archive:
        archive.writestr("table.csv", table(GOOD_ROWS))
    content = bytearray((folder / "table.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + place] |= 1
    (folder / "table.zip").write_bytes(content)
    return "{kind: csv, path: table.zip, target: y}"


def section(text: str) -> Callable[[Path], str]:
    return lambda _: text


NO_SPLIT = "{kind: torchvision, name: EMNIST, root: ., download: false, options: {split: nope}}"
RAGGED = "{kind: sklearn, name: make_multilabel_classification, options: {return_indicator: false}}"


def table(rows: str) -> bytes:
    return ("a,b,y\n" + rows).encode()


GOOD_ROWS = "".join(f"{i},{i % 3},{'yes' if i % 2 else 'no'}\n" for i in range(40))
CSV = "{kind: csv, path: table.csv, target: y}"

CASES: dict[str, tuple[Callable[[Path], str], tuple[str, ...]]] = {
    "raises": (own("Raises"), ("mine.py:Raises: item 917 raised OSError: cannot decode frame (mine.py:16)",)),
    "grows": (own("Grows"), ("item 917", "expected float32 (3,)", "resize or pad to one shape and type")),
    "infinite": (own("Infinite"), ("item 917", "inf", "finite")),
    "labels": (own("Labels"), ("item 917: label -7", "number the classes 0, 1, ...")),
    "nothing": (own("Nothing"), ("item 917", "None")),
    "words": (own("Words"), ("item 0", "values of type <U9")),
    "ends": (own("Ends", ", epoch_items: 50"), ("ended after 20 items", "data.epoch_items")),
    "ragged": (text_file("table.csv", table(GOOD_ROWS + "1,2,3,yes\n"), CSV), ("table.csv", "42")),
    "encoding": (text_file("table.csv", table(GOOD_ROWS) + b"\xff\xfe,1,yes\n", CSV), ("table.csv", "UTF-8")),
    "column": (text_file("table.csv", table(GOOD_ROWS), CSV.replace("y}", "z}")), ("table.csv", "'z'", "a, b, y")),
    "one class": (text_file("table.csv", table("1,2,no\n" * 20), CSV), ("only one class",)),
    "truncated": (truncated_idx, ("idx3-ubyte",)),
    "picture": (broken_png, ("7.png",)),
    "npz": (damaged_npz, ("arrays.npz: cannot be read (Bad magic number",)),
    "password": (encrypted_zip, ("table.zip: cannot be unpacked", "encrypted")),
    "split": (section(NO_SPLIT), ("EMNIST cannot be made", "'nope'")),
    "ragged labels": (section(RAGGED), ("targets of different lengths", "return_indicator")),
}


def write_space(folder: Path, data: str) -> Path:
    (folder / "space.yaml").write_text(
        f"version: 1\ndata: {data}\nmodel: {{kind: mlp, width: 8}}\ntrain: {{epochs: 1}}\nconfirm: off\n"
        "space: {optimizer.lr: {low: 1e-3, high: 1e-1}}\nsearch: {trials: 3, workers: 1}\n"
    )
    return folder / "space.yaml"


def search(folder: Path, data: str) -> subprocess.CompletedProcess[str]:
    write_space(folder, data)
    return subprocess.run(
        [sys.executable, "-m", "tuner", "search", "--space", "space.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_its_place_and_the_remedy(case: str, tmp_path: Path) -> None:
    write, parts = CASES[case]
    spec = load(find_file(str(write_space(tmp_path, write(tmp_path)))))
    with pytest.raises(DataError) as caught:
        prepare(spec.base.data, metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache")
    for part in parts:
        assert part in caught.value.message
    assert "\n" not in caught.value.message
    assert not [path.name for path in (tmp_path / "cache").iterdir() if path.name != "lock"]


@pytest.mark.slow
@pytest.mark.parametrize("case", ("raises", "nothing", "ends", "ragged", "truncated", "picture"))
def test_a_search_refuses_it_with_its_place_and_records_nothing(case: str, tmp_path: Path) -> None:
    write, parts = CASES[case]
    done = search(tmp_path, write(tmp_path))
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in line
    assert "Traceback" not in done.stdout + done.stderr
    if (tmp_path / "studies.db").exists():
        with sqlite3.connect(tmp_path / "studies.db") as database:
            assert database.execute("select count(*) from trials").fetchone() == (0,)


@pytest.mark.slow
def test_a_sampler_that_raises_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    data = own("Good", ', sampler: "mine.py:Lost"')(tmp_path)
    (tmp_path / "mine.py").write_text(OWN + "\ndef Lost(targets):\n    return [len(targets)]\n")
    done = search(tmp_path, data)
    assert done.returncode == 2
    assert "error: data.sampler mine.py:Lost gives row 800; expected 0 to 799" in done.stderr


@pytest.mark.slow
def test_a_loader_that_is_killed_fails_the_trial_and_leaves_the_study_whole(tmp_path: Path) -> None:
    done = search(tmp_path, own("Loses", ", in_memory: false, num_workers: 1")(tmp_path))
    assert done.returncode == 1
    assert "a loader process ended" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    with sqlite3.connect(tmp_path / "studies.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("select distinct state from trials").fetchall() == [("FAIL",)]
