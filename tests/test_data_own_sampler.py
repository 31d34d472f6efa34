"""A user's own sampler: what it is called with, that an epoch is its own, and what it does wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

from tuner.config.schema import PythonData
from tuner.data.feed import Feed
from tuner.data.prepare import prepare
from tuner.errors import DataError

CODE = """
import torch
from torch.utils.data import Sampler, WeightedRandomSampler

class Mine:
    def __len__(self):
        return 50
    def __getitem__(self, i):
        return torch.tensor([float(i)]), int(i % 5 == 0)

class Backwards(Sampler):
    def __init__(self, data_source):
        self.data_source = data_source
    def __iter__(self):
        return iter(range(len(self.data_source) - 1, -1, -1))

def balanced(targets):
    weights = 1.0 / torch.bincount(targets)[targets]
    return WeightedRandomSampler(weights, len(targets))

def few(n_rows):
    return [0, 1, 2]
"""


def rows_of(folder: Path, sampler: str, code: str = "", seed: int = 1) -> tuple[list[int], list[int]]:
    (folder / "mine.py").write_text(CODE + textwrap.dedent(code))
    section = {"target": "mine.py:Mine", "sampler": f"mine.py:{sampler}", "normalize": False, "batch_size": 8}
    data = PythonData.model_validate(section)
    prepared = prepare(data, metric="accuracy", seed=5, base_dir=folder, cache_dir=folder / "cache")
    batches = list(Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1).train(epoch_seed=seed))
    x, y = (torch.cat(list(tensors)) for tensors in zip(*batches, strict=True))
    return [int(value) for value in x[:, 0]], y.tolist()


def test_rows_come_in_the_order_of_the_sampler(tmp_path: Path) -> None:
    rows, _ = rows_of(tmp_path, "Backwards")
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 40


def test_what_it_draws_depends_on_the_epoch_alone(tmp_path: Path) -> None:
    first, targets = rows_of(tmp_path, "balanced")
    assert rows_of(tmp_path, "balanced") == (first, targets)
    assert rows_of(tmp_path, "balanced", seed=2)[0] != first
    assert 10 <= sum(targets) <= 30


def test_one_that_gives_fewer_rows_is_asked_again(tmp_path: Path) -> None:
    rows, _ = rows_of(tmp_path, "few")
    assert len(rows) == 40
    assert len(set(rows)) == 3


@pytest.mark.parametrize(
    ("code", "message"),
    (
        ("def bad(n_rows): return []", "data.sampler mine.py:bad gives no rows"),
        ("def bad(n_rows): return [n_rows]", "data.sampler mine.py:bad gives row 40; expected 0 to 39"),
        (
            "def bad(rows): return rows",
            "bad cannot be called: missing a required argument: 'rows'; it is offered data_s",
        ),
        ("def bad(n_rows): raise ValueError('no')", "data.sampler mine.py:bad raised ValueError: no (mine.py:"),
        ("def bad(n_rows): return 'ab'", "data.sampler mine.py:bad raised ValueError: invalid literal for int()"),
        ("bad = 3", "data.sampler mine.py:bad is a int; expected a class or a function"),
    ),
)
def test_what_it_does_wrong_is_named(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        rows_of(tmp_path, "bad", code)
    assert message in caught.value.message
