"""`confirm.resplit`: fresh seeds have validation parts of their own, the same for all candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema import Confirm, Split
from tuner.data.splits import split_rows
from tuner.execution.inline import InlineExecutor
from tuner.study.confirmed import run_detail, standing_of
from tuner.study.queries import StudyReader
from tuner.workflows import best as best_workflow
from tuner.workflows.best import best
from tuner.workflows.confirm import is_resplit
from tuner.workflows.reproduce import reproduce
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: small
objective: {metric: loss}
data: {kind: iris, batch_size: 16, split: {val: 0.2, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
train: {epochs: 2, device: cpu}
space: {optimizer.lr: {low: 1e-3, high: 1e-1, log: true}}
search: {sampler: random, pruner: none, trials: 3, workers: 1}
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
    torch.set_num_threads(1)


@pytest.mark.parametrize("stratify", (True, False))
def test_another_cut_validates_on_other_rows_and_leaves_the_test_part_alone(stratify: bool) -> None:
    classes = np.repeat(np.arange(3), (60, 40, 20))
    sizes = Split(val=0.2, test=0.2)
    parts = [
        split_rows(
            np.arange(120), classes if stratify else None, sizes.model_copy(update={"cut": cut}), given={}, seed=7
        )
        for cut in range(4)
    ]
    for part in parts:
        np.testing.assert_array_equal(part.test, parts[0].test)
        assert sorted([*part.train, *part.val, *part.test]) == list(range(120))
        if stratify:
            assert np.bincount(classes[part.val]).tolist() == [12, 8, 4]
    assert len({tuple(part.val) for part in parts}) == 4


def test_a_part_that_the_source_gives_is_never_cut_anew() -> None:
    given = {"val": np.arange(20, 30)}
    for cut in range(3):
        found = split_rows(np.arange(20), None, Split(test=0, cut=cut), given=given, seed=0)
        assert found.val.tolist() == list(range(20, 30))
        assert found.train.tolist() == list(range(20))


@pytest.mark.parametrize(
    ("resplit", "n_val", "expected"),
    (("auto", 9_999, True), ("auto", 10_000, False), (True, 10**6, True), (False, 10, False)),
)
def test_auto_cuts_anew_where_few_rows_validate(resplit: bool, n_val: int, expected: bool) -> None:
    assert is_resplit(Confirm(resplit=resplit), n_val) is expected


@pytest.mark.parametrize(("resplit", "cuts"), (("auto", {1: 1, 2: 2}), ("false", {1: 0, 2: 0})))
def test_candidates_share_the_validation_part_of_each_fresh_seed(resplit: str, cuts: dict[int, int]) -> None:
    Path("small.yaml").write_text(SPACE + f"confirm: {{top: 2, seeds: 2, resplit: {resplit}}}\n")
    search(SearchRequest(space="small.yaml"), None, InlineExecutor())
    reader = StudyReader.open("sqlite:///studies.db")
    study = reader.study(None)
    assert {reader.trial(study, number).config["data"]["split"]["cut"] for number in range(3)} == {0}
    standing = standing_of(reader, study, reader.outline(study)[1])
    of_runs = [(run.repeat, run_detail(reader, study, run).config["data"]["split"]["cut"]) for run in standing.runs]
    assert len(of_runs) == 4
    assert set(of_runs) == set(cuts.items())
    export = best()
    assert export.reevaluated == export.bundle.value
    assert all(reproduce(run.trial, repeat=run.repeat, executor=InlineExecutor()).is_identical for run in standing.runs)
