"""Iterable datasets: kept where they fit and are the same each time, else read anew in every epoch."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema import PythonData
from tuner.data.batches import Batch, stacked_batches
from tuner.data.feed import Feed
from tuner.data.flows import FlowPart
from tuner.data.offered import OfferedData
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.errors import DataError

HEAD = """
import itertools
import random
import torch
from torch.utils.data import IterableDataset, get_worker_info

class Mine(IterableDataset):
    def __init__(self, n=50, start=0):
        self.n, self.start = n, start
    def __iter__(self):
        for i in range(self.start, self.start + self.n):
            yield torch.tensor([float(i), 1.0]), i % 2

class Shares(Mine):
    def __iter__(self):
        info = get_worker_info()
        items = list(super().__iter__())
        return iter(items if info is None else items[info.id :: info.num_workers])

class Shuffled(Mine):
    def __iter__(self):
        items = list(super().__iter__())
        random.shuffle(items)
        for x, y in items:
            yield x + 0.001 * torch.rand(()), y
"""


def load(folder: Path, name: str = "Mine", code: str = "", **options: object) -> tuple[Prepared, PythonData]:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(HEAD + textwrap.dedent(code))
    section = {"kind": "python", "target": f"mine.py:{name}", "normalize": False, "batch_size": 8, **options}
    data = PythonData.model_validate(section)
    return prepare(data, metric="accuracy", seed=5, base_dir=folder, cache_dir=folder / "cache"), data


def refusal(folder: Path, name: str = "Mine", code: str = "", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, name, code, **options)
    return str(caught.value)


def epoch(prepared: Prepared, data: PythonData, seed: int = 1) -> list[Batch]:
    return list(Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1).train(epoch_seed=seed))


def numbers(batches: list[Batch]) -> list[int]:
    return [round(float(x)) for x_B, _ in batches for x in x_B[:, 0]]


def test_one_that_ends_and_fits_is_kept_shuffled_and_split_as_any_dataset(tmp_path: Path) -> None:
    prepared, data = load(tmp_path)
    assert isinstance(prepared.train, ArrayPart)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (40, 5, 5)
    assert numbers(epoch(prepared, data)) != sorted(numbers(epoch(prepared, data)))


def test_a_flow_holds_out_its_first_items_and_goes_through_the_others_in_order(tmp_path: Path) -> None:
    prepared, data = load(tmp_path, in_memory=False, split={"val": 0.2, "test": 6})
    assert isinstance(prepared.train, FlowPart)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (34, 10, 6)
    test = prepared.open_test()
    assert isinstance(prepared.val, ArrayPart)
    assert isinstance(test, ArrayPart)
    assert prepared.val.inputs[:, 0].tolist() == list(range(10))
    assert test.inputs[:, 0].tolist() == list(range(10, 16))
    batches = epoch(prepared, data)
    assert numbers(batches) == list(range(16, 50))
    assert [len(y) for _, y in batches] == [8, 8, 8, 8, 2]
    assert all(torch.equal(y, x[:, 0].long() % 2) for x, y in batches)
    assert prepared.info.class_counts == (17, 17)


def test_a_flow_reads_the_same_in_a_loader_process_and_repeats_an_epoch_to_the_bit(tmp_path: Path) -> None:
    parts = "def parts(): return {'train': Shuffled(), 'val': Mine(20, 100), 'test': Mine(10, 200)}"
    prepared, here = load(tmp_path, "parts", parts, num_workers=0)
    assert isinstance(prepared.train, FlowPart)
    _, there = load(tmp_path, "parts", parts, num_workers=1)
    feeds = [Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1) for data in (here, there)]
    for seed in (1, 2, 1):
        one, other = (list(feed.train(epoch_seed=seed)) for feed in feeds)
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True))
    first, second = numbers(epoch(prepared, here, 1)), numbers(epoch(prepared, here, 2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    test = prepared.open_test()
    assert test is not None
    assert (len(prepared.val), len(test)) == (20, 10)


def test_loader_processes_share_out_a_dataset_that_asks_which_it_is(tmp_path: Path) -> None:
    parts = "def parts(): return Shares(), Shares(20, 100)"
    prepared, data = load(tmp_path, "parts", parts, in_memory=False, num_workers=2, split={"test": 0})
    batches = epoch(prepared, data)
    assert sorted(numbers(batches)) == list(range(50))
    assert [len(y) for _, y in batches] == [8] * 6 + [2]
    assert numbers(batches)[:8] == list(range(0, 16, 2))


def test_loader_processes_that_all_read_the_same_are_refused(tmp_path: Path) -> None:
    parts = "def parts(): return Mine(), Mine(20, 100)"
    prepared, data = load(tmp_path, "parts", parts, in_memory=False, num_workers=2, split={"test": 0})
    with pytest.raises(DataError, match=r"parts: train: every loader process reads the same items; take those of its"):
        epoch(prepared, data)
    prepared, data = load(tmp_path, "Shares", in_memory=False, num_workers=2)
    with pytest.raises(DataError, match=r"2 processes would share out .* its first 10 are held out for validation"):
        epoch(prepared, data)


def test_an_endless_dataset_has_epochs_of_so_many_items(tmp_path: Path) -> None:
    code = """
    class Endless(IterableDataset):
        def __iter__(self):
            for i in itertools.count():
                yield torch.tensor([float(i), 1.0]), i % 2
    """
    prepared, data = load(tmp_path, "Endless", code, epoch_items=30)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (30, 3, 3)
    assert numbers(epoch(prepared, data)) == list(range(6, 36))
    again, _ = load(tmp_path, "Endless", code, epoch_items=30)
    assert again.info.fingerprint == prepared.info.fingerprint


def test_lanes_of_a_flow_are_the_epochs_of_their_seeds(tmp_path: Path) -> None:
    parts = "def parts(): return Shuffled(), Mine(20, 100)"
    prepared, data = load(tmp_path, "parts", parts, split={"test": 0})
    stacked = stacked_batches(
        prepared.train, prepared.preprocess, epoch_seeds=(1, 2), batch_size=8, device="cpu", drop_last=True
    )
    for number, (x, y) in enumerate(stacked):
        for lane, seed in enumerate((1, 2)):
            x_B, y_B = epoch(prepared, data, seed)[number]
            assert torch.equal(x[lane], x_B)
            assert torch.equal(y[lane], y_B)


def test_set_epoch_is_called_with_another_number_every_epoch(tmp_path: Path) -> None:
    code = """
    class Numbered(Mine):
        epoch = 0
        def set_epoch(self, epoch):
            self.epoch = epoch
        def __iter__(self):
            order = list(range(self.n))
            random.Random(self.epoch).shuffle(order)
            return ((torch.tensor([float(i), 1.0]), i % 2) for i in order)
    def parts():
        return Numbered(), Mine(20, 100)
    """
    prepared, data = load(tmp_path, "parts", code, in_memory=False, split={"test": 0})
    first, second, again = (numbers(epoch(prepared, data, seed)) for seed in (1, 2, 1))
    assert first == again != second


def test_own_training_gets_a_flow_as_an_iterable_dataset(tmp_path: Path) -> None:
    prepared, _ = load(tmp_path, in_memory=False)
    offered = OfferedData.of(prepared).train
    assert [float(x[0]) for x, _ in offered] == list(range(10, 50))


@pytest.mark.parametrize(
    ("name", "code", "options", "message"),
    (
        (
            "Raises",
            """
            class Raises(Mine):
                def __iter__(self):
                    for i, item in enumerate(super().__iter__()):
                        if i == 17:
                            raise OSError("file vanished")
                        yield item
            """,
            {},
            "mine.py:Raises: item 17 raised OSError: file vanished (mine.py:",
        ),
        ("nothing", "def nothing(): return Mine(0)", {}, "mine.py:nothing: the dataset has no items"),
        (
            "generator",
            "def generator(): return ((float(i), 0) for i in range(9))",
            {},
            "mine.py:generator is a generator, which can be read once; return an object whose __iter__ begins anew",
        ),
        ("Shuffled", "", {}, "Shuffled: its items differ from pass to pass, so those held out for validation might"),
        ("Shuffled", "", {"epoch_items": 20}, "Shuffled: its items differ from pass to pass, so those held out"),
        (
            "parts",
            "def parts(): return Shuffled(), Mine(20, 100)",
            {"epoch_items": 20},
            "return val and test as parts of their own (or val, with data.split.test: 0)",
        ),
        (
            "Numbered",
            """
            class Numbered(Mine):
                epoch = 0
                def set_epoch(self, epoch):
                    self.epoch = epoch
                def __iter__(self):
                    order = list(range(self.n))
                    random.Random(self.epoch).shuffle(order)
                    return ((torch.tensor([float(i), 1.0]), i % 2) for i in order)
            """,
            {"in_memory": False},
            "Numbered: its items differ from pass to pass",
        ),
        ("Mine", "", {"epoch_items": 100}, "Mine ended after 50 items; data.epoch_items and what is held out want 120"),
        (
            "lists",
            "def lists(): return [(0.0, 0)] * 9",
            {"epoch_items": 5},
            "data.epoch_items is for iterable datasets",
        ),
        ("Mine", "", {"in_memory": True, "epoch_items": 5}, "data.in_memory: true keeps one whole pass"),
        ("Mine", "", {"in_memory": False, "split": {"val": 50}}, "50 items, of which 55 are held out; none are left"),
        (
            "Odd",
            """
            class Odd(Mine):
                def __iter__(self):
                    for i, (x, y) in enumerate(super().__iter__()):
                        yield x, -1 if i == 40 else y
            """,
            {"in_memory": False},
            "mine.py:Odd: item 40: label -1; expected whole numbers",
        ),
    ),
)
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, name: str, code: str, options: dict[str, object], message: str
) -> None:
    assert message in refusal(tmp_path, name, code, **options)


def test_one_that_ends_early_later_on_is_named(tmp_path: Path) -> None:
    code = f"""
    import pathlib
    class Shrinks(Mine):
        def __iter__(self):
            n = 20 if pathlib.Path({str(tmp_path / "gone")!r}).exists() else 50
            return itertools.islice(super().__iter__(), n)
    """
    prepared, data = load(tmp_path, "Shrinks", code, in_memory=False)
    (tmp_path / "gone").touch()
    with pytest.raises(DataError, match=r"mine\.py:Shrinks ended 30 items before the 40 of an epoch"):
        epoch(prepared, data)


def test_the_scaling_of_a_flow_is_measured_on_its_training_items(tmp_path: Path) -> None:
    prepared, data = load(tmp_path, in_memory=False, normalize=True)
    x = torch.cat([x for x, _ in epoch(prepared, data)])
    assert x[:, 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert np.isfinite(x.numpy()).all()


TOKENS = """
class Words(Mine):
    def __iter__(self):
        for i in range(self.n):
            yield torch.tensor([1 + i % 7, 2 + i % 3, 0]), i % 2

