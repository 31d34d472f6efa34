"""`--set KEY=VALUE` and the command line's own options, which go through the file's checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tuner.cli.options import overrides_of
from tuner.config.schema import AdamW, GridSampler, Sgd
from tuner.config.spec import Spec, load
from tuner.errors import ConfigError
from tuner.space.parameters import Choices, IntRange

FILE = """\
data: {kind: digits, batch_size: 64}
optimizer: {kind: adamw, lr: 1e-3, weight_decay: 0.5}
train: {early_stopping: {patience: 5}}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer.kind: sgd}}
  optimizer.nesterov: {choices: [true, false], when: {optimizer.kind: sgd}}
  model.depth: {low: 1, high: 3}
  model.width: {low: 8, high: 16, each: model.depth}
  train.early_stopping.patience: {low: 1, high: 9}
search: {sampler: tpe, trials: 60}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(FILE)
    return Path("x.yaml")


def names(spec: Spec) -> list[str]:
    return [parameter.name for parameter in spec.space.parameters]


def problems(file: Path, *sets: str, overrides: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, sets, overrides or {})
    return str(caught.value)


def test_a_base_value_is_replaced_and_the_rest_of_its_section_stays(file: Path) -> None:
    spec = load(file, ["data.batch_size=32", "train.grad_clip=1e-1", "model.activation=tanh"])
    assert spec.base.data.batch_size == 32
    assert spec.base.data.kind == "digits"
    assert spec.base.train.grad_clip == 0.1
    assert spec.base.model.activation == "tanh"


def test_the_value_is_strict_yaml(file: Path) -> None:
    assert load(file, ["train.early_stopping=off"]).base.train.early_stopping is None
    assert load(file, ["train.grad_clip="]).base.train.grad_clip is None
    assert load(file, ["optimizer={kind: sgd, lr: 0.1}"]).base.optimizer == Sgd(lr=0.1)
    assert load(file, ["optimizer.betas=[0.8, 0.9]"]).base.optimizer == AdamW(betas=(0.8, 0.9), weight_decay=0.5)


def test_setting_what_varies_pins_it(file: Path) -> None:
    spec = load(file, ["optimizer.lr=0.05"])
    assert "optimizer.lr" not in names(spec)
    assert spec.bind({}).optimizer.lr == 0.05


def test_pinning_a_count_makes_its_layers_plain_and_pinning_the_list_removes_all_of_them(file: Path) -> None:
    spec = load(file, ["model.depth=2"])
    assert [name for name in names(spec) if name.startswith("model.")] == ["model.width.0", "model.width.1"]
    assert spec.space["model.width.1"].conditions == ()
    assert [name for name in names(load(file, ["model.width=32"])) if name.startswith("model.")] == ["model.depth"]


def test_pinning_a_kind_drops_what_can_no_longer_be_active_and_frees_what_always_is(file: Path) -> None:
    adamw = load(file, ["optimizer.kind=adamw"])
    assert [name for name in names(adamw) if name.startswith("optimizer.")] == ["optimizer.lr"]
    assert "optimizer.momentum" not in adamw.document["space"]
    assert Spec.from_json(adamw.to_json()) == adamw
    sgd = load(file, ["optimizer.kind=sgd"])
    assert sgd.space["optimizer.momentum"].conditions == ()


def test_setting_a_whole_to_something_without_parts_pins_its_parts(file: Path) -> None:
    assert "train.early_stopping.patience" not in names(load(file, ["train.early_stopping=off"]))


def test_setting_a_section_pins_only_what_it_names(file: Path) -> None:
    spec = load(file, ["optimizer={kind: sgd, lr: 0.1}"])
    assert [name for name in names(spec) if name.startswith("optimizer.")] == [
        "optimizer.momentum",
        "optimizer.nesterov",
    ]


def test_a_parameter_can_be_added_changed_and_taken_out(file: Path) -> None:
    spec = load(
        file, ["space.model.depth={low: 2, high: 5}", "space.model.norm=[none, batch]", "space.optimizer.lr=null"]
    )
    assert spec.space["model.depth"].domain == IntRange(low=2, high=5)
    assert spec.space["model.norm"].domain == Choices(values=("none", "batch"))
    assert "optimizer.lr" not in names(spec)
    assert spec.bind({}).optimizer.lr == 1e-3


def test_a_short_form_becomes_a_mapping_that_keeps_its_kind(file: Path) -> None:
    spec = load(file, ["search.sampler=grid", "search.sampler.points=3"])
    assert spec.search.sampler == GridSampler(points=3)


def test_options_win_over_set_and_set_over_the_file(file: Path) -> None:
    spec = load(file, ["search.trials=7", "study=a"], {"search.trials": 20, "search.timeout": "30m", "seed": 3})
    assert (spec.search.trials, spec.search.timeout, spec.study, spec.seed) == (20, 1800.0, "a", 3)
    assert spec.document["search"]["trials"] == 20


def test_problems_of_a_set_are_located_in_it_after_those_of_the_file(file: Path) -> None:
    file.write_text(FILE.replace("batch_size", "batchsize"))
    assert problems(file, "optimizer.lr=fast", "space.model.depth={low: 3, high: 1}", "model.kind=mpl").split("\n") == [
        "x.yaml:1:22: data.batchsize: unknown key; did you mean 'batch_size'?",
        "--set model.kind=mpl: model.kind: unknown model 'mpl'; did you mean 'mlp'?",
        "--set optimizer.lr=fast: optimizer.lr: expected a number above 0, got 'fast'",
        "--set space.model.depth={low: 3, high: 1}: space.model.depth: low (3) must be below high (1)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("optimizer.lr", "--set optimizer.lr: expected KEY=VALUE, such as optimizer.lr=0.01"),
        ("=3", "--set =3: expected KEY=VALUE, such as optimizer.lr=0.01"),
        ("a..b=3", "--set a..b=3: expected KEY=VALUE, such as optimizer.lr=0.01"),
        ("optimzer.lr=3", "--set optimzer.lr=3: optimzer: unknown key; did you mean 'optimizer'?"),
        ("optimizer.lrr=3", "--set optimizer.lrr=3: optimizer.lrr: unknown key; did you mean 'lr'?"),
        (
            "optimizer.lr=&a 3",
            "--set optimizer.lr=&a 3: optimizer.lr: anchor &a; anchors are not allowed",
        ),
        (
            "optimizer.lr={a: 1, a: 2}",
            "--set optimizer.lr={a: 1, a: 2}:1:8: optimizer.lr.a: duplicate key; it is already in line 1",
        ),
        (
            "space.model.dept=null",
            (
                "--set space.model.dept=null: space.model.dept: no such parameter to take out; did you mean "
                "'model.depth'?"
            ),
        ),
    ),
)
def test_a_wrong_set_is_explained(file: Path, text: str, message: str) -> None:
    assert problems(file, text) == message


def test_an_option_of_the_command_line_is_named_as_it_was_typed(file: Path) -> None:
    _, given = overrides_of({"trials": "0", "seed": "-1", "study": None})
    with pytest.raises(ConfigError) as caught:
        load(file, given)
    assert str(caught.value).split("\n") == [
        "--seed -1: seed: expected an integer of 0 or more, got -1",
        "--trials 0: search.trials: expected an integer of 1 or more, or null, got 0",
    ]


def test_a_wrong_option_is_located_by_its_path_alone(file: Path) -> None:
    assert problems(file, overrides={"search.trials": 0, "study": "a b"}).split("\n") == [
        "study: expected 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first; got 'a b'",
        "search.trials: expected an integer of 1 or more, or null, got 0",
    ]
