"""Whole space files: the documented example, the shipped ones, where they are found, what differs between two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.config.files import find_file, shipped_folder, shipped_names
from tuner.config.schema import (
    AutoPruner,
    AutoSampler,
    Confirm,
    EarlyStopping,
    ImageData,
    MedianPruner,
    Mlp,
    NoPruner,
    PatientPruner,
    Search,
    TpeSampler,
)
from tuner.config.spec import Spec, load
from tuner.errors import ConfigError, NotFoundError, UsageError

EXAMPLE = """\
version: 1
study: fashion-mlp            # default: the file's stem
seed: 7
objective: {metric: accuracy} # direction follows from the metric
data:
  kind: fashion_mnist
  batch_size: 128
  split: {val: 0.1, test: 0.1, stratify: true}
  num_workers: auto
  drop_last: false
model: {kind: mlp, depth: 2, width: 128, dropout: 0.1, activation: relu, norm: none}
loss: {kind: auto, label_smoothing: 0.0}
optimizer: {kind: adamw, lr: 1e-3, weight_decay: 0.01}
schedule: {kind: constant}
train: {epochs: 20, batches_per_epoch: null, early_stopping: {patience: 5, min_delta: 0.0}, device: auto,
        precision: auto, grad_clip: null}
space:
  optimizer.kind: [adamw, sgd, rmsprop]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.5, high: 0.99, when: {optimizer.kind: sgd}}
  data.batch_size: {choices: [32, 64, 128, 256]}
  model.depth: {low: 1, high: 3}
  model.width: {low: 16, high: 512, log: true, each: model.depth}
  model.dropout: {low: 0.0, high: 0.6, step: 0.05}
  train.epochs: {low: 5, high: 30}
search: {sampler: auto, pruner: auto, trials: 60, timeout: 30m, workers: auto, lanes: auto}
confirm: {top: 3, seeds: 2}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spec_of(text: str, name: str = "x.yaml") -> Spec:
    Path(name).write_text(text)
    return load(Path(name))


def test_the_documented_example_is_read_whole(tmp_path: Path) -> None:
    spec = spec_of(EXAMPLE)
    assert (spec.study, spec.seed, spec.maximize, spec.max_epochs()) == ("fashion-mlp", 7, True, 30)
    assert (spec.file, spec.base_dir) == ("x.yaml", tmp_path)
    assert spec.search == Search(trials=60, timeout=1800.0, sampler=AutoSampler(), pruner=AutoPruner())
    assert spec.confirm == Confirm(top=3, seeds=2)
    assert spec.base.data == ImageData(kind="fashion_mnist", batch_size=128)
    assert spec.base.model == Mlp(dropout=0.1)
    assert spec.base.train.early_stopping == EarlyStopping()
    assert [parameter.name for parameter in spec.space.parameters] == [
        "optimizer.kind",
        "optimizer.lr",
        "optimizer.momentum",
        "data.batch_size",
        "model.depth",
        "model.width.0",
        "model.width.1",
        "model.width.2",
        "model.dropout",
        "train.epochs",
    ]


def test_a_file_without_a_space_is_one_training_run_with_defaults() -> None:
    spec = spec_of("data: {kind: digits}", "my-run.yaml")
    assert (spec.study, spec.seed, spec.space.parameters, spec.confirm) == ("my-run", 0, (), None)
    assert (spec.objective.metric, spec.objective.direction, spec.maximize) == ("loss", "minimize", False)
    assert spec.search == Search()
    assert spec.bind({}) == spec.base


def test_a_file_name_that_is_no_study_name_asks_for_one() -> None:
    with pytest.raises(ConfigError, match=r"got 'my run' \(from the file's name; add study: NAME\)"):
        spec_of("data: {kind: digits}", "my run.yaml")


@pytest.mark.parametrize(
    ("objective", "metric", "direction"),
    (
        ("{metric: val/accuracy}", "accuracy", "maximize"),
        ("{metric: log_loss}", "log_loss", "minimize"),
        ("{metric: accuracy, direction: minimize}", "accuracy", "minimize"),
        ("[{metric: f1_macro}]", "f1_macro", "maximize"),
    ),
)
def test_the_direction_follows_from_the_metric_unless_it_is_given(objective: str, metric: str, direction: str) -> None:
    spec = spec_of(f"data: {{kind: digits}}\nobjective: {objective}")
    assert (spec.objective.metric, spec.objective.direction) == (metric, direction)
    assert spec.base.objective == spec.objective


