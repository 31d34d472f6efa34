"""Results as pandas tables: what is stored, each column in its type."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

import tuner
from tuner.errors import NotFoundError
from tuner.execution.inline import InlineExecutor
from tuner.study.queries import StudyReader
from tuner.workflows.search import SearchRequest, search
from tuner.workflows.status import trials_of

STORAGE = "sqlite:///studies.db"
SPACE = """
study: framed
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 4}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer.kind: sgd}}
  optimizer.nesterov: {choices: [true, false], when: {optimizer.kind: sgd}}
  model.width: {low: 4, high: 8}
  train.grad_clip: [null, 1.0]
search: {sampler: random, pruner: {kind: asha, min_epochs: 2, eta: 2}, trials: 6, workers: 1, lanes: 1, threads: 1}
confirm: off
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("framed.yaml").write_text(SPACE)


def run(*sets: str) -> tuner.Study:
    name = search(SearchRequest(space="framed.yaml", sets=sets), None, InlineExecutor()).status.study.name
    return tuner.Study(name=name, storage=STORAGE)


def test_a_row_a_trial_has_what_is_stored_in_its_type() -> None:
    study = run()
    frame, trials = study.trials_frame(), trials_of(STORAGE, "framed")
    assert list(frame.index) == [trial.number for trial in trials]
    assert frame.index.name == "trial"
    assert list(frame["state"]) == [trial.state.value for trial in trials]
    assert list(frame["state"].cat.categories) == ["complete", "pruned", "failed", "running", "paused", "waiting"]
    assert frame["value"].max() == study.status.best.value  # type: ignore[union-attr]
    assert frame["value"].isna().sum() == sum(trial.value is None for trial in trials)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "state": "category",
        "value": "float64",
        "optimizer.kind": "string",
        "optimizer.momentum": "float64",
        "optimizer.nesterov": "boolean",
        "model.width": "Int64",
        "train.grad_clip": "float64",
        "epochs": "int64",
        "best_epoch": "Int64",
        "seconds": "float64",
        "reason": "string",
    }
    for trial in trials:
        for name, value in trial.params.items():
            found = frame.loc[trial.number, name]
            assert pd.isna(found) if value is None else found == value
    lacking = frame["optimizer.kind"] == "adamw"
    assert frame.loc[lacking, "optimizer.nesterov"].isna().all()
    assert (frame.groupby("state", observed=True)["epochs"].max() <= 4).all()


def test_a_row_an_epoch_has_every_metric() -> None:
    study = run("search.trials=3")
    frame = study.epochs_frame()
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study("framed"), 1)
    assert frame.index.names == ["trial", "epoch"]
    assert list(frame.loc[1].index) == [row.epoch for row in detail.curve]
    assert list(frame.loc[1, "val/accuracy"]) == [row.metrics["val/accuracy"] for row in detail.curve]
    assert len(frame) == study.trials_frame()["epochs"].sum()
    assert (frame["seconds"] > 0).all()


def test_several_objectives_have_a_column_each_and_the_front() -> None:
    frame = run("objective=[{metric: accuracy}, {metric: params}]", "search.trials=3").trials_frame()
    assert "value" not in frame
    assert str(frame["front"].dtype) == "bool"
    front = frame[frame["front"]]
    assert len(front) >= 1
    assert front["val/accuracy"].max() == frame["val/accuracy"].max()
    assert front["params"].notna().all()


def test_a_study_that_is_not_there_is_named() -> None:
    run("search.trials=1")
    with pytest.raises(NotFoundError, match="nothing-like-it"):
        tuner.Study(name="nothing-like-it", storage=STORAGE).trials_frame()
