"""`data.split.folds`: trials take turns with the folds that validate them, and confirmed ones share theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema import Split
from tuner.data.splits import split_rows
from tuner.errors import DataError, VerificationError
from tuner.execution.inline import InlineExecutor
from tuner.study.confirmed import run_detail, standing_of
from tuner.study.queries import StudyReader
from tuner.workflows import best as best_workflow
from tuner.workflows.best import best
from tuner.workflows.reproduce import reproduce
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: small
objective: {metric: loss}
data: {kind: iris, batch_size: 16, split: {test: 0.2, folds: 3}}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 2, device: cpu}
space: {optimizer.lr: {low: 1e-3, high: 1e-1, log: true}}
search: {sampler: random, pruner: none, trials: 4, workers: 1}
confirm: {top: 2, seeds: 3}
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


@pytest.mark.parametrize("stratify", (True, False))
def test_every_row_that_is_not_for_the_test_validates_in_one_fold(stratify: bool) -> None:
    classes = np.repeat(np.arange(3), (50, 31, 20))
    pool = np.arange(101)
    sizes = Split(test=0.2, folds=4)
    parts = [
        split_rows(pool, classes if stratify else None, sizes.model_copy(update={"fold": fold}), given={}, seed=7)
        for fold in range(4)
    ]
    assert {tuple(part.test) for part in parts} == {tuple(parts[0].test)}
    assert sorted(np.concatenate([part.val for part in parts])) == sorted(set(range(101)) - set(parts[0].test))
    for part in parts:
        assert sorted([*part.train, *part.val, *part.test]) == list(range(101))
    sizes_of_val = [len(part.val) for part in parts]
    assert max(sizes_of_val) - min(sizes_of_val) <= 1
    if stratify:
        counts = np.array([np.bincount(classes[part.val], minlength=3) for part in parts])
        assert (np.ptp(counts, axis=0) <= 1).all()


def test_too_many_folds_and_folds_beside_a_validation_part_are_refused() -> None:
    with pytest.raises(DataError, match="9 folds of 8 rows; take fewer folds"):
        split_rows(np.arange(8), None, Split(test=0, folds=9), given={}, seed=0)
    with pytest.raises(DataError, match="a validation part of its own"):
        split_rows(np.arange(8), None, Split(test=0, folds=2), given={"val": np.arange(8, 10)}, seed=0)


def test_trials_take_turns_and_all_candidates_are_confirmed_on_the_same_folds() -> None:
    search(SearchRequest(space="small.yaml"), None, InlineExecutor())
    reader = StudyReader.open("sqlite:///studies.db")
    study = reader.study(None)
    folds = [reader.trial(study, number).config["data"]["split"]["fold"] for number in range(4)]
    assert folds == [0, 1, 2, 0]
    standing = standing_of(reader, study, reader.outline(study)[1])
    of_runs = {(run.repeat, run_detail(reader, study, run).config["data"]["split"]["fold"]) for run in standing.runs}
    assert of_runs == {(1, 0), (2, 1), (3, 2)}
    export = best()
    assert export.reevaluated == export.bundle.value
    for number in range(4):
        assert reproduce(number, executor=InlineExecutor()).is_identical
    is_same_fold = export.bundle.config.data.split.fold == 1
    assert (best(trial=1).bundle.data.fingerprint == export.bundle.data.fingerprint) == is_same_fold


def test_other_data_is_noticed_whichever_fold_validated(tmp_path: Path) -> None:
    rows = [f"{i % 7},{i % 5},{i % 2}" for i in range(60)]
    Path("table.csv").write_text("\n".join(["a,b,y", *rows]))
    Path("small.yaml").write_text(
        SPACE.replace("kind: iris", "kind: csv, path: table.csv, target: y").replace("trials: 4", "trials: 2")
    )
    search(SearchRequest(space="small.yaml", sets=("confirm=off",)), None, InlineExecutor())
    best(trial=1)
    Path("table.csv").write_text("\n".join(["a,b,y", *rows[1:], rows[1]]))
    with pytest.raises(VerificationError):
        best(trial=1)