@pytest.mark.parametrize(
    ("search", "expected"),
    (
        ("{sampler: tpe, pruner: none}", Search(sampler=TpeSampler(), pruner=NoPruner())),
        ("{sampler: {kind: tpe, n_startup_trials: 3}}", Search(sampler=TpeSampler(n_startup_trials=3))),
        ("{timeout: 90}", Search(timeout=90.0)),
        ("{timeout: 1h30m, workers: 2, lanes: 1}", Search(timeout=5400.0, workers=2, lanes=1)),
        (
            "{pruner: {kind: patient, wrapped: {n_startup_trials: 2}}}",
            Search(pruner=PatientPruner(wrapped=MedianPruner(n_startup_trials=2))),
        ),
    ),
)
def test_the_search_section_has_short_forms(search: str, expected: Search) -> None:
    assert spec_of(f"data: {{kind: digits}}\nsearch: {search}").search == expected


def test_off_turns_things_off() -> None:
    spec = spec_of("data: {kind: digits}\nconfirm: off\ntrain: {early_stopping: off}")
    assert spec.confirm is None
    assert spec.base.train.early_stopping is None


def test_a_spec_survives_json_with_its_edits() -> None:
    Path("x.yaml").write_text(EXAMPLE)
    spec = load(Path("x.yaml"), ["optimizer.kind=adamw", "train.epochs=9"], {"search.trials": 3, "study": "other"})
    again = Spec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.bind({"optimizer.lr": 0.01}).train.epochs == 9
    assert again.study == "other"


@pytest.mark.parametrize(
    ("entry", "most"),
    (
        ("train.epochs: {low: 5, high: 30}", 30),
        ("train.epochs: [3, 12, 7]", 12),
        ("train.epochs: {low: 5, high: 8, when: {model.norm: none}}\n  model.norm: [none, batch]", 20),
        ("model.norm: [none, batch]", 20),
    ),
)
def test_the_most_epochs_are_those_of_the_longest_trial(entry: str, most: int) -> None:
    assert spec_of(f"data: {{kind: digits}}\nspace:\n  {entry}").max_epochs() == most


# --------------------------------------------------------------------------------------------------------- differences


def test_equal_files_and_what_changes_no_trial_make_no_difference() -> None:
    old = spec_of(EXAMPLE)
    same = (
        EXAMPLE.replace("study: fashion-mlp", "study: other")
        .replace("trials: 60, timeout: 30m", "trials: 99")
        .replace("device: auto", "device: cpu")
        .replace("confirm: {top: 3, seeds: 2}", "confirm: off")
        .replace("schedule: {kind: constant}", "schedule: {kind: constant, warmup_epochs: 0}")
        .replace("{choices: [32, 64, 128, 256]}", "[32, 64, 128, 256]")
        .replace("{low: 1, high: 3}", "{high: 3, low: 1, log: false}")
    )
    assert old.differences(spec_of(same)) == []


def test_a_base_value_that_always_varies_makes_no_difference() -> None:
    assert spec_of(EXAMPLE).differences(spec_of(EXAMPLE.replace("lr: 1e-3", "lr: 1e-2"))) == []


def test_every_change_to_trials_is_one_line() -> None:
    new = (
        EXAMPLE.replace("seed: 7", "seed: 8")
        .replace("metric: accuracy", "metric: log_loss")
        .replace("activation: relu", "activation: tanh")
        .replace("  data.batch_size: {choices: [32, 64, 128, 256]}\n", "")
        .replace("low: 1e-4, high: 1e-1, log: true", "low: 1e-3, high: 1e-1, log: true")
        .replace("early_stopping: {patience: 5, min_delta: 0.0}", "early_stopping: off")
    )
    assert spec_of(EXAMPLE).differences(spec_of(new)) == [
        "seed: 7 -> 8",
        "objective.metric: 'accuracy' -> 'log_loss'",
        "objective.direction: 'maximize' -> 'minimize'",
        "optimizer.lr: {low: 0.0001, high: 0.1, log: true} -> {low: 0.001, high: 0.1, log: true}",
        "data.batch_size: {choices: [32, 64, 128, 256]} -> 128",
        "model.activation: 'relu' -> 'tanh'",
        "train.early_stopping.patience: 5 -> nothing",
        "train.early_stopping.min_delta: 0.0 -> nothing",
        "train.early_stopping: nothing -> null",
    ]


