"""An edited space goes on with the trials of the old one: which fit, and what of them is taken over."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import torch

from tuner import faults
from tuner.config.evolve import Fit, fit
from tuner.config.spec import Spec, load
from tuner.control.controller import TrialState
from tuner.errors import ChangedError, NotFoundError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.space.parameters import Params
from tuner.study.queries import StudyReader
from tuner.study.rows import TrialRow
from tuner.workflows.best import best
from tuner.workflows.progress import Note, Progress
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"
OLD = """
study: old
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
optimizer: {kind: adamw, lr: 1e-2, weight_decay: 0.01}
train: {epochs: 2}
space:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 4, high: 16}
search: {trials: 8, workers: 1, sampler: random, pruner: none}
"""
NEW = """
study: new
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8}
optimizer: {kind: adamw, lr: 1e-2, weight_decay: 0.01}
train: {epochs: 2}
space:
  optimizer.lr: {low: 1e-2, high: 1e-1, log: true}
  optimizer.kind: [adamw, sgd]
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}
  model.width: {low: 4, high: 16}
  model.depth: {low: 1, high: 2}
search: {trials: 2, workers: 1, sampler: random, pruner: none}
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("old.yaml").write_text(OLD)
    Path("new.yaml").write_text(NEW)


class Recorder:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.notes.append(progress.message)


def run(space: str, *sets: str, source: str | None = None) -> list[str]:
    recorder = Recorder()
    search(SearchRequest(space=space, sets=sets, source=source), recorder, InlineExecutor())
    return recorder.notes


def trials(study: str) -> list[TrialRow]:
    reader = StudyReader.open(STORAGE)
    return reader.trials(reader.study(study))


# ------------------------------------------------------------------------------------------------------------ what fits


def placed(params: Params, old: Spec, *sets: str, space: str = NEW) -> Fit:
    Path("edited.yaml").write_text(space)
    return fit(load(Path("edited.yaml"), sets=sets), params, old.bind(params))


PARAMS: Params = {"optimizer.lr": 0.05, "model.width": 6}


def test_what_is_new_in_the_space_has_the_value_that_the_trial_was_trained_with() -> None:
    found = placed(PARAMS, load(Path("old.yaml")))
    expected = {"optimizer.lr": 0.05, "optimizer.kind": "adamw", "model.width": 6, "model.depth": 1}
    assert found == Fit(params=expected)


@pytest.mark.parametrize(
    ("sets", "path", "reason"),
    (
        (["space.optimizer.lr={low: 0.06, high: 0.1}"], "optimizer.lr", "is outside 0.06 to 0.1"),
        (["space.optimizer.kind=[sgd, rmsprop]", "optimizer.kind=sgd", "optimizer.lr=0.05"], "", ""),
        (["space.model.width={low: 4, high: 16, step: 4}"], "model.width", "is outside 4 to 16 in steps of 4"),
        (["space.data.batch_size=[32, 64]"], "data.batch_size", "is outside {32, 64}"),
        (["train.epochs=3"], "train.epochs", "was 2 and is 3 now"),
        (["optimizer.weight_decay=0.1"], "optimizer.weight_decay", "was 0.01 and is 0.1 now"),
        (["model.width=8"], "model.width", "was [6] and is [8] now"),
    ),
)
def test_a_trial_that_would_be_another_training_does_not_fit(sets: list[str], path: str, reason: str) -> None:
    found = placed(PARAMS, load(Path("old.yaml")), *sets)
    assert found.params is None
    if path:
        assert (found.path, found.reason) == (path, reason)


def test_a_parameter_that_is_no_longer_varied_fits_with_the_value_of_the_base_config() -> None:
    assert placed(PARAMS, load(Path("old.yaml")), "model.width=6").params is not None


def test_one_width_for_all_layers_fits_a_space_of_one_a_layer() -> None:
    old = load(Path("old.yaml"), sets=["model.depth=2"])
    found = placed(PARAMS, old, "space.model.width={low: 4, high: 16, each: model.depth}")
    assert found.params is not None
    assert [found.params["model.width.0"], found.params["model.width.1"]] == [6, 6]


def test_a_child_is_only_asked_for_where_its_condition_holds() -> None:
    old = load(Path("old.yaml"), sets=["optimizer.kind=sgd"])
    found = placed(PARAMS, old)
    assert found.params is not None
    assert found.params["optimizer.momentum"] == 0.0
    assert "optimizer.momentum" not in (placed(PARAMS, load(Path("old.yaml"))).params or {})


# --------------------------------------------------------------------------------------------------- what is taken over


