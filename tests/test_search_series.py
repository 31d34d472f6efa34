"""Forecasts, sounds and arrays from the space file to the prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile

from tuner.execution.inline import InlineExecutor
from tuner.export.loaded import load
from tuner.workflows.best import Export, best
from tuner.workflows.search import SearchRequest, search

FORECASTING = """
seed: 1
objective: {metric: rmse}
data: {kind: series, path: load.csv, time: time, target: load, window: 24, horizon: 6, look_back: true}
model: {kind: mlp, depth: 1, width: 32}
train: {epochs: 4}
space:
  data.window: [24, 48]
  data.stride: [1, 2]
  optimizer.lr: {low: 1e-3, high: 1e-2, log: true}
search: {trials: 2, workers: 1}
confirm: off
"""
AUDIO = """
seed: 1
objective: {metric: accuracy}
data: {kind: audio, path: sounds, seconds: 0.25, batch_size: 8, split: {val: 0.2, test: 0.2}}
model: {kind: convnet, depth: 2, width: 8}
train: {epochs: 3}
space:
  data.n_mels: [16, 32]
  data.features: [mel, mfcc]
  data.perturb.noise: {low: 0.0, high: 0.2}
  optimizer.lr: {low: 1e-3, high: 1e-2, log: true}
search: {trials: 2, workers: 1}
confirm: off
"""
ARRAYS = """
seed: 1
objective: {metric: accuracy}
data: {kind: npz, path: digits.npz}
model: {kind: mlp, depth: 1, width: 32}
train: {epochs: 3}
space: {optimizer.lr: {low: 1e-3, high: 1e-2, log: true}}
search: {trials: 2, workers: 1}
confirm: off
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def exported(text: str) -> Export:
    Path("space.yaml").write_text(text)
    search(SearchRequest(space="space.yaml"), None, InlineExecutor())
    return best()


def hours(n_rows: int = 600) -> pd.DataFrame:
    time = pd.date_range("2026-01-01", periods=n_rows, freq="h")
    noise = np.random.default_rng(0).normal(size=n_rows)
    return pd.DataFrame({"time": time, "load": 500 + 100 * np.sin(np.arange(n_rows) * 2 * np.pi / 24) + 5 * noise})


@pytest.mark.slow
def test_a_forecast_is_searched_exported_and_predicts_in_the_units_of_the_table() -> None:
    table = hours()
    table.to_csv("load.csv", index=False)
    export = exported(FORECASTING)
    assert export.reevaluated == export.bundle.value
    model = load(export.path)
    for recent in (table, table["load"].to_numpy(), "load.csv"):
        (found,) = model.predict(recent)
        expected = 500 + 100 * np.sin(np.arange(600, 606) * 2 * np.pi / 24)
        assert found == pytest.approx(expected, abs=40)


@pytest.mark.slow
def test_sounds_are_searched_exported_and_told_apart_from_their_files() -> None:
    at = np.arange(2000) / 8000
    for label, name in enumerate(("low", "high")):
        for number in range(20):
            path = Path("sounds") / name / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = 0.5 * np.sin(2 * np.pi * (300 + 900 * label + 10 * number) * at)
            wavfile.write(path, 8000, (tone * 32767).astype(np.int16))
    export = exported(AUDIO)
    assert export.reevaluated == export.bundle.value
    model = load(export.path)
    found = model.predict(["sounds/low/3.wav", "sounds/high/4.wav"]).tolist()
    assert found == ["low", "high"]
    assert model.predict(0.5 * np.sin(2 * np.pi * 1300 * at)).tolist() == ["high"]


@pytest.mark.slow
def test_arrays_are_searched_exported_and_predicted_as_they_are() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)
    np.savez(
        "digits.npz",
        x_train=images[:1000],
        y_train=digits.target[:1000],
        x_test=images[1000:1300],
        y_test=digits.target[1000:1300],
    )
    export = exported(ARRAYS)
    assert export.reevaluated == export.bundle.value
    found = load(export.path).predict(images[1300:])
    assert (found == digits.target[1300:]).mean() > 0.7
