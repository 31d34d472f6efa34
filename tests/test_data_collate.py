"""A user's own collate function: sequences of different lengths, batches of named inputs, and what it does wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema import PythonData
from tuner.data.batches import Batch, eval_batches
from tuner.data.feed import Feed
from tuner.data.parts import StreamPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import DataError

HEAD = """
import torch
from torch.nn.utils.rnn import pad_sequence

class Mine:
    def __init__(self, n=40):
        self.n = n
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        return torch.full((1 + i % 7,), 1 + i), i % 2

def pad(items):
    items = sorted(items, key=lambda item: -len(item[0]))  # as packed sequences want them
    x = pad_sequence([x for x, _ in items], batch_first=True)
    return x, torch.tensor([y for _, y in items])

class Fixed(Mine):
    def collate_fn(self, items):
        x = torch.zeros(len(items), 8, dtype=torch.int64)
        for row, (tokens, _) in enumerate(items):
            x[row, : len(tokens)] = tokens
        return {"tokens": x, "mask": x > 0, "label": torch.tensor([y for _, y in items])}
"""


def load(folder: Path, code: str = "", **options: object) -> tuple[Prepared, PythonData]:
    (folder / "mine.py").write_text(HEAD + textwrap.dedent(code))
    section = {"target": "mine.py:Mine", "collate": "mine.py:pad", "batch_size": 8, "padding": 0, **options}
    data = PythonData.model_validate(section)
    return prepare(data, metric="accuracy", seed=5, base_dir=folder, cache_dir=folder / "cache"), data


def refusal(folder: Path, code: str = "", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, code, **options)
    return str(caught.value)


def epoch(prepared: Prepared, data: PythonData, seed: int = 1) -> list[Batch]:
    return list(Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1).train(epoch_seed=seed))


def test_batches_are_as_long_as_their_longest_row_and_targets_stay_with_their_rows(tmp_path: Path) -> None:
    prepared, data = load(tmp_path)
    assert isinstance(prepared.train, StreamPart)
    info = prepared.info
    assert (info.input_shape, info.input_dtype, info.n_tokens, info.padding) == ((7,), "int64", 41, 0)
    seen = []
    for x, y in epoch(prepared, data):
        assert x.shape[1] == int((x > 0).sum(1).max())
        assert torch.equal(y, (x[:, 0] - 1) % 2)
        seen += x[:, 0].tolist()
    assert len(seen) == len(set(seen)) == 32
    for x, y in eval_batches(prepared.val, prepared.preprocess, device="cpu"):
        assert torch.equal(y, (x[:, 0] - 1) % 2)


def test_loader_processes_make_the_same_batches(tmp_path: Path) -> None:
    here, there = load(tmp_path, num_workers=0), load(tmp_path, num_workers=1)
    assert all(torch.equal(x, z) for (x, _), (z, _) in zip(epoch(*here), epoch(*there), strict=True))


def test_the_collate_fn_of_a_dataset_may_make_batches_of_named_inputs(tmp_path: Path) -> None:
    prepared, data = load(tmp_path, target="mine.py:Fixed", collate=None, padding=None)
    assert [(field.name, field.shape, field.dtype) for field in prepared.info.inputs] == [
        ("tokens", (8,), "int64"),
        ("mask", (8,), "float32"),
    ]
    x, y = epoch(prepared, data)[0]
    assert x.shape == (8, 16)
    assert torch.equal((x[:, 0].long() - 1) % 2, y)
    test = prepared.open_test()
    assert test is not None
    assert len(test) == 4


def test_prediction_takes_batches_as_the_function_makes_them(tmp_path: Path) -> None:
    prepared, _ = load(tmp_path)
    preprocess = Preprocess.from_json(prepared.preprocess.to_json())
    batch = np.array([[3, 4, 0], [5, 0, 0]])
    assert torch.equal(preprocess(batch), torch.from_numpy(batch))
    with pytest.raises(DataError, match=r"input: shape \(1, 8\); expected \(N, at most 7\)"):
        preprocess(np.zeros((1, 8), dtype=np.int64))
    with pytest.raises(DataError, match="input: tokens from 0 to 99; expected 0 to 40"):
        preprocess(np.array([[0, 99]]))


@pytest.mark.parametrize(
    ("code", "options", "message"),
    (
        (
            "def bad(items): raise ValueError('ragged')",
            {"collate": "mine.py:bad"},
            "data.collate mine.py:bad raised ValueError: ragged (mine.py:",
        ),
        (
            "def bad(items): return torch.zeros(3, 2), torch.zeros(3)",
            {"collate": "mine.py:bad"},
            "made a tensor of shape (3, 2) of 8 items; expected as many rows",
        ),
        (
            "def bad(items): return (torch.zeros(len(items), 2), torch.ones(len(items))), torch.zeros(len(items))",
            {"collate": "mine.py:bad"},
            "the input is a tuple of tensors; give several inputs by name, as a dict",
        ),
        (
            "def bad(items): return torch.full((len(items), 2), float('nan')), torch.zeros(len(items))",
            {"collate": "mine.py:bad"},
            "the input is not finite; mask or fill what is missing",
        ),
        (
            "def bad(items): return {'a': pad(items)[0], 'b': torch.ones(len(items)), 'y': torch.zeros(len(items))}",
            {"collate": "mine.py:bad"},
            "item 1: data.collate mine.py:bad makes several inputs of another shape or type; pad them to one length",
        ),
        ("bad = 3", {"collate": "mine.py:bad"}, "data.collate mine.py:bad is a int; expected a function of a list of"),
        ("", {"in_memory": True}, "data.in_memory: data.collate mine.py:pad makes batches anew; leave it out"),
        (
            "class Broken(Mine):\n def __getitem__(self, i): return 1 / 0 if i == 17 else super().__getitem__(i)",
            {"target": "mine.py:Broken"},
            "mine.py:Broken: item 17 raised ZeroDivisionError: division by zero (mine.py:",
        ),
        (
            "class Broken(Mine):\n def __getitem__(self, i): return super().__getitem__(i)[0], -1 if i == 9 else i % 2",
            {"target": "mine.py:Broken"},
            "mine.py:Broken: item 9: label -1; expected whole numbers from 0 to K-1",
        ),
    ),
)
def test_what_it_does_wrong_is_named(tmp_path: Path, code: str, options: dict[str, object], message: str) -> None:
    assert message in refusal(tmp_path, code, **options)
