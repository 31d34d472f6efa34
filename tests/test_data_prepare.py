"""The decoded data on disk: made once, found again, never half there."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tuner.config.schema import Data, ImageData, PythonData, SklearnData, Split
from tuner.data import cache
from tuner.data.batches import eval_batches, train_batches
from tuner.data.info import DataInfo
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.errors import DataError, StorageError

DATASET = """
import os, signal
from pathlib import Path
HERE = Path(__file__).parent

class Mine:
    def __init__(self, value=0.0):
        self.value = value
        with (HERE / "opened").open("a") as file:
            file.write(f"{os.getpid()}\\n")
    def __len__(self):
        return 4000
    def __getitem__(self, i):
        if i == 2345 and (HERE / "kill").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return [float(i % 100), self.value if i == 7 else 1.0], i % 2
"""

CHILD = """
import sys
from pathlib import Path
from tuner.config.schema import PythonData
from tuner.data.prepare import prepare
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
data = PythonData(target="mine.py:Mine")
prepared = prepare(data, metric="accuracy", seed=0, base_dir=folder, cache_dir=folder / "cache")
print(prepared.info.fingerprint)
"""


def load(folder: Path, data: Data | None = None, *, seed: int = 0) -> Prepared:
    data = data or SklearnData(kind="wine")
    return prepare(data, metric="accuracy", seed=seed, base_dir=folder, cache_dir=folder / "cache")


def mine(folder: Path, **options: object) -> PythonData:
    (folder / "mine.py").write_text(DATASET)
    return PythonData(target="mine.py:Mine", options=dict(options))


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def only_folder(folder: Path) -> Path:
    (found,) = (path for path in (folder / "cache").iterdir() if path.is_dir())
    return found


def inputs(prepared: Prepared) -> torch.Tensor:
    assert isinstance(prepared.train, ArrayPart)
    return prepared.train.inputs


def test_a_second_call_opens_what_the_first_has_stored(tmp_path: Path) -> None:
    data = mine(tmp_path)
    first, second = load(tmp_path, data), load(tmp_path, data)
    assert (tmp_path / "opened").read_text().count("\n") == 1
    assert second.info == first.info
    assert second.preprocess == first.preprocess
    assert torch.equal(inputs(first), inputs(second))


def test_options_of_the_loader_do_not_decode_again(tmp_path: Path) -> None:
    load(tmp_path)
    load(tmp_path, SklearnData(kind="wine", batch_size=7, drop_last=True, num_workers=2))
    only_folder(tmp_path)
    load(tmp_path, SklearnData(kind="wine", normalize=False))
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 2


@pytest.mark.slow
def test_two_processes_at_once_decode_once(tmp_path: Path) -> None:
    mine(tmp_path)
    children = [start(tmp_path) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"  # imports done: both begin within the same millisecond
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    fingerprints = {child.communicate(timeout=120)[0].strip() for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(fingerprints) == 1
    assert len((tmp_path / "opened").read_text().split()) == 1


@pytest.mark.slow
def test_a_process_killed_while_it_decodes_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    data = mine(tmp_path)
    (tmp_path / "kill").touch()
    child = start(tmp_path)
    child.communicate("go\n", timeout=120)
    assert child.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cache").glob(".building-*"))) == 1
    (tmp_path / "kill").unlink()
    prepared = load(tmp_path, data)
    assert prepared.info.n_train == 3200
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(["lock", only_folder(tmp_path).name])


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x10
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("name", ("train_inputs.npy", "val_targets.npy", "manifest.json"))
@pytest.mark.parametrize("damage", (flip_a_byte, cut_short, Path.unlink))
def test_a_damaged_folder_is_decoded_again(
    tmp_path: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = load(tmp_path)
    expected = inputs(first).clone()
    damage(only_folder(tmp_path) / name)
    with caplog.at_level(logging.WARNING, logger="tuner.data.prepare"):
        again = load(tmp_path)
    assert torch.equal(inputs(again), expected)
    assert again.info == first.info
    assert "decoding the data again" in caplog.text


def test_changed_scaling_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    first = load(tmp_path, SklearnData(kind="digits"))
    path = only_folder(tmp_path) / "manifest.json"
    sealed = json.loads(path.read_text())
    sealed["content"]["preprocess"]["scaling"]["mean"] = [0.0]
    path.write_text(json.dumps(sealed))
    assert load(tmp_path, SklearnData(kind="digits")).preprocess == first.preprocess


def test_training_and_validation_never_open_the_test_rows(tmp_path: Path) -> None:
    load(tmp_path)
    for path in only_folder(tmp_path).glob("test_*"):
        path.unlink()
    prepared = load(tmp_path)
    for _ in train_batches(prepared.train, prepared.preprocess, batch_size=16, device="cpu", epoch_seed=0):
        pass
    list(eval_batches(prepared.val, prepared.preprocess, device="cpu"))
    with pytest.raises(DataError, match=r"test_targets\.npy.*; remove .* and run again"):
        prepared.open_test()


def test_test_rows_that_were_changed_are_refused(tmp_path: Path) -> None:
    load(tmp_path)
    flip_a_byte(only_folder(tmp_path) / "test_inputs.npy")
    with pytest.raises(DataError, match=r"test_inputs\.npy: checksum differs"):
        load(tmp_path).open_test()


def test_without_test_rows_there_is_no_test_part(tmp_path: Path) -> None:
    assert load(tmp_path, SklearnData(kind="wine", split=Split(test=0))).open_test() is None


def test_the_same_seed_gives_the_same_split_and_another_seed_another(tmp_path: Path) -> None:
    one, two = load(tmp_path / "a", seed=3), load(tmp_path / "b", seed=3)
    assert torch.equal(inputs(one), inputs(two))
    assert one.info.fingerprint == two.info.fingerprint
    other = load(tmp_path / "c", seed=4)
    assert not torch.equal(inputs(one), inputs(other))
    assert one.info.fingerprint != other.info.fingerprint


def test_the_fingerprint_follows_every_value_and_no_path(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = load(tmp_path / "a", mine(tmp_path / "a", value=1.0))
    moved = load(tmp_path / "b", mine(tmp_path / "b", value=1.0))
    changed = load(tmp_path / "a", mine(tmp_path / "a", value=1.5))
    assert one.info.fingerprint == moved.info.fingerprint
    assert one.info.fingerprint != changed.info.fingerprint


def test_a_source_file_that_changed_is_decoded_again(tmp_path: Path) -> None:
    data = mine(tmp_path)
    load(tmp_path, data)
    os.utime(tmp_path / "mine.py", ns=(1, 1))
    load(tmp_path, data)
    assert (tmp_path / "opened").read_text().count("\n") == 2


def test_an_error_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="val takes 500"):
        load(tmp_path, SklearnData(kind="wine", split=Split(val=500)))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def fill(folder: Path) -> dict[str, object]:
        (folder / "half").write_bytes(b"x" * 100)
        with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123 - a device whose writes fail as a full disk's do
            file.write(b"x")
        return {}

    with pytest.raises(StorageError, match="no space left for the decoded data"):
        cache.build(tmp_path / "key", fill)
    assert list(tmp_path.iterdir()) == []


def test_stored_rows_are_shared_and_cannot_be_changed_by_a_reader(tmp_path: Path) -> None:
    one = load(tmp_path)
    before = inputs(one).clone()
    inputs(one).zero_()
    assert torch.equal(inputs(load(tmp_path)), before)


def test_the_training_rows_of_each_class_are_counted(tmp_path: Path) -> None:
    prepared = load(tmp_path)
    y = torch.cat([y_B for _, y_B in eval_batches(prepared.train, prepared.preprocess, device=torch.device("cpu"))])
    assert prepared.info.class_counts == tuple(torch.bincount(y).tolist())
    assert sum(prepared.info.class_counts) == prepared.info.n_train


def test_info_survives_json(tmp_path: Path) -> None:
    info = load(tmp_path).info
    assert DataInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_the_driver_can_describe_data_without_heavy_imports() -> None:
    code = "import sys, tuner.data.info; print({'torch', 'numpy', 'sklearn', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_opening_decoded_data_imports_neither_torchvision_nor_scikit_learn_nor_pandas(tmp_path: Path) -> None:
    load(tmp_path)
    code = f"""
import sys
from pathlib import Path
from tuner.config.schema import SklearnData
from tuner.data.prepare import prepare
folder = Path({str(tmp_path)!r})
prepare(SklearnData(kind="wine"), metric="accuracy", seed=0, base_dir=folder, cache_dir=folder / "cache")
print({{"torchvision", "sklearn", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_images_are_kept_as_bytes(tmp_path: Path) -> None:
    assert inputs(load(tmp_path, SklearnData(kind="digits"))).dtype == torch.uint8
    assert ImageData(kind="mnist").download
