"""Bad space files and exactly what is said about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.config.metrics import metrics_of
from tuner.config.schema import DATA_KINDS, MODEL_KINDS
from tuner.config.spec import load
from tuner.errors import ConfigError

DIGITS = "data: {kind: digits}\n"
SPACE = DIGITS + "space:\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems_of(text: str) -> list[str]:
    Path("x.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Path("x.yaml"))
    assert [str(place) for place in caught.value.where] == str(caught.value).split("\n")
    return [line.removeprefix("x.yaml:") for line in str(caught.value).split("\n")]


BASE_CONFIG = [
    ("", "1:1: the file is empty; start with data: {kind: digits}"),
    ("seed: 3", "1:1: data: missing; say what to train on, such as data: {kind: digits}"),
    ("data: digits", "1:7: data: expected a mapping, got 'digits'; write data: {kind: digits}"),
    (
        "data: {batch_size: 3}",
        f"1:1: data.kind: missing; one of {', '.join(DATA_KINDS)}",
    ),
    ("data: {kind: [digits]}", "1:14: data.kind: expected the name of a data source, got ['digits']"),
    ("data: {kind: digit}", "1:14: data.kind: unknown data source 'digit'; did you mean 'digits'?"),
    ("data: {kind:digits}", "1:8: data.kind:digits: unknown key; put a space after the colon of kind:"),
    ("data:\n  kind: digits\n  batchsize: 3", "3:3: data.batchsize: unknown key; did you mean 'batch_size'?"),
    (
        "data: {kind: csv, path: a.csv}",
        ("1:1: data.target: missing; name of the column to predict, or a list of several; [] for task: autoencoding"),
    ),
    (
        "data: {kind: csv, path: a.csv, target: y, delimiter: ab}",
        "1:54: data.delimiter: expected one character, got 'ab'",
    ),
    (
        'data: {kind: csv, path: a.csv, target: y, delimiter: "\\n"}',
        "1:54: data.delimiter: '\\n' cannot stand between the fields of a line; such as ',' or ';'",
    ),
    (
        "data: {kind: text, path: a.csv, target: y, encoding: base64}",
        "1:54: data.encoding: 'base64' is no encoding of text; such as utf-8, latin-1 or cp1252",
    ),
    (
        "data: {kind: csv, path: a.csv, target: y, encoding: utf-9}",
        "1:53: data.encoding: 'utf-9' is no encoding of text; such as utf-8, latin-1 or cp1252",
    ),
    (
        "data: {kind: digits, split: {val: 0}}",
        "1:35: data.split.val: expected a number above 0 and below 1, or an integer of 1 or more, got 0",
    ),
    (DIGITS + "modle: {}", "2:1: modle: unknown key; did you mean 'model'?"),
    (DIGITS + "version: 2", "2:10: version: expected 1, the only version there is; got 2"),
    (DIGITS + "seed: true", "2:7: seed: expected an integer of 0 or more, got true"),
    (
        DIGITS + "study: a/b",
        (
            "2:8: study: expected 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit "
            "first; got 'a/b'"
        ),
    ),
    (DIGITS + "loss: mse", "2:7: loss: expected a mapping, got 'mse'; write loss: {kind: mse}"),
    (DIGITS + "model: {kind: mpl}", "2:15: model.kind: unknown model 'mpl'; did you mean 'mlp'?"),
    (
        DIGITS + "model: {kind: xgb}",
        f"2:15: model.kind: unknown model 'xgb'; available: {', '.join(MODEL_KINDS)}",
    ),
    (DIGITS + "model: {depth: 2.0}", "2:16: model.depth: expected an integer from 0 to 64, got 2.0"),
    (DIGITS + "model: {depth: true}", "2:16: model.depth: expected an integer from 0 to 64, got true"),
    (DIGITS + "model: {width: [3, x]}", "2:20: model.width.1: expected an integer from 1 to 65536, got 'x'"),
    (
        DIGITS + "model: {width: x}",
        "2:16: model.width: expected an integer from 1 to 65536, or a list, each an integer from 1 to 65536, got 'x'",
    ),
    (DIGITS + "model: {width: [1, 2, 3]}", "2:16: model.width: 3 values for 2 layers; give one value, or one a layer"),
    (DIGITS + "model: {kind: convnet, kernel: 4}", "2:32: model.kernel: must be odd, got 4"),
    (
        DIGITS + "model: {activation: rellu}",
        (
            "2:21: model.activation: expected one of relu, gelu, silu, tanh, sigmoid, leaky_relu, mish, got 'rellu'; "
            "did you mean "
            "'relu'?"
        ),
    ),
    (DIGITS + "optimizer: {lr: fast}", "2:17: optimizer.lr: expected a number above 0, got 'fast'"),
    (DIGITS + "optimizer: {lr: .inf}", "2:17: optimizer.lr: expected a number above 0, got inf"),
    (DIGITS + "optimizer: {lr: 1, lr: 2}", "2:20: optimizer.lr: duplicate key; it is already in line 2"),
    (
        DIGITS + "optimizer: {betas: [0.9]}",
        "2:20: optimizer.betas: expected a list of 2, each a number from 0 to below 1, got [0.9]",
    ),
    (DIGITS + "optimizer: {betas: [0.9, 2]}", "2:26: optimizer.betas.1: expected a number from 0 to below 1, got 2"),
    (
        DIGITS + "optimizer: {kind: sgd, nesterov: true}",
        "2:34: optimizer.nesterov: needs momentum above 0 and dampening 0",
    ),
    (
        DIGITS + "train: {device: gpu}",
        (
            "2:17: train.device: expected auto (the accelerator that torch has, else the CPU), cpu, cuda, cuda:N, xpu, "
            "xpu:N or mps, got 'gpu'"
        ),
    ),
    (DIGITS + "train: {early_stopping: true}", "2:25: train.early_stopping: expected a mapping, or off, got true"),
    (
        DIGITS + "train: {early_stopping: {patience: 0}}",
        "2:36: train.early_stopping.patience: expected an integer of 1 or more, got 0",
    ),
    (DIGITS + "train: {grad_clip: 0}", "2:20: train.grad_clip: expected a number above 0, or null, got 0"),
]


@pytest.mark.parametrize(("text", "message"), BASE_CONFIG)
def test_a_wrong_base_config_is_located_and_explained(text: str, message: str) -> None:
    assert problems_of(text) == [message]


def test_an_option_of_another_kind_is_unknown_and_what_there_is_is_listed() -> None:
    assert problems_of(DIGITS + "optimizer: {kind: adamw, momentum: 0.9}") == [
        "2:26: optimizer.momentum: unknown key; available: decay, kind, lr, betas, eps, weight_decay, amsgrad"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    (
        (
            "objective: accuracy",
            "2:12: objective: expected a mapping, got 'accuracy'; write objective: {metric: accuracy}",
        ),
        (
            "objective: [{metric: accuracy}, {metric: accuracy}]",
            "2:12: objective: accuracy is there twice; name each objective once",
        ),
        (
            "objective: {metric: test/accuracy}",
            (
                "2:21: objective.metric: the test part is sealed until the search is over; optimise a metric of the "
                "validation part"
            ),
        ),
        (
            "objective: {metric: train/loss}",
            (
                "2:21: objective.metric: a metric of the training part rewards overfitting; optimise one of the "
                "validation "
                "part"
            ),
        ),
        ("objective: {metric: acuracy}", "2:21: objective.metric: unknown metric 'acuracy'; did you mean 'accuracy'?"),
        (
            "objective: {metric: r2}",
            (
                "2:21: objective.metric: r2 is for regression and autoencoding, but digits is classification; one of "
                + ", ".join(metrics_of("classification"))
            ),
        ),
        (
            "objective: {direction: up}",
            "2:24: objective.direction: expected one of maximize, minimize, or null, got 'up'",
        ),
        ("search: 3", "2:9: search: expected a mapping such as {trials: 50}, got 3"),
        ("search: {trials: 0}", "2:18: search.trials: expected an integer of 1 or more, or null, got 0"),
        ("search: {timeout: 30x}", "2:19: search.timeout: expected a duration such as 90s, 30m or 1h30m, got '30x'"),
        ("search: {timeout: -3}", "2:19: search.timeout: expected a number above 0, or null, got -3"),
        ("search: {workers: many}", "2:19: search.workers: expected an integer from 1 to 1024, or auto, got 'many'"),
        ("search: {breadth: 0}", "2:19: search.breadth: expected a number above 0 and at most 1, got 0"),
        ("search: {sampler: tpee}", "2:19: search.sampler.kind: unknown sampler 'tpee'; did you mean 'tpe'?"),
        ("search: {sampler: [tpe]}", "2:19: search.sampler: expected a mapping, got ['tpe']"),
        (
            "search: {sampler: {kind: tpe, startup: 3}}",
            "2:31: search.sampler.startup: unknown key; did you mean 'n_startup_trials'?",
        ),
        (
            "search: {pruner: best}",
            (
                "2:18: search.pruner.kind: unknown pruner 'best'; available: auto, none, median, percentile, asha, "
                "successive_halving, hyperband, patient, threshold, wilcoxon"
            ),
        ),
        (
            "search: {pruner: {kind: asha, mode: pause}}",
            "2:37: search.pruner.mode: expected one of promote, stop, got 'pause'",
        ),
        ("search: {pruner: {kind: threshold}}", "2:18: search.pruner: lower, upper: give at least one"),
        ("confirm: {to: 3}", "2:11: confirm.to: unknown key; did you mean 'top'?"),
        ("confirm: on", "2:10: confirm: expected a mapping, got 'on'"),
    ),
)
def test_a_wrong_search_is_located_and_explained(text: str, message: str) -> None:
    assert problems_of(DIGITS + text) == [message]


@pytest.mark.parametrize(
    ("entry", "message"),
    (
        ("optimizer.lr: {low: 0.1, high: 1e-4}", "3:17: space.optimizer.lr: low (0.1) must be below high (0.0001)"),
        (
            "optimizer.lr: {low: 0.1, high: 0.1}",
            (
                "3:17: space.optimizer.lr: low and high are both 0.1; a value that does not vary belongs in the base "
                "config"
            ),
        ),
        ("optimizer.lr: {low: 0, high: 1, log: true}", "3:23: space.optimizer.lr: log needs a low above 0, got 0"),
        ("optimizer.lr: {low: 0, high: 1}", "3:23: space.optimizer.lr: low: expected a number above 0, got 0"),
        ("optimizer.lr: {low: 0.1}", "3:17: space.optimizer.lr: high is missing"),
        ("optimizer.lr: {log: true}", "3:17: space.optimizer.lr: expected low and high, or choices"),
        (
            "optimizer.lr: 3",
            (
                "3:17: space.optimizer.lr: expected a list of choices, or {low, high}, got 3; a value that does not "
                "vary "
                "belongs in the base config"
            ),
        ),
        (
            "optimizer.lr: [0.1]",
            (
                "3:17: space.optimizer.lr: a single choice (0.1); give at least two; a value that does not vary "
                "belongs in "
                "the base config"
            ),
        ),
        (
            "optimizer.lr: [1, 0.1, 1.0]",
            "3:26: space.optimizer.lr: choice 1.0 is there twice (1, 1.0 and true count as equal)",
        ),
        ("optimizer.lr: [0.1, fast]", "3:23: space.optimizer.lr: expected a number above 0, got 'fast'"),
        ("optimizer.lr: {choices: 3}", "3:27: space.optimizer.lr: choices: expected a list, got 3"),
        (
            "optimizer.lr: {choices: [1, 2], log: true}",
            "3:35: space.optimizer.lr.log: does not go with choices",
        ),
        ("optimizer.lr: {low: 1, high: 2, lg: 1}", "3:35: space.optimizer.lr.lg: unknown key; did you mean 'log'?"),
        ("optimizer.lr: {low: 1, high: 2, log: 1}", "3:40: space.optimizer.lr: log: expected true or false, got 1"),
        (
            "optimizer.lr: {low: 1, high: 2, type: int}",
            "3:41: space.optimizer.lr.type: int does not fit: optimizer.lr takes a number above 0",
        ),
        (
            "model.depth: {low: 1, high: 3.0}",
            "3:31: space.model.depth: high: expected an integer, got 3.0 (model.depth takes an integer from 0 to 64)",
        ),
        ("model.depth: {low: 1, high: 65}", "3:31: space.model.depth: high: expected an integer from 0 to 64, got 65"),
        (
            "model.depth: {low: 1, high: 6, step: 2}",
            "3:40: space.model.depth: step 2 does not divide 1 to 6; a high of 5 or 7 would fit",
        ),
        (
            "model.dropout: {low: 0.1, high: 0.6, step: 0.3}",
            "3:46: space.model.dropout: step 0.3 does not divide 0.1 to 0.6; a high of 0.4 or 0.7 would fit",
        ),
        (
            "model.dropout: {low: 0.1, high: 0.5, step: 0.1, log: true}",
            "3:46: space.model.dropout: step does not go with log; leave one of them out",
        ),
        (
            "model.activation: {low: 1, high: 2}",
            (
                "3:21: space.model.activation: takes one of relu, gelu, silu, tanh, sigmoid, leaky_relu, mish, "
                "not a range of numbers; give choices"
            ),
        ),
        (
            f"? model.options.{'a.' * 2000}a\n  : [1, 2]",
            f"3:5: space.model.options.{'a.' * 2000}a: the name of a parameter has at most 200 characters, got 4015",
        ),
        ("model.depht: [1, 2]", "3:3: space.model.depht: no such field; did you mean 'model.depth'?"),
        ("modle.depth: [1, 2]", "3:3: space.modle.depth: unknown section 'modle'; did you mean 'model'?"),
        ("optimizer: [1, 2]", "3:3: space.optimizer: expected the path of one field, such as optimizer.kind"),
        ("optimizer.kind: [sgd, adan]", "3:25: space.optimizer.kind: unknown optimizer 'adan'; did you mean 'adam'?"),
        (
            "model.kind: [mlp, python]",
            (
                "3:21: space.model.kind: 'python' does not go with the base config: target: missing; "
                "`package.module:Name` or `file.py:Name`; a file is relative to the space file"
            ),
        ),
        (
            "optimizer.momentum: [0.1, 0.9]",
            (
                "3:3: space.optimizer.momentum: adamw has no 'momentum' (sgd, rmsprop, muon have): remove it, or "
                "change optimizer.kind"
            ),
        ),
        (
            "optimizer.momentum: [0.1, 0.9]\n  optimizer.kind: [adamw, sgd, rmsprop]",
            (
                "3:3: space.optimizer.momentum: adamw has no 'momentum' (sgd, rmsprop, muon have): add when: "
                "{optimizer.kind: "
                "[sgd, rmsprop]}"
            ),
        ),
        (
            "train.early_stopping.patience: {low: 0, high: 3}",
            "3:40: space.train.early_stopping.patience: low: expected an integer of 1 or more, got 0",
        ),
        (
            "model.width.0: {low: 8, high: 16}",
            (
                "3:3: space.model.width.0: the base config has model.width: 128, which has no '0'; make it a list "
                "that is "
                "long enough"
            ),
        ),
        (
            "optimizer.betas: [[0.9, 0.99], [0.8]]",
            "3:34: space.optimizer.betas: expected a list of 2, each a number from 0 to below 1, got [0.8]",
        ),
        (
            "optimizer.betas: [[0.9, 0.99], [0.8, 0.9]]\n  optimizer.betas.0: [0.8, 0.9]",
            "4:3: space.optimizer.betas.0: optimizer.betas varies as a whole already; keep one of the two",
        ),
    ),
)
def test_a_wrong_entry_of_the_space_is_located_and_explained(entry: str, message: str) -> None:
    assert problems_of(SPACE + "  " + entry) == [message]


EMA = DIGITS + "train: {epochs: 20, averaging: {kind: ema}}\nspace:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    (
        (
            EMA + "  train.averaging.start_epoch: {low: 1, high: 10}\n  train.epochs: {low: 5, high: 20}",
            (
                "4:3: space.train.averaging.start_epoch: averages may begin in epoch 10, but trials have 5 epochs or "
                "more; let train.averaging.start_epoch be at most 5, or train.epochs at least 10"
            ),
        ),
        (
            SPACE + "  train.averaging.kind: [none, swa]\n  train.averaging.start_epoch: {low: 1, high: 30}",
            (
                "4:3: space.train.averaging.start_epoch: averages may begin in epoch 30, but trials have 20 epochs or "
                "more; let train.averaging.start_epoch be at most 20, or train.epochs at least 30"
            ),
        ),
        (
            DIGITS + "train: {averaging: {start_epoch: 15}}\nspace:\n"
            "  train.averaging.kind: [none, swa]\n  train.epochs: {low: 5, high: 20}",
            (
                "5:3: space.train.epochs: averages may begin in epoch 15, but trials have 5 epochs or more; let "
                "train.averaging.start_epoch be at most 5, or train.epochs at least 15"
            ),
        ),
        (
            DIGITS + "train: {epochs: 20, averaging: {kind: swa, start_epoch: 15}}\n"
            "space: {train.epochs: {low: 5, high: 20}}",
            (
                "3:29: space.train.epochs: low (5) does not go with the base config: averaging.start_epoch: 15 is "
                "after the last of 5 epochs"
            ),
        ),
    ),
)
def test_averages_that_would_begin_after_the_end_are_refused_before_the_search(text: str, message: str) -> None:
    assert problems_of(text) == [message]


def test_averages_that_begin_before_the_end_may_vary_with_it() -> None:
    tied = "  train.averaging.start_epoch: {low: 1, high: 10, when: {train.epochs: 20}}\n  train.epochs: [5, 20]"
    fitting = "  train.averaging.start_epoch: {low: 1, high: 5}\n  train.epochs: {low: 5, high: 20}"
    for entries in (tied, fitting):
        Path("x.yaml").write_text(EMA + entries)
        assert len(load(Path("x.yaml")).space.parameters) == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    (
        ("seed", "seed is one for the whole study; each trial's seeds are derived from it"),
        ("study", "study names the study"),
        ("search.trials", "search says how to search"),
        ("confirm.top", "confirm says what happens after the search"),
        ("objective.metric", "objective is what all trials are compared by"),
        ("data.split.val", "data.split must be the same for all trials, or their values cannot be compared"),
        ("data.kind", "all trials are trained and scored on the same data"),
        ("data.path", "all trials are trained and scored on the same data"),
        ("train.device", "train.device says where to train; what a trial is worth must not depend on it"),
    ),
)
def test_what_must_be_the_same_for_all_trials_cannot_vary(path: str, reason: str) -> None:
    assert problems_of(SPACE + f"  {path}: [1, 2]") == [f"3:3: space.{path}: cannot be varied: {reason}"]


@pytest.mark.parametrize(
    ("when", "message"),
    (
        ("3", "4:44: space.model.dropout: when: expected a mapping such as {optimizer.kind: sgd}, got 3"),
        (
            "{model.depth: 9}",
            "4:58: space.model.dropout: when: model.depth is never 9; it is an integer from 1 to 5 in steps of 2",
        ),
        (
            "{model.depth: 2}",
            "4:58: space.model.dropout: when: model.depth is never 2; it is an integer from 1 to 5 in steps of 2",
        ),
        ("{model.depth: []}", "4:58: space.model.dropout: when: model.depth: an empty list never holds"),
        ("{optimizer.kind: sg}", "4:61: space.model.dropout: when: optimizer.kind is never 'sg'; did you mean 'sgd'?"),
        (
            "{optimiser.kind: sgd}",
            (
                "4:45: space.model.dropout: when: optimiser.kind is neither varied nor in the base config; did you "
                "mean "
                "'optimizer.kind'?"
            ),
        ),
        (
            "{model.kind: convnet}",
            "4:57: space.model.dropout: when: never holds, since model.kind is 'mlp' and does not vary",
        ),
        (
            "{optimizer.lr: 0.5}",
            (
                "4:59: space.model.dropout: when: optimizer.lr is never 0.5; it varies continuously, so no single "
                "value can "
                "be a condition"
            ),
        ),
        (
            "{optimizer.kind: sgd, optimizer.amsgrad: true}",
            "4:3: space.model.dropout: when: never holds; no value of optimizer.kind meets all conditions",
        ),
    ),
)
def test_a_condition_that_can_never_hold_is_explained(when: str, message: str) -> None:
    entries = [
        "  model.depth: {low: 1, high: 5, step: 2}",
        f"  model.dropout: {{choices: [0, 0.5], when: {when}}}",
        "  optimizer.kind: [sgd, adam]",
        "  optimizer.lr: {low: 0.1, high: 1}",
        "  optimizer.amsgrad: {choices: [true, false], when: {optimizer.kind: adam}}",
    ]
    assert problems_of(SPACE + "\n".join(entries)) == [message]


def test_conditions_in_a_circle_are_reported_once_and_what_hangs_on_them_not_at_all() -> None:
    entries = [
        "  model.dropout: {choices: [0, 0.5], when: {model.depth: 2}}",
        "  model.depth: {low: 1, high: 3, when: {model.dropout: 0}}",
        "  model.width: {low: 8, high: 16, each: model.depth}",
    ]
    assert problems_of(SPACE + "\n".join(entries)) == [
        "3:3: space.model.dropout: when and each go in a circle: model.dropout -> model.depth -> model.dropout"
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    (
        (
            "model.width: {low: 8, high: 16, each: model.dept}",
            (
                "3:41: space.model.width: each: model.dept is neither varied nor in the base config; did you mean "
                "'model.depth'?"
            ),
        ),
        (
            "model.width: {low: 8, high: 16, each: 3}",
            "3:41: space.model.width: each: expected the path of a number of layers, got 3",
        ),
        (
            "model.width: {low: 8, high: 16, each: model.activation}",
            "3:41: space.model.width: each: expected a number of layers, but model.activation is 'relu'",
        ),
        (
            "optimizer.lr: {low: 0.1, high: 1, each: model.depth}",
            "3:43: space.optimizer.lr: each: optimizer.lr takes a number above 0, not a value a layer",
        ),
        (
            "model.width: {low: 0, high: 16, each: model.depth}",
            "3:22: space.model.width: low: expected an integer from 1 to 65536, got 0",
        ),
    ),
)
def test_a_wrong_each_is_explained(entry: str, message: str) -> None:
    assert problems_of(SPACE + "  " + entry) == [message]


def test_more_layers_than_a_sampler_can_model_are_refused_before_they_are_made() -> None:
    text = (
        "data: {kind: digits}\nmodel: {kind: python, target: 'n.py:N'}\nspace:\n"
        "  model.options.n: {low: 1, high: 1000000000}\n"
        "  model.options.width: {low: 1, high: 3, each: model.options.n}\n"
    )
    assert problems_of(text) == [
        "5:48: space.model.options.width: each: 1000000000 layers; at most 256 can vary one by one"
    ]


def test_more_parameters_than_any_sampler_models_are_refused() -> None:
    python = "data: {kind: digits}\nmodel: {kind: python, target: 'n.py:N'}\nspace:\n"
    many = "".join(f"  model.options.o{number}: [1, 2]\n" for number in range(501))
    assert problems_of(python + many) == ["3:1: space: 501 entries; at most 500 can vary"]
    layers = "  model.options.n: {low: 1, high: 250}\n" + "".join(
        f"  model.options.o{number}: {{low: 1, high: 2, each: model.options.n}}\n" for number in range(2)
    )
    assert problems_of(python + layers) == [
        "6:21: space.model.options.o1: with its layers the space has 501 parameters; at most 500 can vary"
    ]
    choices = f"  model.options.n: {list(range(1001))}\n"
    assert problems_of(python + choices) == ["4:20: space.model.options.n: 1001 choices; at most 1000, or a range"]


def test_fields_that_do_not_go_together_are_found_at_the_corner_that_breaks_them() -> None:
    text = DIGITS + "model: {width: [8, 16]}\nspace:\n  model.depth: {low: 1, high: 2}\n  model.norm: [none, batch]\n"
    assert problems_of(text) == [
        (
            "4:22: space.model.depth: low (1) does not go with the base config: width: 2 values for 1 layers; give one "
            "value, or one a layer"
        )
    ]
    nesterov = DIGITS + "optimizer: {kind: sgd}\nspace:\n  optimizer.nesterov: [false, true]\n"
    assert problems_of(nesterov) == ["4:31: space.optimizer.nesterov: needs momentum above 0 and dampening 0"]


def test_a_carried_over_value_that_another_kind_refuses_is_the_fault_of_that_choice() -> None:
    assert problems_of(DIGITS + "model: {norm: batch}\nspace:\n  model.kind: [mlp, recurrent]\n") == [
        (
            "4:21: space.model.kind: 'recurrent' does not go with the base config: norm: expected one of none, "
            "layer, got 'batch'"
        )
    ]


def test_a_grid_needs_points_on_a_continuous_range() -> None:
    text = DIGITS + "search: {sampler: grid}\nspace:\n  optimizer.lr: {low: 0.1, high: 0.2}\n"
    assert problems_of(text) == [
        (
            "4:17: space.optimizer.lr: a grid needs points on a continuous range; give step, or search.sampler: "
            "{kind: grid, "
            "points: 5}"
        )
    ]


def test_six_different_errors_are_six_located_messages_in_the_order_of_the_file() -> None:
    text = """\
data:
  kind: digits
  batchsize: 32
model: {kind: mpl}
optimizer: {lr: fast}
space:
  optimizer.lr: {low: 0.1, high: 1e-4, log: true}
  train.epoch: {low: 1, high: 3}
search: {sampler: tpee}
"""
    assert problems_of(text) == [
        "3:3: data.batchsize: unknown key; did you mean 'batch_size'?",
        "4:15: model.kind: unknown model 'mpl'; did you mean 'mlp'?",
        "5:17: optimizer.lr: expected a number above 0, got 'fast'",
        "7:17: space.optimizer.lr: low (0.1) must be below high (0.0001)",
        "8:3: space.train.epoch: no such field; did you mean 'train.epochs'?",
        "9:19: search.sampler.kind: unknown sampler 'tpee'; did you mean 'tpe'?",
    ]


def test_a_file_with_thousands_of_problems_shows_the_first_hundred() -> None:
    lines = problems_of("".join(f"k{number}: 1\n" for number in range(5000)))
    assert len(lines) == 101
    assert lines[-1] == " and 4901 more problems"
