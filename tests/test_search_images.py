"""Images from their files to predictions: searched, exported, loaded and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tuner
from tuner.errors import ConfigError
from tuner.execution.inline import InlineExecutor
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

FOLDER = """
version: 1
study: photos
objective: {metric: accuracy}
data: {kind: image_folder, path: photos, resize: 8, batch_size: 8, split: {val: 0.25, test: 0.25}}
model: {kind: convnet, depth: 1, width: 4, head_width: 0}
optimizer: {kind: adam, lr: 0.05}
train: {epochs: 4, device: cpu}
space:
  data.augment.kind: [standard, full, randaugment, trivialaugment]
  data.augment.mixup: {low: 0.0, high: 0.2}
  data.resize: [8, 10]
  data.channels: [1, 3]
search: {sampler: random, pruner: none, trials: 3, workers: 1}
confirm: off
"""


def write_photos(folder: Path) -> None:
    """Dark and bright images of many sizes, some of them grey."""
    generator = np.random.default_rng(0)
    for label, low in (("day", 140), ("night", 0)):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            height, width = generator.integers(8, 20, size=2)
            shape = (height, width) if number % 4 == 0 else (height, width, 3)
            pixels = generator.integers(low, low + 110, size=shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


@pytest.mark.slow
def test_a_folder_of_images_is_searched_exported_and_predicts_from_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write_photos(tmp_path / "photos")
    Path("photos.yaml").write_text(FOLDER)
    result = search(SearchRequest(space="photos.yaml"), None, InlineExecutor())
    assert result.status.counts["complete"] == 3
    export = best(storage=result.storage)
    model = tuner.load(export.path)
    assert "Images of any size are brought to it (crop)" in (export.path / "README.md").read_text()
    new = [np.full((30, 13, 3), brightness, dtype=np.uint8) for brightness in (200, 40)]
    for number, pixels in enumerate(new):
        Image.fromarray(pixels).save(f"{number}.jpg")
    expected = ["day", "night"]
    assert model.predict(["0.jpg", "1.jpg"]).tolist() == expected
    assert model.predict([Image.fromarray(pixels) for pixels in new]).tolist() == expected
    assert model.predict(new).tolist() == expected
    assert model.predict(np.stack(new)[..., 0]).tolist() == expected


def test_a_loss_that_takes_no_mixed_labels_is_refused_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake = "{kind: fake, size: 60, num_classes: 2, image_size: [1, 4, 4], augment: {mixup: 0.2}}"
    Path("fake.yaml").write_text(f"data: {fake}\nloss: {{kind: bce}}\nsearch: {{trials: 1, workers: 1}}\n")
    with pytest.raises(ConfigError, match=r"data\.augment\.mixup: bce takes no mixed labels"):
        search(SearchRequest(space="fake.yaml"), None, InlineExecutor())
