"""What a space has that cannot be trained: found by `tuner check`, and by a search before its first trial."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tuner.cli.check import lines_of
from tuner.config.spec import load
from tuner.errors import ConfigError, DataError
from tuner.execution.inline import InlineExecutor
from tuner.study.queries import StudyReader
from tuner.workflows.corners import Tried, try_out
from tuner.workflows.feasible import refuse_misfits, share_of_feasible
from tuner.workflows.progress import Note, Progress
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: kinds
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
train: {epochs: 1}
space:
  model.kind: [mlp, convnet]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 4, high: 16, when: {model.kind: mlp}}
search: {trials: 6, workers: 1, sampler: random, pruner: none}
confirm: off
"""
COUNTS = """
study: counts
objective: {metric: rmse}
data: {kind: sklearn, name: make_regression, options: {n_samples: 80, n_features: 3}}
model: {kind: linear}
train: {epochs: 1}
space: {"loss.kind": [mse, poisson]}
search: {trials: 4, workers: 1, sampler: grid, pruner: none}
confirm: off
"""
HEADS = """
study: heads
data: {kind: digits}
model: {kind: transformer}
space:
  model.width: {low: 30, high: 60}
  model.heads: {low: 1, high: 8}
"""


class Notes:
    """Keeps the notes of a search."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.said.append(progress.message)


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for name, text in {"kinds": SPACE, "counts": COUNTS, "heads": HEADS}.items():
        Path(f"{name}.yaml").write_text(text)


def searched(name: str, *sets: str) -> list[str]:
    notes = Notes()
    search(SearchRequest(space=f"{name}.yaml", sets=sets), notes, InlineExecutor())
    return notes.said


def tried(name: str, *sets: str) -> Tried:
    return try_out(load(Path(f"{name}.yaml"), sets=sets), executor=InlineExecutor())


def ends(study: str) -> set[tuple[str, str, str]]:
    """What became of the trials with each kind."""
    reader = StudyReader.open("sqlite:///studies.db")
    rows = reader.trials(reader.study(study))
    kinds = [str(row.params.get("model.kind") or row.params["loss.kind"]) for row in rows]
    return {(kind, row.state.value, row.reason) for kind, row in zip(kinds, rows, strict=True)}


def test_a_search_says_before_its_first_trial_which_kinds_are_in_vain() -> None:
    (said,) = [text for text in searched("kinds") if "convnet" in text]
    assert said.startswith("model.kind: convnet cannot be trained here, and its trials end as they begin")
    assert ends("kinds") == {("mlp", "complete", ""), ("convnet", "pruned", "infeasible")}


def test_a_search_is_refused_when_none_of_its_kinds_can_be_trained() -> None:
    kinds = "space={model.kind: [convnet, resnet]}"
    with pytest.raises(ConfigError, match=r"kinds.yaml: space.model.kind: convnet: .*\n.*space.model.kind: resnet: "):
        searched("kinds", kinds)
    assert not Path("studies.db").exists()


def test_poisson_is_refused_for_targets_below_zero_wherever_it_is_chosen() -> None:
    (said,) = [text for text in searched("counts") if "poisson" in text]
    assert "loss.kind: poisson is for counts, 0 or more, but the training part has a target of -" in said
    assert ends("counts") == {("mse", "complete", ""), ("poisson", "pruned", "infeasible")}


def test_check_finds_the_kinds_that_fail_at_every_point() -> None:
    found = tried("kinds")
    assert [(item.what, item.is_kind) for item in found.unusable] == [("model.kind: convnet", True)]
    assert found.n_params is not None
    assert found.n_params.low < found.n_params.high
    assert found.n_left == 0
    assert found.unusable[0].problem.startswith("model.kind: convnet needs images")
    text = "\n".join(lines_of(found))
    assert f"tried {found.n_points} points of the space: " in text
    assert "cannot be trained: model.kind: convnet, wherever it was tried\n  " in text
    assert not Path("studies.db").exists()


def test_check_fails_where_nothing_can_be_trained() -> None:
    with pytest.raises(ConfigError, match="nothing that the space has can be trained, such as: "):
        tried("kinds", "space={model.kind: [convnet, resnet]}")


def test_check_tries_the_base_config_where_nothing_varies() -> None:
    found = tried("kinds", "space={}")
    assert (found.n_points, found.unusable) == (1, ())


def test_check_reads_the_data_as_a_search_would() -> None:
    with pytest.raises(DataError, match="which leaves none for training"):
        tried("kinds", "data.split={val: 0.6, test: 0.5}")


def test_values_that_do_not_go_together_are_counted() -> None:
    spec = load(Path("heads.yaml"))
    (line,) = share_of_feasible(spec).lines()
    assert "of 300 random trials have values that do not go together: model.heads: " in line
    share = share_of_feasible(spec).to_json()["infeasible_share"]
    assert 0.4 < share < 0.9
    assert refuse_misfits(spec).startswith("about ")
    assert refuse_misfits(load(Path("kinds.yaml"))) == ""