def test_a_new_study_starts_with_the_trials_that_are_inside_its_space() -> None:
    run("old.yaml")
    notes = run("new.yaml", source="old")
    old, new = trials("old"), trials("new")
    inside = [trial for trial in old if float(trial.params["optimizer.lr"] or 0.0) >= 1e-2]
    assert 0 < len(inside) < 8
    taken, own = new[: len(inside)], new[len(inside) :]
    assert [trial.origin for trial in taken] == [{"study": "old", "trial": trial.number} for trial in inside]
    same = [(item.state, item.value, item.epochs, item.best_epoch) for item in inside]
    assert [(item.state, item.value, item.epochs, item.best_epoch) for item in taken] == same
    assert [trial.origin for trial in own] == [None, None]  # the budget of 2 is for new ones
    assert "the space of old has changed:" in notes
    assert "  optimizer.lr: {low: 0.001, high: 0.1, log: true} -> {low: 0.01, high: 0.1, log: true}" in notes
    assert f"took over {len(inside)} of 8 trials of old" in notes
    left = ", ".join(f"#{trial.number}" for trial in old if trial not in inside)
    assert f"  not {left}: optimizer.lr is outside 0.01 to 0.1" in notes
    assert taken[0].to_json()["from"] == {"study": "old", "trial": inside[0].number}
    again = run("new.yaml", source="old")  # as any search: it goes on, and there is nothing to do
    assert again == []
    assert trials("new") == new


def test_optuna_reads_trials_that_were_taken_over_as_trials_of_the_new_space() -> None:
    run("old.yaml")
    run("new.yaml", source="old")
    before, after = (optuna.load_study(study_name=name, storage=STORAGE).trials for name in ("old", "new"))
    taken = after[0]
    source = before[taken.user_attrs["from"]["trial"]]
    assert (taken.value, taken.intermediate_values) == (source.value, source.intermediate_values)
    assert (taken.datetime_start, taken.datetime_complete) == (source.datetime_start, source.datetime_complete)
    assert taken.distributions["model.depth"] == optuna.distributions.IntDistribution(1, 2)
    assert taken.params["optimizer.kind"] == "adamw"


def test_the_best_of_the_old_trials_can_be_exported_from_the_new_study_alone() -> None:
    run("old.yaml")
    run("new.yaml", "search.trials=1", source="old")
    reader = StudyReader.open(STORAGE)
    kept = [n for n in range(len(trials("new")) - 1) if reader.trial(reader.study("new"), n).checkpoints]
    for folder in Path("runs/old").iterdir():  # what is deleted there stays here
        for path in folder.glob("epoch-*.pt"):
            path.unlink()
    export = best(study="new", trial=kept[0])
    assert export.reevaluated == trials("new")[kept[0]].value


@pytest.mark.parametrize("point", ("study_created", "taken_over"))
def test_a_start_that_was_cut_short_is_repeated_by_the_same_command(point: str) -> None:
    run("old.yaml")
    faults.arm(f"{point}:raise")
    try:
        with pytest.raises(faults.InjectedFaultError):
            run("new.yaml", source="old")
    finally:
        faults.arm("")
    notes = run("new.yaml", source="old")
    new = trials("new")
    assert any(note.startswith(f"took over {len(new) - 2} of 8") for note in notes)
    assert [trial.origin is not None for trial in new] == [*[True] * (len(new) - 2), False, False]


# -------------------------------------------------------------------------------------------------------- what does not


def test_trials_of_another_objective_of_other_data_or_of_no_study_are_refused() -> None:
    run("old.yaml", "search.trials=1")
    with pytest.raises(ChangedError, match=r"--from old: it was searched for maximize accuracy, and new\.yaml is for"):
        run("new.yaml", "objective.metric=loss", source="old")
    with pytest.raises(ChangedError, match="--from old: its trials were trained and scored on other data"):
        run("new.yaml", "seed=5", source="old")
    with pytest.raises(NotFoundError, match="no study 'elder' here; there are: old"):
        run("new.yaml", source="elder")
    with pytest.raises(UsageError, match="that is the study itself"):
        run("old.yaml", source="old")
    assert [study.name for study in StudyReader.open(STORAGE).studies()] == ["old"]


def test_a_study_that_has_trials_takes_over_none() -> None:
    run("old.yaml", "search.trials=1")
    run("new.yaml", "search.trials=1")
    with pytest.raises(UsageError, match="study 'new' has trials already"):
        run("new.yaml", "search.trials=1", source="old")


def test_the_refusal_of_an_edited_file_names_the_way_to_take_its_trials_over() -> None:
    run("old.yaml", "search.trials=1")
    with pytest.raises(ChangedError, match="with --study NAME --from old it takes over the trials that are still"):
        run("new.yaml", "study=old")


def test_trials_of_other_objectives_or_other_constraints_are_refused() -> None:
    run("old.yaml", 'constraints=["model.width <= 12"]')
    with pytest.raises(ChangedError, match=r"for maximize accuracy, and new\.yaml is for minimize params and"):
        run("new.yaml", "objective=[{metric: params}, {metric: accuracy}]", "search.pruner=none", source="old")
    with pytest.raises(ChangedError, match="judged by other constraints"):
        run("new.yaml", source="old")
    run("new.yaml", 'constraints=["model.width <= 12"]', source="old")
    study = optuna.load_study(study_name="new", storage=STORAGE)
    taken = [study.trials[row.number] for row in trials("new") if row.origin and row.state is TrialState.COMPLETE]
    assert taken
    assert all(list(trial.constraints.values()) for trial in taken)


def test_trials_of_every_fold_are_taken_over() -> None:
    run("old.yaml", "data.split.folds=3", "search.trials=4")
    run("new.yaml", "data.split.folds=3", source="old")
    inside = [row for row in trials("old") if float(str(row.params["optimizer.lr"])) >= 1e-2]
    assert inside
    assert sum(bool(row.origin) for row in trials("new")) == len(inside)