def test_a_value_that_only_another_kind_sees_is_a_difference() -> None:
    text = "data: {kind: digits}\noptimizer: {kind: adamw%s}\nspace: {optimizer.kind: [adamw, adam]}"
    lines = spec_of(text % "").differences(spec_of(text % ", weight_decay: 0.01"))
    assert lines == ["optimizer.weight_decay with adam: 0.0 -> 0.01"]


# --------------------------------------------------------------------------------------------------------------- files


OF_TUNERS_OWN = ("mlp", "fashion_mlp", "fashion_cnn", "tabular")
"""Files that show what a space can be; the others are for one data set each."""


@pytest.mark.parametrize(
    "name", ("mlp", "fashion_mlp", "fashion_cnn", "image_folder", "tabular", "adult", "winequality", "sst2")
)
def test_a_shipped_file_is_found_by_its_name_and_loads(name: str) -> None:
    assert find_file(name) == find_file(f"{name}.yaml") == shipped_folder() / f"{name}.yaml"
    spec = load(find_file(name))
    assert spec.study == name.replace("_", "-")
    assert spec.search.trials is not None
    assert Spec.from_json(spec.to_json()) == spec
    assert len(spec.space.parameters) >= (8 if name in OF_TUNERS_OWN else 5)


@pytest.mark.parametrize("kind", ("adamw", "sgd", "rmsprop"))
def test_the_optimizer_of_the_first_shipped_file_can_be_pinned(kind: str) -> None:
    spec = load(find_file("mlp"), [f"optimizer.kind={kind}"])
    assert ("optimizer.momentum" in [parameter.name for parameter in spec.space.parameters]) == (kind != "adamw")


def test_the_file_as_given_comes_before_the_folder_and_the_folder_before_the_shipped() -> None:
    Path("search_spaces").mkdir()
    Path("search_spaces/mlp.yaml").write_text("data: {kind: iris}")
    assert find_file("mlp.yaml") == Path("search_spaces/mlp.yaml")
    Path("mlp.yaml").write_text("data: {kind: wine}")
    assert find_file("mlp.yaml") == Path("mlp.yaml")
    assert load(find_file("search_spaces/mlp")).file == "search_spaces/mlp.yaml"


def test_a_file_that_is_nowhere_says_where_it_was_looked_for_and_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_file("fashion_mpl.yaml")
    assert str(caught.value) == (
        "fashion_mpl.yaml: no such space file; did you mean 'fashion_mlp'? "
        f"(looked in {tmp_path}, {tmp_path / 'search_spaces'}, {shipped_folder()}; "
        f"shipped: {', '.join(shipped_names())}; `tuner init` makes one)"
    )


def test_the_nearest_of_the_files_here_is_named_too() -> None:
    Path("people.yaml").write_text("data: {kind: iris}")
    with pytest.raises(NotFoundError, match=r"peple.yaml: no such space file; did you mean 'people'\? \(looked in"):
        find_file("peple.yaml")


def test_data_in_the_place_of_a_space_file_is_told_what_makes_one_for_it() -> None:
    Path("people.csv").write_text("a,b\n1,2\n")
    Path("photos").mkdir()
    for name in ("people.csv", "photos", "gone.parquet"):
        with pytest.raises(UsageError, match=f"{name}: data, and no space file; `tuner init {name}` writes one for it"):
            find_file(name)
    Path("mlp").mkdir()
    assert find_file("mlp") == shipped_folder() / "mlp.yaml"


def test_reading_a_space_file_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tuner.config.spec import find_file, load; load(find_file('mlp'));"
        "print([name for name in ('torch', 'optuna', 'sqlalchemy', 'sklearn', 'pandas', 'numpy') if name in "
        "sys.modules])"
    )
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
