"""Users' own datasets: what is stacked, what is streamed, and which item an error names."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tuner.config.schema import PythonData
from tuner.data.batches import eval_batches, train_batches
from tuner.data.parts import ArrayPart, StreamPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import ConfigError, DataError

HEAD = """
import random
import numpy as np
import torch
from torch.utils.data import Dataset

class Base(Dataset):
    def __init__(self, n=40):
        self.n = n
    def __len__(self):
        return self.n
    def x(self, i):
        return torch.full((3,), float(i))
    def y(self, i):
        return i % 2
    def __getitem__(self, i):
        return self.x(i), self.y(i)
"""


def load(folder: Path, code: str, *, metric: str = "accuracy", seed: int = 5, **options: object) -> Prepared:
    folder.mkdir(exist_ok=True)  # one folder a text: a file is imported once in a process
    (folder / "mine.py").write_text(HEAD + textwrap.dedent(code))
    section = {"kind": "python", "target": "mine.py:Mine", **options}
    data = PythonData.model_validate(section)
    return prepare(data, metric=metric, seed=seed, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, code: str, *, metric: str = "accuracy", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, code, metric=metric, **options)
    return str(caught.value)


def trained(prepared: Prepared, *, epoch_seed: int = 0, num_workers: int = 0) -> torch.Tensor:
    batches = train_batches(
        prepared.train,
        prepared.preprocess,
        batch_size=8,
        device="cpu",
        epoch_seed=epoch_seed,
        num_workers=num_workers,
    )
    return torch.cat([x for x, _ in batches])


AUGMENTED = """
class Mine(Base):
    def x(self, i):
        return torch.full((3,), float(i)) + torch.rand(3)
"""


def test_items_that_are_always_the_same_are_stacked(tmp_path: Path) -> None:
    prepared = load(tmp_path, "class Mine(Base): pass")
    assert isinstance(prepared.train, ArrayPart)
    assert prepared.info.in_memory
    assert (prepared.info.input_shape, prepared.info.n_targets, prepared.info.labels) == ((3,), 2, ("0", "1"))
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (32, 4, 4)
    assert torch.equal(prepared.train.targets, prepared.train.inputs[:, 0].long() % 2)


@pytest.mark.parametrize(
    "draw", ("torch.rand(3)", "float(np.random.rand())", "random.random()", "float(self.own.random() < 0.5)")
)
def test_random_augmentation_is_streamed_and_differs_between_epochs(tmp_path: Path, draw: str) -> None:
    code = f"""
    class Mine(Base):
        def __init__(self):
            super().__init__()
            self.own = np.random.default_rng(0)
        def x(self, i):
            return torch.full((3,), float(i)) + {draw}
    """
    prepared = load(tmp_path, code)
    assert isinstance(prepared.train, StreamPart)
    assert not prepared.info.in_memory
    one, two = (trained(prepared, epoch_seed=seed).sort(dim=0).values for seed in (1, 2))
    assert not torch.equal(one, two)


def test_an_augmentation_that_seldom_acts_is_noticed_by_its_draws(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return torch.full((3,), float(i) + (random.random() < 1e-9))
    """
    assert not load(tmp_path, code).info.in_memory


def test_an_epoch_of_augmented_items_is_repeatable_whoever_reads_it(tmp_path: Path) -> None:
    prepared = load(tmp_path, AUGMENTED)
    once = trained(prepared, epoch_seed=9)
    torch.manual_seed(123)
    assert torch.equal(trained(prepared, epoch_seed=9), once)
    assert torch.equal(trained(prepared, epoch_seed=9, num_workers=2), once)


