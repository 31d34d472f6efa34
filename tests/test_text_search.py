"""Texts from the space file to what an export says of new ones."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import tuner
from tuner.data.batches import eval_batches
from tuner.data.prepare import prepare
from tuner.errors import UsageError
from tuner.execution.inline import InlineExecutor
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

SENTENCES = """
version: 1
study: moods
objective: {metric: accuracy}
data: {kind: text, path: moods.csv, target: mood, batch_size: 16, bucket: true}
model: {kind: bag, embedding: 8}
optimizer: {kind: adam, lr: 0.05}
train: {epochs: 3, device: cpu}
space:
  data.tokenizer.kind: {choices: [word, bpe]}
  data.tokenizer.vocab_size: {low: 270, high: 300}
  data.max_length: {choices: [12, 20]}
  model.ngrams: {low: 1, high: 2}
  model.token_dropout: {low: 0.0, high: 0.3}
search: {sampler: random, pruner: none, trials: 2, workers: 1}
confirm: off
"""


SAVED = """
version: 1
study: saved
objective: {metric: accuracy}
data: {kind: huggingface, path: saved, text: text, target: mood, batch_size: 16}
model: {kind: bag, embedding: 8}
optimizer: {kind: adam, lr: 0.05}
train: {epochs: 2, device: cpu}
space: {data.max_length: {choices: [8, 12]}}
search: {sampler: random, pruner: none, trials: 1, workers: 1}
confirm: off
"""

CHARACTERS = """
version: 1
study: verse
objective: {metric: loss}
data: {kind: characters, path: verse.txt, context: 16, batch_size: 8}
model: {kind: recurrent, cell: gru, width: 24}
optimizer: {kind: adam, lr: 0.02}
train: {epochs: 12, device: cpu}
space:
  optimizer.lr: {low: 0.01, high: 0.03}
search: {sampler: random, pruner: none, trials: 2, workers: 1}
confirm: off
"""
VERSE = "the cat sat on the mat.\n"


def write_moods(path: Path) -> None:
    draw = random.Random(0)
    words = {"good": ["warm", "funny", "lovely", "bright"], "bad": ["dull", "lazy", "dreary", "cold"]}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "mood"])
        for row in range(160):
            mood = "good" if row % 2 else "bad"
            writer.writerow([" ".join(draw.choices(["the", "film", "was", *words[mood]], k=4 + row % 14)), mood])


@pytest.mark.slow
def test_sentences_are_searched_exported_and_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_moods(tmp_path / "moods.csv")
    (tmp_path / "moods.yaml").write_text(SENTENCES)
    result = search(SearchRequest(space="moods.yaml"), executor=InlineExecutor())
    assert result.status.counts["complete"] == 2
    model = tuner.load(best(out=tmp_path / "export").path)
    assert model.predict(["a warm and lovely film", "dull, cold and lazy"]).tolist() == ["good", "bad"]
    config = model.bundle.config
    data = prepare(config.data, metric="accuracy", seed=config.seed, base_dir=tmp_path, cache_dir=tmp_path / "again")
    assert data.info.fingerprint == model.bundle.data.fingerprint
    with (tmp_path / "moods.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    rows = np.load(next((tmp_path / "again").glob("*/val_rows.npy")))
    with torch.inference_mode():
        batches = eval_batches(data.val, data.preprocess, device="cpu")
        expected = torch.cat([model.score(x) for x, _ in batches]).numpy()
    assert np.array_equal(model.predict_proba([texts[row] for row in rows]), expected)


@pytest.mark.slow
def test_a_language_model_is_searched_exported_and_goes_on_with_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verse.txt").write_text(VERSE * 40)
    (tmp_path / "verse.yaml").write_text(CHARACTERS)
    search(SearchRequest(space="verse.yaml"), executor=InlineExecutor())
    model = tuner.load(best(out=tmp_path / "export").path)
    probabilities = model.predict_proba(["the c", "the cat sat on the mat.\nthe"])
    assert probabilities.shape == (2, len(model.labels))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert model.predict(["the cat sat o", "at.\nth"]).tolist() == ["n", "e"]
    assert model.generate("the cat sat ", 12, temperature=0.0) == "on the mat.\n"
    assert model.generate("the ", 40, seed=1) == model.generate("the ", 40, seed=1)
    config = model.bundle.config
    prepared = prepare(config.data, metric="loss", seed=config.seed, base_dir=tmp_path, cache_dir=tmp_path / "again")
    names = model.labels
    with torch.inference_mode():
        for x, _ in eval_batches(prepared.val, prepared.preprocess, device="cpu"):
            text = ["".join(names[token] for token in row) for row in x.tolist()]
            expected = model.module(x)[:, -1].softmax(dim=1).numpy()
            np.testing.assert_allclose(model.predict_proba(text), expected, rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="temperature: expected 0 or more"):
        model.generate("the", 1, temperature=-1.0)


@pytest.mark.slow
def test_a_data_set_of_the_package_datasets_is_searched_exported_and_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_moods(tmp_path / "moods.csv")
    datasets.Dataset.from_csv("moods.csv", cache_dir=str(tmp_path / "cache")).save_to_disk("saved")
    (tmp_path / "saved.yaml").write_text(SAVED)
    search(SearchRequest(space="saved.yaml"), executor=InlineExecutor())
    model = tuner.load(best(out=tmp_path / "export").path)
    assert model.labels == ("bad", "good")
    assert model.predict({"text": ["a warm and lovely film", "dull, cold and lazy"]}).tolist() == ["good", "bad"]
