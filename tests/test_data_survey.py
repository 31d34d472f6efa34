"""`tuner data`: what is found in every kind of source, and that the test part stays sealed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuner.cli.data_text import text_of
from tuner.config.spec import Spec
from tuner.data.survey.features import tells
from tuner.errors import UsageError
from tuner.workflows.data import DataReport, examine

HEAD = "version: 1\nmodel: {kind: mlp}\n"


def look(folder: Path, data: str, *, metric: str = "loss", picture: Path | None = None) -> DataReport:
    space = folder / "space.yaml"
    space.write_text(f"{HEAD}objective: {{metric: {metric}}}\ndata: {data}\n")
    report = examine(str(space), storage=f"sqlite:///{folder}/studies.db", picture=picture)
    assert isinstance(report, DataReport)
    json.dumps(report.to_json(), allow_nan=False)
    return report


def shown(report: DataReport) -> str:
    return text_of(report, coloured=False)


def table(folder: Path, rows: list[str]) -> str:
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return f"{{kind: csv, path: {folder}/table.csv, target: y, split: {{val: 0.2, test: 0.2}}}}"


def test_the_command_shows_images_saves_a_grid_and_prints_json(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(HEAD + "data: {kind: digits}\n")
    command = [sys.executable, "-m", "tuner", "data", "--space", "space.yaml", "--out", "grid.png"]
    found = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    report = json.loads(found.stdout)
    assert {name: part["n_rows"] for name, part in report["parts"].items()} == {"train": 1437, "val": 180, "test": 180}
    assert report["parts"]["test"]["classes"]["3"] == 18
    assert report["values"]["n_constant"] == 3
    assert report["loading"] == "stored rows, memory-mapped"
    with Image.open(tmp_path / "grid.png") as grid:
        assert (grid.mode, grid.size) == ("RGB", (8 * 10 + 2, 8 * 10 + 2))
    assert not (tmp_path / "studies.db").exists()


def test_samples_of_images_are_one_of_each_class_in_half_blocks(tmp_path: Path) -> None:
    report = look(tmp_path, "{kind: digits}")
    assert [sample.target for sample in report.survey.samples] == list("01234567")
    text = shown(report)
    assert "  \u2584\u2588\u2588\u2584" in text
    assert "\x1b" not in text
    assert "\x1b[38;2;" in text_of(report, coloured=True)


def test_columns_are_described_as_the_source_has_them(tmp_path: Path) -> None:
    rows = ["size,colour,same,y"]
    rows += [f"{'' if i == 3 else i},{'red' if i % 3 else 'blue'},7,{'yes' if i % 2 else 'no'}" for i in range(50)]
    report = look(tmp_path, table(tmp_path, rows))
    size, colour, same = report.survey.features
    assert (size.kind, size.missing, size.minimum, size.maximum) == ("number", int(size.missing), 0.0, 49.0)
    assert colour.kind == "category"
    assert {name for name, _ in colour.frequent} == {"red", "blue"}
    assert same.is_constant
    text = shown(report)
    assert "! constant in train, so of no use: same" in text
    assert "the test part was counted and compared only; it stays sealed until `tuner best`" in text
    assert ", colour red, same 7" in text


def test_rows_in_two_parts_and_inputs_with_two_targets_are_named(tmp_path: Path) -> None:
    rows = [
        "a,b,y",
        *(f"{i % 25},{i % 25},{'no' if i in (0, 1) else 'yes' if i % 25 < 12 else 'no'}" for i in range(50)),
    ]
    report = look(tmp_path, table(tmp_path, rows))
    twins = report.survey.twins
    assert {(overlap.first, overlap.second) for overlap in twins.overlaps} >= {("train", "val"), ("train", "test")}
    for overlap in twins.overlaps:
        assert all(abs(one - other) == 25 for one, other in overlap.pairs)
    assert (twins.conflicts.n_inputs, twins.conflicts.n_rows) == (2, 4)
    text = shown(report)
    assert "also in train: train " in text
    assert "! 2 inputs occur with different targets (4 rows): " in text


def test_a_column_that_is_the_target_is_named(tmp_path: Path) -> None:
    rows = ["a,copy,y", *(f"{i * 7 % 50},{('p', 'q', 'r')[i % 3]},{'xyz'[i % 3]}" for i in range(60))]
    assert "tells the target alone; was it known before? copy" in shown(look(tmp_path, table(tmp_path, rows)))
    rows = ["a,copy,y", *(f"{i * 7 % 50},{2.0 * i - 1},{i}.5" for i in range(60))]
    assert "was it known before? copy" in shown(look(tmp_path, table(tmp_path, rows), metric="rmse"))


def test_an_identifier_does_not_tell_the_target() -> None:
    targets = np.array([0, 1] * 20)
    assert not tells(np.arange(40), targets)
    assert not tells(np.zeros(40), targets)
    assert tells(targets * 3.0, targets)
    noise = np.random.default_rng(0).normal(size=40).astype(np.float32)
    assert not tells(np.arange(40.0), noise)
    assert not tells(targets.astype(np.float64), targets[::-1] + noise)


def test_quantities_have_ranges_and_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    rows = ["text,y", *(f"a film of {i} stars,{i}.0" for i in range(40)), "a film of 3 stars,9.0"]
    (tmp_path / "films.csv").write_text("\n".join(rows) + "\n")
    report = look(tmp_path, f"{{kind: text, path: {tmp_path}/films.csv, text: text, target: y}}", metric="mae")
    text = shown(report)
    assert "target" in text
    assert ": a film of " in text
    assert report.survey.twins.conflicts.n_inputs == 1
    assert not any(overlap.n_rows > 1 for overlap in report.survey.twins.overlaps)


OWN = """
import numpy as np
import torch

