"""The test part is sealed: nothing that a search, or its confirmation, does looks at it; it is scored once, by best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import accuracy_score

import tuner
from tuner.cli import best as best_command
from tuner.config.spec import load
from tuner.data.splits import split_rows
from tuner.errors import DataError
from tuner.execution.inline import InlineExecutor
from tuner.seeding import derive
from tuner.study.confirmed import run_detail, standing_of
from tuner.study.queries import StudyReader
from tuner.workflows import best as best_workflow
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

N_TEST = 20
OWN = """
study: own
seed: 4
objective: {metric: accuracy}
data: {kind: python, target: "mine.py:parts", batch_size: 16, in_memory: IN_MEMORY}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 3, early_stopping: {patience: 2}, device: cpu}
space: {optimizer.lr: {low: 0.001, high: 0.1, log: true}, model.width: {low: 4, high: 9}}
search: {sampler: {kind: tpe, n_startup_trials: 2}, pruner: {kind: median, n_startup_trials: 2}, trials: 5, workers: 1}
confirm: {top: 2, seeds: 2}
"""
MINE = """
import torch
from pathlib import Path
from torch.utils.data import Dataset

class Points(Dataset):
    def __init__(self, n, seed, flips=0, touched=None):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 4, generator=generator)
        self.y = (self.x.sum(1) > 0).long()
        self.y[:flips] = 1 - self.y[:flips]
        self.touched = touched

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        if self.touched:
            with self.touched.open("a") as file:
                file.write(f"{index}\\n")
        return self.x[index], int(self.y[index])

def parts():
    return {
        "train": Points(80, 0, flips=12),
        "val": Points(30, 1),
        "test": Points(20, 2, flips=FLIPS, touched=Path(__file__).with_name("touched.txt")),
    }
"""


def write(folder: Path, *, in_memory: str = "auto", flips: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(OWN.replace("IN_MEMORY", in_memory))
    (folder / "mine.py").write_text(MINE.replace("FLIPS", str(flips)))


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, space: str = "own.yaml") -> None:
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)
    search(SearchRequest(space=space), None, InlineExecutor())


def everything() -> list[Any]:
    """Every number of a study: params, curves and values of all trials, of all confirmation runs, and the winner."""
    reader = StudyReader.open("sqlite:///studies.db")
    study = reader.study(None)
    rows = reader.trials(study)
    standing = standing_of(reader, study, reader.outline(study)[1])
    details = [
        *(reader.trial(study, row.number) for row in rows),
        *(run_detail(reader, study, item) for item in standing.runs),
    ]
    assert standing.confirmed is not None
    return [
        standing.confirmed.to_json(),
        [(detail.row.state, detail.row.value, dict(detail.row.params), detail.row.best_epoch) for detail in details],
        [[dict(epoch.metrics) for epoch in detail.curve] for detail in details],
    ]


@pytest.mark.parametrize("in_memory", ("true", "false"))
def test_no_item_of_the_test_part_is_read_before_best_and_each_once_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: str
) -> None:
    write(tmp_path, in_memory=in_memory)
    run(monkeypatch, tmp_path)
    touched = tmp_path / "touched.txt"
    assert not touched.exists()
    first = best()
    n_read = len(touched.read_text().split())
    assert n_read >= N_TEST
    assert "test/accuracy" in first.bundle.metrics
    second = best()
    assert len(touched.read_text().split()) == n_read, "a second export scores again"
    assert second.bundle.metrics == first.bundle.metrics
    assert (first.to_json()["test_scored_before"], second.to_json()["test_scored_before"]) == (False, True)


def test_other_labels_in_the_test_part_change_no_number_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, scores = [], []
    for name, flips in (("as_it_is", 0), ("flipped", 20)):
        write(tmp_path / name, flips=flips)
        run(monkeypatch, tmp_path / name)
        found.append(everything())
        scores.append(best().bundle.metrics)
    assert found[0] == found[1]
    assert scores[0]["val/accuracy"] == scores[1]["val/accuracy"]
    right, wrong = (score["test/accuracy"] for score in scores)
    assert right == pytest.approx(1 - (wrong or 0.0))


TABLE = """
study: table
seed: 4
objective: {metric: accuracy}
data: {kind: csv, path: table.csv, target: y, batch_size: 16, split: {val: 20, test: 30, stratify: false}}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 2, device: cpu}
space: {optimizer.lr: {low: 0.001, high: 0.1, log: true}}
search: {sampler: random, pruner: none, trials: 3, workers: 1}
confirm: {top: 2, seeds: 2}
"""


def test_scaling_and_the_search_know_nothing_of_the_rows_that_are_cut_off_for_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).round(3)
    y = (x.sum(axis=1) > 0).astype(int)
    found = []
    for name, factor in (("as_it_is", 1.0), ("other", 1000.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "table.yaml").write_text(TABLE)
        split = load(folder / "table.yaml").base.data.split
        rows = split_rows(np.arange(120), None, split, given={}, seed=derive(4, "split"))
        changed, labels = x.copy(), y.copy()
        changed[rows.test] *= factor
        labels[rows.test] = y[rows.test] if factor == 1.0 else 1 - y[rows.test]
        lines = [f"{a},{b},{c},{label}" for (a, b, c), label in zip(changed, labels, strict=True)]
        (folder / "table.csv").write_text("\n".join(["a,b,c,y", *lines]))
        run(monkeypatch, folder, "table.yaml")
        found.append(everything())
    assert found[0] == found[1]


def test_the_sealed_score_is_that_of_the_exported_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    run(monkeypatch, tmp_path)
    export = best()
    model = tuner.load(export.path, allow_code=True)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(N_TEST, 4, generator=generator)
    y = (x.sum(1) > 0).long()
    assert export.bundle.metrics["test/accuracy"] == accuracy_score(y, [int(label) for label in model.predict(x)])


def test_best_chooses_the_same_trial_whatever_the_stored_scores_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    run(monkeypatch, tmp_path)
    export = best()
    chosen = export.bundle
    others = [row.number for row in StudyReader.open("sqlite:///studies.db").trials(_study()) if row.best_epoch]
    for number in others:
        best(trial=number)
    scores = list((tmp_path / "runs" / "own" / "test").glob("*.json"))
    assert len(scores) == len(others) + bool(export.repeat)  # of the winner its own run, and a fresh one
    for path in scores:
        content = json.loads(path.read_text())
        content["metrics"]["test/accuracy"] = 0.25 if content["trial"] == chosen.trial else 1.0
        path.write_text(json.dumps(content))
    again = best()
    assert (again.bundle.trial, again.bundle.epoch, again.bundle.value) == (chosen.trial, chosen.epoch, chosen.value)
    assert again.bundle.metrics["test/accuracy"] == 0.25
    shown = CliRunner().invoke(best_command.command, [], catch_exceptions=False).output
    assert "weights are scored once" in shown


def _study() -> Any:
    return StudyReader.open("sqlite:///studies.db").study(None)


def test_a_test_item_that_cannot_be_used_is_named_by_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    mine = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(mine.replace("int(self.y[index])", "int(self.y[index]) + 5 * bool(self.touched)"))
    run(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=r"mine\.py:parts: test item 0: label [56]; expected whole numbers from 0 to 1"):
        best()


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate in this process: what a worker process reads is the same, and starting one takes seconds."""
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
