"""`tuner init`: every template is searched, exported, loaded, and used for a prediction."""

from __future__ import annotations

import csv
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tuner.cli.main import cli
from tuner.errors import NotFoundError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.export.loaded import load as load_export
from tuner.workflows import best as best_workflow
from tuner.workflows.best import best
from tuner.workflows.init import TEMPLATES, init
from tuner.workflows.search import SearchRequest, search

SMALL = ("search.trials=2", "search.workers=1", "search.threads=1", "confirm=off", "train.device=cpu", "train.epochs=2")


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
    torch.set_num_threads(1)


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


def _images() -> Any:
    for label, name in enumerate(("dark", "light")):
        folder = Path("photos") / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = _random().integers(0, 100, (24 + number % 3, 20, 3)) + 120 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return [Image.open("photos/dark/0.png")]


def _table(target: Callable[[float, float], object], name: str) -> Any:
    random = _random()
    with Path("table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "size", "colour", name])
        for _ in range(80):
            a, b = random.normal(size=2)
            writer.writerow([f"{a:.4f}", f"{b:.4f}", random.choice(["red", "blue"]), target(a, b)])
    return [{"age": 0.5, "size": -1.0, "colour": "red"}]


def _classes() -> Any:
    return _table(lambda a, b: "yes" if a > b else "no", "bought")


def _numbers() -> Any:
    return _table(lambda a, b: f"{3 * a - b:.4f}", "price")


def _texts() -> Any:
    random = _random()
    words = {"good": ["great", "fine", "lovely", "bright"], "bad": ["awful", "poor", "dull", "grim"]}
    with Path("table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "mood"])
        for number in range(80):
            mood = "good" if number % 2 else "bad"
            text = " ".join(random.choice(words[mood] + ["the", "a", "film"], size=8))
            writer.writerow([text, mood])
    return ["a lovely bright film"]


def _series() -> Any:
    random = _random()
    values = np.sin(np.arange(400) * 2 * np.pi / 24) + 0.1 * random.normal(size=400)
    with Path("table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["hour", "load"])
        writer.writerows((number, f"{value:.4f}") for number, value in enumerate(values))
    return values[-48:, None].astype(np.float32)


def _sounds() -> Any:
    for label, name in enumerate(("low", "high")):
        folder = Path("photos") / name
        folder.mkdir(parents=True)
        for number in range(14):
            at = np.arange(4000) / 8000
            sound = np.sin(2 * np.pi * (300 + 900 * label + 5 * number) * at)
            with wave.open(str(folder / f"{number}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((sound * 20000).astype("<i2").tobytes())
    return ["photos/low/0.wav"]


def _book() -> Any:
    Path("story.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    return ["the quick brown fox jumps over the lazy dog. the quick brown fox j"]


def _digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits().images[:3].astype(np.uint8)


def _rings() -> Any:
    return torch.tensor([[1.0, 0.0], [2.0, 0.0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a template is made small, and what is predicted."""

    what: str
    """As typed after `tuner init`."""
    make: Callable[[], Any]
    """Writes the data, returns inputs to predict."""
    sets: Sequence[str] = ()
    target: str | None = None


FASHION = Path("/usr/share/datasets/fashion-mnist")
CASES: dict[str, Case] = {
    "image-folder": Case(what="photos", make=_images, sets=("data.resize=16", "model.width=8")),
    "tabular-classification": Case(what="table.csv", make=_classes),
    "tabular-regression": Case(what="table.csv", make=_numbers, target="price"),
    "text-classification": Case(what="table.csv", make=_texts),
    "forecasting": Case(
        what="forecasting", make=_series, sets=("data.path=table.csv", "data.time=hour", "data.target=load")
    ),
    "audio": Case(what="photos", make=_sounds, sets=("data.seconds=0.5", "model.width=8")),
    "autoencoder": Case(what="autoencoder", make=_digits),
    "language-model": Case(what="story.txt", make=_book, sets=("model.width=32",)),
    "own-model": Case(what="own-model", make=_digits),
    "own-data": Case(what="own-data", make=_rings, sets=("data.options.n=200",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_template_is_searched_exported_loaded_and_predicts(name: str) -> None:
    case = CASES[name]
    inputs = case.make()
    made = init(case.what, target=case.target)
    assert made.template == name
    search(SearchRequest(space=str(made.file), sets=(*SMALL, *case.sets)), None, InlineExecutor())
    export = best()
    assert export.reevaluated == export.bundle.value
    found = load_export(export.path, allow_code=True).predict(inputs)
    assert len(found) == len(inputs) or name == "forecasting"
    assert np.asarray(found).size > 0


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not on this machine")
def test_the_template_of_images_is_searched_exported_loaded_and_predicts() -> None:
    made = init("image-classification")
    small = ("train.batches_per_epoch=5", "model.width=8", "data.split.val=500")
    search(SearchRequest(space=str(made.file), sets=(*SMALL, *small)), None, InlineExecutor())
    export = best()
    found = load_export(export.path).predict(np.zeros((2, 28, 28), dtype=np.uint8))
    assert len(found) == 2


@pytest.mark.slow
def test_the_template_of_own_training_is_searched_and_exported() -> None:
    made = init("own-training")
    search(SearchRequest(space=str(made.file), sets=SMALL), None, InlineExecutor())
    assert (best().path / "state.pt").is_file()


def test_every_template_has_a_file_and_a_test() -> None:
    assert {*CASES, "image-classification", "own-training"} == set(TEMPLATES)


def test_a_file_that_exists_is_not_overwritten() -> None:
    Path("autoencoder.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"autoencoder.yaml: exists, and is not overwritten; choose .* --out FILE"):
        init("autoencoder", out=Path("autoencoder.yaml"))
    assert init("autoencoder").file == Path("autoencoder-2.yaml")
    Path("own_model.py").write_text("mine = 1")
    with pytest.raises(UsageError, match=r"own_model.py: exists, and is not overwritten; choose another folder"):
        init("own-model")
    assert (Path("autoencoder.yaml").read_text(), Path("own_model.py").read_text()) == ("mine", "mine = 1")


def test_what_is_neither_a_template_nor_data_is_refused_with_the_templates() -> None:
    with pytest.raises(NotFoundError, match=r"autoencodr: no template and no file .* did you mean 'autoencoder'\?"):
        init("autoencodr")
    Path("notes.md").write_text("x")
    with pytest.raises(UsageError, match=r"notes.md: cannot tell what to do with it"):
        init("notes.md")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="no images, wav files or folders of texts in it"):
        init("empty")


def test_a_table_without_the_named_column_is_refused_with_its_columns() -> None:
    _classes()
    with pytest.raises(UsageError, match=r"table.csv: no column 'buy'; it has age, size, colour, bought"):
        init("table.csv", target="buy")


def test_the_command_lists_the_templates_and_says_what_comes_next() -> None:
    listed = CliRunner().invoke(cli, ["init"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in TEMPLATES)
    made = CliRunner().invoke(cli, ["init", "own-model", "--out", "mine/net.yaml"])
    assert made.output.splitlines() == [
        "wrote mine/net.yaml",
        "wrote mine/own_model.py",
        "next: tuner search --space mine/net.yaml",
    ]
    assert "tuner search --space mine/net.yaml" in Path("mine/net.yaml").read_text()
