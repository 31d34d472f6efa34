"""Own data of every form from search to prediction: iterable, several inputs, a collate function, no targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tuner
from tuner.errors import DataError

pytestmark = pytest.mark.slow

CODE = """
import random
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset


def point(i):
    return torch.tensor([float(i % 2), (i % 5) / 5])


class Flow(IterableDataset):
    def __iter__(self):
        order = list(range(60))
        random.shuffle(order)
        return ((point(i), i % 2) for i in order)


def flow():
    return Flow(), [(point(i), i % 2) for i in range(20)], [(point(i), i % 2) for i in range(8)]


class Named:
    def __len__(self):
        return 60

    def __getitem__(self, i):
        return {"picture": torch.full((3, 4), i % 2 * 200, dtype=torch.uint8), "word": i % 4, "label": i % 2}


class NamedNet(nn.Module):
    def __init__(self, n_outputs, width=4):
        super().__init__()
        self.words = nn.Embedding(4, width)
        self.pixels = nn.Linear(12, width)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, picture, word):
        return self.head(torch.relu(self.pixels(picture.flatten(1)) + self.words(word[:, 0])))


class Sentences:
    def __len__(self):
        return 60

    def __getitem__(self, i):
        return torch.tensor([1 + i % 2] * (1 + i % 6)), i % 2


def pad(items):
    return pad_sequence([x for x, _ in items], batch_first=True), torch.tensor([y for _, y in items])


class Unlabelled:
    def __len__(self):
        return 60

    def __getitem__(self, i):
        return point(i)
"""

COMMON = "version: 1\nstudy: own\ntrain: {{epochs: 2}}\nconfirm: off\nsearch: {{trials: 2, workers: 1}}\n{}"


def exported(folder: Path, monkeypatch: pytest.MonkeyPatch, sections: str) -> tuner.LoadedModel:
    (folder / "mine.py").write_text(CODE)
    (folder / "own.yaml").write_text(COMMON.format(sections))
    monkeypatch.chdir(folder)
    study = tuner.search("own.yaml", device="cpu")
    return tuner.load(tuner.best(study), allow_code=True)


def test_a_flow_of_shuffled_items_with_parts_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(
        tmp_path,
        monkeypatch,
        "data: {kind: python, target: mine.py:flow, batch_size: 8, num_workers: 1}\nmodel: {kind: mlp, width: 8}\n"
        "space: {optimizer.lr: [0.05, 0.1]}\n",
    )
    assert model.predict(np.array([[0.0, 0.2], [1.0, 0.2]])).tolist() == [0, 1]
    assert model.bundle.metrics["test/accuracy"] == 1.0


def test_several_inputs_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(
        tmp_path,
        monkeypatch,
        "data: {kind: python, target: mine.py:Named, batch_size: 8}\n"
        "model: {kind: python, target: mine.py:NamedNet}\noptimizer: {lr: 0.05}\n"
        "space: {model.options.width: [4, 8]}\n",
    )
    pictures = np.stack([np.full((3, 4), value, dtype=np.uint8) for value in (0, 200)])
    assert model.predict({"picture": pictures, "word": np.array([0, 1])}).tolist() == [0, 1]
    assert model.predict([{"picture": pictures[1], "word": 1}]).tolist() == [1]
    with pytest.raises(DataError, match="input: no 'word'; expected a dict of picture, word"):
        model.predict({"picture": pictures})


def test_sequences_padded_by_a_collate_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(
        tmp_path,
        monkeypatch,
        "data: {kind: python, target: mine.py:Sentences, collate: mine.py:pad, padding: 0, batch_size: 8}\n"
        "model: {kind: recurrent, width: 8}\noptimizer: {lr: 0.05}\nspace: {optimizer.lr: [0.05, 0.1]}\n",
    )
    assert model.predict(torch.tensor([[1, 1, 0], [2, 2, 2]])).tolist() == [0, 1]


def test_items_without_a_target_are_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(
        tmp_path,
        monkeypatch,
        "objective: {metric: mse}\n"
        "data: {kind: python, target: mine.py:Unlabelled, task: autoencoding, batch_size: 8}\n"
        "model: {kind: mlp, width: 8}\nspace: {optimizer.lr: [0.05, 0.1]}\n",
    )
    assert model.predict(np.array([[0.0, 0.2]])).shape == (1, 2)