class Mine:
    def __init__(self, n=40):
        self.n = n
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        return {"age": float(i), "place": torch.tensor([i, 1.0]), "y": i % 2}

class Drawn(Mine):
    def __getitem__(self, i):
        return torch.rand(3), i % 2

def parts():
    return Mine(40), Mine(20), Mine(10)
"""


def test_own_datasets_are_looked_at_item_by_item(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    report = look(tmp_path, "{kind: python, target: mine.py:parts}")
    assert [feature.name for feature in report.survey.features] == ["age", "place 0", "place 1"]
    assert "inputs by name: age [1], place [2]" in report.encoding
    assert [(overlap.second, overlap.n_rows) for overlap in report.survey.twins.overlaps] == [
        ("val", 20),
        ("test", 10),
        ("test", 10),
    ]
    drawn = look(tmp_path, "{kind: python, target: mine.py:Drawn, num_workers: 1}")
    assert drawn.loading == "streamed, 1 loader process"
    assert not drawn.survey.twins.overlaps


def test_a_grid_of_what_are_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out: a grid of samples is for images, and this data has none"):
        look(tmp_path, "{kind: iris}", picture=tmp_path / "grid.png")


def test_own_training_without_data_has_nothing_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def run(config, state):\n    yield {}, None\n")
    (tmp_path / "space.yaml").write_text(
        "version: 1\nobjective: {metric: x, direction: minimize}\n"
        "train: {kind: python, target: mine.py:run, epochs: 1}\n"
    )
    assert isinstance(examine(str(tmp_path / "space.yaml")), Spec)


FLOW = """
import torch
from torch.utils.data import IterableDataset

class Flow(IterableDataset):
    def __iter__(self):
        return ((torch.tensor([float(i), 2.0]), i % 2) for i in range(5000))
"""


def test_an_iterable_is_looked_at_as_far_as_an_epoch_goes(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    report = look(tmp_path, "{kind: python, target: flow.py:Flow, epoch_items: 100, num_workers: 0}")
    assert report.loading == "an iterable's passes, no loader processes"
    first, second = report.survey.features
    assert (first.minimum, first.maximum, second.is_constant) == (20.0, 119.0, True)
    assert "mean 69.5" in report.encoding


def test_texts_for_a_language_model_are_shown_as_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("all work and no play makes jack a dull boy. " * 60)
    report = look(tmp_path, f"{{kind: characters, path: {tmp_path}/text.txt, context: 16}}")
    assert report.survey.samples[0].text.startswith("all work and no ")
    assert "characters, 16 at a time" in report.encoding