def test_the_batches_of_an_epoch_draw_different_numbers(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return torch.rand(1)
    """
    assert len(trained(load(tmp_path, code)).unique()) == 32


def test_reading_items_leaves_the_generators_of_the_training_loop_alone(tmp_path: Path) -> None:
    prepared = load(tmp_path, AUGMENTED)
    for seed_all in (torch.manual_seed, np.random.seed, random.seed):
        seed_all(4)
    expected = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002 - what must not move
    for seed_all in (torch.manual_seed, np.random.seed, random.seed):
        seed_all(4)
    trained(prepared)
    list(eval_batches(prepared.val, prepared.preprocess, device="cpu"))
    load(tmp_path, AUGMENTED, seed=6)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002 - as above


def test_the_user_may_force_streaming_or_stacking(tmp_path: Path) -> None:
    assert not load(tmp_path / "a", "class Mine(Base): pass", in_memory=False).info.in_memory
    assert load(tmp_path / "b", AUGMENTED, in_memory=True).info.in_memory


def test_streamed_and_stacked_items_give_the_same_batches(tmp_path: Path) -> None:
    stacked = load(tmp_path, "class Mine(Base): pass")
    streamed = load(tmp_path, "class Mine(Base): pass", in_memory=False)
    assert torch.equal(trained(stacked), trained(streamed))
    assert stacked.preprocess == streamed.preprocess


def test_only_the_stored_rows_of_a_part_are_streamed(tmp_path: Path) -> None:
    prepared = load(tmp_path, AUGMENTED)
    test = prepared.open_test()
    assert isinstance(prepared.train, StreamPart)
    assert isinstance(prepared.val, StreamPart)
    assert isinstance(test, StreamPart)
    rows = torch.cat([prepared.train.rows, prepared.val.rows, test.rows])
    assert rows.sort().values.tolist() == list(range(40))


@pytest.mark.parametrize("key", ("y", "target", "label", "labels"))
def test_items_may_be_dicts(tmp_path: Path, key: str) -> None:
    code = f"""
    class Mine(Base):
        def __getitem__(self, i):
            return {{"image": np.full((4, 5, 3), i, dtype=np.uint8), "{key}": i % 2}}
    """
    assert load(tmp_path, code).info.input_shape == (3, 4, 5)


def test_a_mapping_of_parts_is_used_as_it_is_and_completed(tmp_path: Path) -> None:
    code = """
    def Mine(scale):
        class Scaled(Base):
            def x(self, i):
                return torch.full((3,), scale * i)
        return {"train": Scaled(30), "val": Scaled(10)}
    """
    prepared = load(tmp_path, code, options={"scale": 2.0})
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (27, 10, 3)
    assert isinstance(prepared.val, ArrayPart)
    assert prepared.val.inputs[:, 0].tolist() == [2.0 * i for i in range(10)]


@pytest.mark.parametrize("in_memory", (True, False))
def test_an_item_that_raises_is_named_with_the_users_error(tmp_path: Path, in_memory: bool) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            if i == 917:
                raise RuntimeError("bad pixel")
            return torch.zeros(3) + i
    """
    message = refusal(tmp_path, code, options={"n": 1000}, in_memory=in_memory)
    assert message == "mine.py:Mine: item 917 raised RuntimeError: bad pixel (mine.py:22)"


@pytest.mark.parametrize("num_workers", (0, 2))
def test_an_item_that_fails_later_is_named_too(tmp_path: Path, num_workers: int) -> None:
    code = f"""
    import pathlib
    class Mine(Base):
        def x(self, i):
            if pathlib.Path({str(tmp_path / "gone")!r}).exists():
                raise OSError("file vanished")
            return torch.zeros(3) + i
    """
    prepared = load(tmp_path, code, in_memory=False)
    (tmp_path / "gone").touch()
    with pytest.raises(DataError, match=r"^mine\.py:Mine: item \d+ raised OSError: file vanished \(mine\.py:\d+\)$"):
        trained(prepared, num_workers=num_workers)


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    (
        ("1.5 * i", (1,), torch.float32),
        ("[0.5, i]", (2,), torch.float32),
        ("np.full((4, 6), i, dtype=np.uint8)", (1, 4, 6), torch.float32),
        ("np.full((4, 6, 3), i, dtype=np.uint8)", (3, 4, 6), torch.float32),
        ("torch.full((3, 4, 4), i, dtype=torch.uint8)", (3, 4, 4), torch.float32),
        ("np.full((2, 5), i, dtype=np.float64)", (2, 5), torch.float32),
        ("torch.full((3, 4, 4), 0.1 * i)", (3, 4, 4), torch.float32),
        ("[i, 3, 4]", (3,), torch.int64),
        ("torch.full((7,), i)", (7,), torch.int64),
    ),
)
def test_inputs_of_every_form_are_taken(tmp_path: Path, x: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    code = f"""
    class Mine(Base):
        def x(self, i):
            return {x}
    """
    prepared = load(tmp_path, code)
    assert (prepared.info.input_shape, prepared.info.input_dtype) == (shape, str(dtype).removeprefix("torch."))
    batch = trained(prepared)
    assert (batch.shape[1:], batch.dtype) == (shape, dtype)


def test_tokens_are_not_scaled(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return [i, 7]
    """
    prepared = load(tmp_path, code)
    assert set(trained(prepared)[:, 1].tolist()) == {7}
    assert prepared.preprocess([[3, 7]]).tolist() == [[3, 7]]


@pytest.mark.parametrize("in_memory", (True, False))
def test_whole_numbers_are_a_vocabulary_and_one_may_fill_up(tmp_path: Path, in_memory: bool) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return [i, 0]
    """
    info = load(tmp_path / "a", code, padding=0, in_memory=in_memory).info
    assert (info.n_tokens, info.padding) == (40, 0)
    assert load(tmp_path / "b", code.replace("0]", "-1]"), in_memory=in_memory).info.n_tokens is None
    assert "mine.py:Mine: data.padding is for tokens" in refusal(tmp_path / "c", "class Mine(Base): pass", padding=0)


def test_float_images_are_scaled_per_channel_and_vectors_per_feature(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return torch.stack([torch.full((2, 2), float(i)), torch.full((2, 2), 100.0)])
    """
    prepared = load(tmp_path, code)
    x = trained(prepared)
    assert x[:, 0].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert torch.all(x[:, 1] == 0)
    scaling = prepared.preprocess.scaling
    assert scaling is not None
    assert len(scaling.mean) == 2


def test_prediction_from_items_and_from_a_batch_gives_the_bits_of_training(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def x(self, i):
            return np.random.default_rng(i).integers(0, 256, size=(6, 5, 3), dtype=np.uint8)
    """
    prepared = load(tmp_path, code)
    rows = np.load(next((tmp_path / "cache").glob("*/train_rows.npy")))
    items = [np.random.default_rng(row).integers(0, 256, size=(6, 5, 3), dtype=np.uint8) for row in rows]
    stored = torch.cat([x for x, _ in eval_batches(prepared.train, prepared.preprocess, device="cpu")])
    preprocess = Preprocess.from_json(prepared.preprocess.to_json())
    assert torch.equal(preprocess(items), stored)
    assert torch.equal(preprocess(np.stack(items)), stored)
    assert torch.equal(preprocess([Image.fromarray(item) for item in items]), stored)
    assert torch.equal(preprocess(items[3]), stored[3:4])


def test_prediction_refuses_other_shapes(tmp_path: Path) -> None:
    preprocess = load(tmp_path, "class Mine(Base): pass").preprocess
    with pytest.raises(DataError, match=r"input: shape \(2, 4\); expected \(N, 3\)"):
        preprocess(np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"input: row 1: the input is float32 \(4,\); expected float32 \(3,\)"):
        preprocess([np.zeros(3, np.float32), np.zeros(4, np.float32)])
    with pytest.raises(DataError, match="input: not finite"):
        preprocess(np.full((1, 3), np.nan))


def test_pil_images_of_other_modes_are_taken(tmp_path: Path) -> None:
    code = """
    from PIL import Image
    class Mine(Base):
        def x(self, i):
            return Image.new("P", (5, 4), i)
    """
    assert load(tmp_path, code).info.input_shape == (3, 4, 5)


def test_fractions_are_quantities_and_vectors_several_of_them(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        def y(self, i):
            return [0.5 * i, 1.0]
    """
    prepared = load(tmp_path, code, metric="loss")
    assert (prepared.info.task, prepared.info.n_targets) == ("regression", 2)
    assert prepared.train.targets.shape == (32, 2)


def test_the_metric_makes_integers_quantities_and_whole_numbers_classes(tmp_path: Path) -> None:
    assert load(tmp_path / "a", "class Mine(Base): pass", metric="mae").info.task == "regression"
    code = """
    class Mine(Base):
        def y(self, i):
            return float(i % 2)
    """
    assert load(tmp_path / "b", code).info.n_targets == 2


def test_class_names_are_taken_from_the_dataset(tmp_path: Path) -> None:
    code = """
    class Mine(Base):
        classes = ["cat", "dog"]
    """
    assert load(tmp_path, code).info.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("code", "message"),
    (
        ("class Mine(Base):\n def y(self, i): return -1 if i == 17 else i % 2", "item 17: label -1; expected whole"),
        ("class Mine(Base):\n def y(self, i): return 2 * (i % 2)", "no row for training has the class 1; labels must"),
        ("class Mine(Base):\n def y(self, i): return 1995 + i % 2", "item 0: label 1995; expected whole numbers"),
        ("class Mine(Base):\n def y(self, i): return 0", "only one class (0) in 40 rows"),
        ("class Mine(Base):\n def y(self, i): return 'cat'", "item 0: the target is 'cat'; expected a class"),
        ("class Mine(Base):\n def y(self, i): return 0.5 * i", "item 1: label 0.5; expected whole numbers"),
        ("class Mine(Base):\n def y(self, i): return [0, 1]", "item 0: 2 targets; classification expects one class"),
        ("class Mine(Base):\n def y(self, i): return 5 if i == 0 else i % 5", "item 0: the only row of class '5'"),
        ("class Mine(Base):\n def x(self, i): return [float('nan')]", "item 0: the input is nan at (0,)"),
        ("class Mine(Base):\n def x(self, i): return torch.zeros(3 + (i == 9))", "item 9: the input is float32 (4,)"),
        ("class Mine(Base):\n def x(self, i): return 'text'", "item 0: the input has values of type <U4"),
        ("class Mine(Base):\n def x(self, i): return [[1], [1, 2]]", "item 0: the input cannot be made an array"),
        ("class Mine(Base):\n def x(self, i): return np.zeros((9, 9, 9), np.uint8)", "no axis of 1 to 4 channels"),
        ("class Mine(Base):\n def __getitem__(self, i): return 1, 2, 3", "an item is tuple of 3; expected (x, y)"),
        ("class Mine(Base):\n def __len__(self): return 0", "mine.py:Mine: the dataset has no items"),
        ("def Mine(): return 5", "mine.py:Mine: train is int; expected a map-style Dataset"),
        ("def Mine(): return {'trian': Base()}", "unknown part 'trian'; did you mean 'train'?"),
        ("def Mine(): return {'val': Base()}", "the mapping has no 'train'; got val"),
        ("def Mine(): raise ValueError('no disk')", "mine.py:Mine raised ValueError: no disk (mine.py:"),
        (
            "def Mine(): return {'train': Base(), 'val': [(torch.zeros(3), 2)] * 3}",
            "mine.py:Mine: val item 0: label 2; expected whole numbers from 0 to 1",
        ),
    ),
)
def test_what_cannot_be_trained_on_is_refused_with_its_item(tmp_path: Path, code: str, message: str) -> None:
    assert message in refusal(tmp_path, code)


def test_options_that_the_target_does_not_take_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a", "class Mine(Base): pass", options={"m": 3})
    assert message == "mine.py:Mine: data.options do not fit (n=40): got an unexpected keyword argument 'm'"
    assert "takes no data.options" in refusal(tmp_path / "b", "Mine = Base()", options={"m": 3})


def test_a_file_that_fails_to_import_is_named(tmp_path: Path) -> None:
    assert "mine.py:Mine: importing it raised NameError: name 'oops' is not defined" in refusal(tmp_path, "oops")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    data = PythonData(target="absent.py:Mine")
    with pytest.raises(ConfigError, match=r"absent\.py:Mine: no such file"):
        prepare(data, metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache")


def test_a_dataset_that_has_changed_its_size_is_refused(tmp_path: Path) -> None:
    code = f"""
    import pathlib
    class Mine(Base):
        def __len__(self):
            return int(pathlib.Path({str(tmp_path / "size")!r}).read_text())
    """
    (tmp_path / "size").write_text("40")
    load(tmp_path, code, in_memory=False)
    (tmp_path / "size").write_text("39")
    with pytest.raises(DataError, match="39 items; there were 40 when the study began"):
        prepare(
            PythonData(target="mine.py:Mine", in_memory=False),
            metric="accuracy",
            seed=5,
            base_dir=tmp_path,
            cache_dir=tmp_path / "cache",
        )
