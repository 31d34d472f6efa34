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
        expected = torch.cat([model.loss.probabilities(model.module(x)) for x, _ in batches]).numpy()
    assert np.array_equal(model.predict_proba([texts[row] for row in rows]), expected)
