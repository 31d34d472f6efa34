from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.config.schema.metrics import OwnMetric
from tuner.config.spec import Spec, load
from tuner.data.info import NO_DATA
from tuner.errors import ConfigError
from tuner.execution.inline import InlineExecutor
from tuner.training.details import details_of
from tuner.training.own_metrics import own_values
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search
from tuner.workflows.status import classes_of, detail_json, detail_of

DATA = "data: {kind: digits, split: {val: 60, test: 60}}\ntrain: {epochs: 2}\nsearch: {workers: 1}\n"
CODE = """
def cost(y_true, y_pred, scores, labels, price=1.0):
    assert scores.shape == (len(y_true), len(labels))
    return price * (y_true != y_pred).mean()


def text(y_true, y_pred):
    return "good"


def broken(y_true, y_pred):
    return y_true["x"]


def careless(y_true, y_pred, scores=None):
    for array in (y_true, y_pred, *([] if scores is None else [scores])):
        array[...] = 0
    return 0.0
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("mine.py").write_text(CODE, encoding="utf-8")


def spec_of(text: str) -> Spec:
    Path("space.yaml").write_text(text + DATA, encoding="utf-8")
    return load(Path("space.yaml"))


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        spec_of(text)
    return [line.removeprefix("space.yaml:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("metrics: accuracy", "1:10: metrics: expected a list such as [accuracy, f1_macro], got 'accuracy'"),
        ("metrics: [acuracy]", "1:11: metrics.0: unknown metric 'acuracy'; did you mean 'accuracy'?"),
        ("metrics: [r2]", "1:11: metrics.0: r2 is for regression and autoencoding, but the data is for classification"),
        ("metrics: [{name: mine}]", "1:11: metrics.0.target: missing"),
        ("metrics: [{target: mine.py}]", "1:20: metrics.0.target: expected file.py:function, got 'mine.py'"),
        (
            'metrics: [{target: "a.py:accuracy"}]',
            "1:11: metrics.0.name: 'accuracy' is taken; give it a name: of its own",
        ),
        (
            'metrics: [{target: "mine.py:cost"}]\nobjective: {metric: cost}',
            "2:1: objective.direction: missing; which way cost is better only you know: add direction: maximize",
        ),
        ("objective: {metric: cots}", "1:21: objective.metric: unknown metric 'cots'"),
    ),
)
def test_wrong_metrics_are_located_and_explained(text: str, message: str) -> None:
    (problem,) = problems_of(text + "\n")
    assert problem.startswith(message)


def test_an_objective_on_ones_own_metric_takes_its_direction() -> None:
    spec = spec_of(
        'metrics: [{target: "mine.py:cost", name: mine, direction: minimize}]\n'
        'objective: {metric: mine}\nconstraints: ["mine <= 0.9"]\n'
    )
    assert spec.objective.direction == "minimize"
    assert Spec.from_json(spec.to_json()).recorded == spec.recorded


def test_another_function_for_the_objective_is_a_difference() -> None:
    metrics = 'metrics: [{target: "mine.py:cost", name: mine, direction: minimize, options: {price: %s}}, %s]\n'
    one, two = (
        spec_of(metrics % (price, other) + "objective: {metric: mine}\n")
        for price, other in (("1.0", "accuracy"), ("2.0", "f1_macro"))
    )
    assert one.differences(two) == ["metrics.mine.options.price: 1.0 -> 2.0"]


@pytest.mark.parametrize(
    ("function", "message"),
    (
        ("text", "metrics: text: mine.py:text gave str 'good'; expected one number"),
        ("broken", "metrics: broken: mine.py:broken raised IndexError: .* \\(mine.py:12\\)"),
        ("absent", "'mine.py:absent': mine.py has no 'absent'"),
    ),
)
def test_a_function_that_gives_no_number_is_refused_before_the_first_trial(function: str, message: str) -> None:
    spec_of(f'metrics: [{{target: "mine.py:{function}"}}]\n')
    with pytest.raises(ConfigError, match=message):
        search(SearchRequest(space="space.yaml"), None, InlineExecutor())


@pytest.mark.parametrize(
    ("metric", "message"),
    (
        ("f1_of_ten", "f1_of_ten: the data has no class 'ten'; its classes are 0, 1"),
        ("top_10_accuracy", "top_10_accuracy is always 1 for 10 classes"),
        ("f1", "f1 is of the second of two classes, and the data has 10; take f1_macro"),
    ),
)
def test_a_metric_that_the_classes_do_not_have_is_refused_before_the_first_trial(metric: str, message: str) -> None:
    spec_of(f"objective: {{metric: {metric}}}\n")
    with pytest.raises(ConfigError, match=message):
        search(SearchRequest(space="space.yaml"), None, InlineExecutor())


@pytest.mark.slow
@pytest.mark.parametrize("task", ("classification", "multilabel", "regression"))
def test_what_a_function_writes_into_its_arguments_is_nobody_elses(task: str) -> None:
    info = replace(NO_DATA, task=task, n_targets=2, labels=() if task == "regression" else ("a", "b"))
    y_true = np.array([0, 1, 1]) if task == "classification" else np.array([[0, 1], [1, 1], [1, 0]])
    scores = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], dtype=np.float32)
    functions = {name: OwnMetric(target="mine.py:careless", name=name) for name in ("first", "second")}
    before = details_of(info, y_true=y_true, scores=scores)
    own_values(functions, info=info, y_true=y_true, scores=scores, base_dir=Path())
    assert details_of(info, y_true=y_true, scores=scores) == before
    assert before is not None


def test_what_the_file_names_is_recorded_and_evaluated_again_and_classes_are_kept() -> None:
    spec_of(
        'metrics: [accuracy, recall_of_3, {target: "mine.py:cost", direction: minimize, options: {price: 2.0}}]\n'
        "objective: {metric: cost}\n"
    )
    search(SearchRequest(space="space.yaml", sets=("confirm=off",)), None, InlineExecutor())
    detail = detail_of("sqlite:///studies.db", None, 0)
    recorded = detail.curve[-1].metrics
    assert set(recorded) == {"train/loss", "val/loss", "val/accuracy", "val/recall_of_3", "val/cost"}
    kept = classes_of("sqlite:///studies.db", None, detail)
    assert kept is not None
    assert detail_json(detail, kept)["details"] == kept
    confusion = torch.tensor(kept["confusion"])
    assert confusion.sum(dim=1).tolist() == kept["support"]
    assert 2 * (1 - confusion.trace().item() / 60) == pytest.approx(detail.row.value)
    assert kept["recall"] == pytest.approx((confusion.diag() / confusion.sum(dim=1)).tolist())
    export = best()
    assert export.reevaluated == detail.row.value
    assert export.bundle.details["val"] == kept
    assert sum(export.bundle.details["test"]["support"]) == 60
    assert "| true, by predicted | 0 | 1 |" in (export.path / "README.md").read_text(encoding="utf-8")
    again = best()
    assert again.scored_before
    assert again.bundle.details == export.bundle.details