class Later(Words):
    def __iter__(self):
        yield from super().__iter__()
        yield torch.tensor([1, 30, 0]), 0
        yield from super().__iter__()

class Negative(Words):
    def __iter__(self):
        return ((-x, y) for x, y in super().__iter__())
"""


def test_a_flow_of_whole_numbers_has_a_vocabulary_and_padding(tmp_path: Path) -> None:
    prepared, data = load(tmp_path, "Words", TOKENS, in_memory=False, padding=0)
    assert isinstance(prepared.train, FlowPart)
    assert (prepared.info.n_tokens, prepared.info.padding, prepared.info.input_dtype) == (8, 0, "int64")
    assert epoch(prepared, data)[0][0].dtype == torch.int64
    with pytest.raises(DataError, match="tokens from 0 to 8; expected 0 to 7"):
        prepared.preprocess([[1, 8, 0]])
    assert "data.padding is for tokens, whole numbers from 0" in refusal(
        tmp_path / "other", "Negative", TOKENS, in_memory=False, padding=0
    )


def test_a_token_that_comes_later_is_named_unless_its_number_was_said(tmp_path: Path) -> None:
    prepared, _ = load(tmp_path, "Later", TOKENS, epoch_items=30, split={"val": 5, "test": 5})
    assert prepared.info.n_tokens == 8
    assert isinstance(prepared.train, FlowPart)
    pieces = prepared.train.pieces(0, 20)
    with pytest.raises(DataError, match=r"item 50: tokens from 0 to 30; expected 0 to 7; say in data.n_tokens how"):
        list(pieces)
    prepared, _ = load(tmp_path, "Later", TOKENS, epoch_items=30, split={"val": 5, "test": 5}, n_tokens=31)
    assert prepared.info.n_tokens == 31
    assert len(list(prepared.train.pieces(0, 20))) == 5
    assert "data.n_tokens: 5, but there is the token 7; raise it" in refusal(
        tmp_path, "Words", TOKENS, in_memory=False, n_tokens=5
    )
