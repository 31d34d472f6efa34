from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tuner.config.metrics import METRICS
from tuner.errors import ConfigError
from tuner.training.metrics import FUNCTIONS, compute, names_for, recorded_for

CLASSIFICATION = names_for("classification")
REGRESSION = names_for("regression")


def classes(n_classes: int, n_rows: int = 200) -> tuple[Any, Any]:
    """Labels and float32 probabilities of a classifier that is often right."""
    draw = np.random.default_rng(n_classes)
    y_true = draw.integers(0, n_classes, n_rows)
    logits = draw.normal(size=(n_rows, n_classes))
    logits[np.arange(n_rows), y_true] += 1.0
    scores = np.exp(logits)
    return y_true, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def targets(n_targets: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(n_targets)
    y_true = draw.normal(size=(50, n_targets)).astype(np.float32)
    return y_true, (y_true + draw.normal(size=y_true.shape)).astype(np.float32)


def test_every_metric_of_the_table_but_loss_has_a_function() -> None:
    assert set(FUNCTIONS) == set(METRICS) - {"loss"} == {*CLASSIFICATION, *REGRESSION}


@pytest.mark.parametrize("n_classes", (2, 3, 10))
def test_classification_metrics_are_scikit_learns(n_classes: int) -> None:
    y_true, scores = classes(n_classes)
    y_pred = scores.argmax(axis=1)
    exact = scores.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    ranked = exact[:, 1] if n_classes == 2 else exact
    assert compute(CLASSIFICATION, task="classification", y_true=y_true, scores=scores) == {
        "accuracy": sk.accuracy_score(y_true, y_pred),
        "balanced_accuracy": sk.balanced_accuracy_score(y_true, y_pred),
        "precision_macro": sk.precision_score(y_true, y_pred, average="macro"),
        "recall_macro": sk.recall_score(y_true, y_pred, average="macro"),
        "f1_macro": sk.f1_score(y_true, y_pred, average="macro"),
        "f1_weighted": sk.f1_score(y_true, y_pred, average="weighted"),
        "roc_auc": sk.roc_auc_score(y_true, ranked, multi_class="ovr"),
        "average_precision": sk.average_precision_score(y_true, ranked),
        "log_loss": sk.log_loss(y_true, exact),
    }


def test_one_vs_rest_curves_are_averaged_over_the_classes() -> None:
    y_true, scores = classes(4)
    got = compute(["roc_auc", "average_precision"], task="classification", y_true=y_true, scores=scores)
    exact = scores.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    for name, function in {"roc_auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}.items():
        assert got[name] == pytest.approx(np.mean([function(y_true == k, exact[:, k]) for k in range(4)]), rel=1e-12)


@pytest.mark.parametrize("n_targets", (1, 3))
def test_regression_metrics_are_scikit_learns(n_targets: int) -> None:
    y_true, scores = targets(n_targets)
    exact = scores.astype(np.float64)
    assert compute(REGRESSION, task="regression", y_true=y_true, scores=scores) == {
        "mse": sk.mean_squared_error(y_true, exact),
        "rmse": sk.root_mean_squared_error(y_true, exact),
        "mae": sk.mean_absolute_error(y_true, exact),
        "r2": sk.r2_score(y_true, exact),
    }


def test_the_same_numbers_come_out_to_the_last_bit_each_time() -> None:
    y_true, scores = classes(10)
    first, second = (
        compute(CLASSIFICATION, task="classification", y_true=y_true.copy(), scores=scores.copy()) for _ in range(2)
    )
    assert [value.hex() for value in first.values()] == [value.hex() for value in second.values()]


def test_only_what_was_asked_for_is_computed_as_plain_floats() -> None:
    y_true, scores = classes(3)
    got = compute(["f1_macro", "accuracy"], task="classification", y_true=y_true, scores=scores)
    assert list(got) == ["f1_macro", "accuracy"]
    assert all(type(value) is float for value in got.values())


@pytest.mark.parametrize("n_classes", (2, 3))
def test_curves_are_nan_when_a_class_has_no_row_and_the_rest_is_a_number(n_classes: int) -> None:
    y_true, scores = classes(n_classes)
    rows = y_true != n_classes - 1
    got = compute(CLASSIFICATION, task="classification", y_true=y_true[rows], scores=scores[rows])
    assert {name for name, value in got.items() if math.isnan(value)} == {"roc_auc", "average_precision"}
    y_pred = scores[rows].argmax(axis=1)
    recalls = [np.mean(y_pred[y_true[rows] == k] == k) for k in range(n_classes - 1)]
    assert got["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_a_class_that_is_never_predicted_counts_as_zero() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    got = compute(["precision_macro", "f1_macro"], task="classification", y_true=np.array([0, 0, 0, 1]), scores=scores)
    assert got == {"precision_macro": 0.375, "f1_macro": pytest.approx(3 / 7)}


def test_a_class_with_probability_zero_costs_a_finite_log_loss() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    got = compute(["log_loss"], task="classification", y_true=np.array([1, 1]), scores=scores)
    assert got["log_loss"] == pytest.approx(-math.log(np.finfo(np.float64).eps) / 2)


@pytest.mark.parametrize("bad", (math.nan, math.inf))
def test_scores_that_are_not_finite_give_nan_everywhere(bad: float) -> None:
    for task, (y_true, scores) in {"classification": classes(3), "regression": targets(2)}.items():
        scores[3, 1] = bad
        names = names_for("classification" if task == "classification" else "regression")
        got = compute(names, task=task, y_true=y_true, scores=scores)  # type: ignore[arg-type]
        assert list(got) == list(names)
        assert all(math.isnan(value) for value in got.values())


def test_one_row_has_no_r2() -> None:
    got = compute(REGRESSION, task="regression", y_true=np.array([[1.0]]), scores=np.array([[3.0]]))
    assert math.isnan(got.pop("r2"))
    assert got == {"mse": 4.0, "rmse": 2.0, "mae": 2.0}


def test_a_metric_of_the_other_task_is_a_bug_of_the_caller() -> None:
    y_true, scores = classes(3)
    with pytest.raises(ValueError, match=r"no metrics of classification: \['r2', 'loss'\]"):
        compute(["accuracy", "r2", "loss"], task="classification", y_true=y_true, scores=scores)


def test_the_objective_and_the_cheap_metrics_are_recorded() -> None:
    assert recorded_for("classification", "loss") == ("accuracy", "balanced_accuracy")
    assert recorded_for("classification", "accuracy") == ("accuracy", "balanced_accuracy")
    assert recorded_for("classification", "roc_auc") == ("accuracy", "balanced_accuracy", "roc_auc")
    assert recorded_for("regression", "r2") == ("mse", "rmse", "mae", "r2")


def test_an_objective_of_the_other_task_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        recorded_for("regression", "accuracy")
    assert str(caught.value) == (
        "objective.metric: accuracy is not a metric of regression; use loss, mse, rmse, mae, r2"
    )


def test_scikit_learn_is_not_imported_before_a_metric_is_computed() -> None:
    code = "import sys, tuner.training.metrics; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
