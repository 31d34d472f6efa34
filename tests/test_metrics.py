from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tuner.config.metrics import METRICS, TASKS, unusable
from tuner.errors import ConfigError
from tuner.training.metrics import compute, function_of, names_for, recorded_for

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
    y_true = draw.normal(5.0, size=(50, n_targets)).astype(np.float32)
    return y_true, (y_true + draw.normal(size=y_true.shape)).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_task_has_a_function(task: str) -> None:
    assert {name for name in METRICS if task in METRICS[name].tasks} - {"loss"} == set(names_for(task))
    assert all(callable(function_of(name, task)) for name in names_for(task))


@pytest.mark.parametrize("n_classes", (2, 3, 10))
def test_classification_metrics_are_scikit_learns(n_classes: int) -> None:
    y_true, scores = classes(n_classes)
    y_pred = scores.argmax(axis=1)
    exact = scores.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    ranked = exact[:, 1] if n_classes == 2 else exact
    averages = {
        f"{name}_{average}": score(y_true, y_pred, average=average)
        for name, score in {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}.items()
        for average in ("macro", "micro", "weighted")
    }
    expected = {
        "accuracy": sk.accuracy_score(y_true, y_pred),
        "balanced_accuracy": sk.balanced_accuracy_score(y_true, y_pred),
        **averages,
        "jaccard_macro": sk.jaccard_score(y_true, y_pred, average="macro"),
        "matthews_corrcoef": sk.matthews_corrcoef(y_true, y_pred),
        "cohen_kappa": sk.cohen_kappa_score(y_true, y_pred),
        "quadratic_kappa": sk.cohen_kappa_score(y_true, y_pred, weights="quadratic"),
        "ordinal_mae": sk.mean_absolute_error(y_true, y_pred),
        "roc_auc": sk.roc_auc_score(y_true, ranked, multi_class="ovr"),
        "average_precision": sk.average_precision_score(y_true, ranked),
        "log_loss": sk.log_loss(y_true, exact),
        "brier": sk.brier_score_loss(y_true, ranked),
    }
    for name in ("precision", "recall", "f1"):  # of the second of two classes
        expected[name] = getattr(sk, f"{name}_score")(y_true, y_pred) if n_classes == 2 else math.nan
    for k in (3, 5):  # no guess can miss all of so few classes
        expected[f"top_{k}_accuracy"] = sk.top_k_accuracy_score(y_true, scores, k=k) if k < n_classes else math.nan
    got = compute(CLASSIFICATION, task="classification", y_true=y_true, scores=scores)
    assert got == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


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
    columns = range(n_targets)
    assert compute(REGRESSION, task="regression", y_true=y_true, scores=scores) == {
        "mse": sk.mean_squared_error(y_true, exact),
        "rmse": sk.root_mean_squared_error(y_true, exact),
        "mae": sk.mean_absolute_error(y_true, exact),
        "r2": sk.r2_score(y_true, exact),
        "mape": sk.mean_absolute_percentage_error(y_true, exact),
        "rmsle": sk.root_mean_squared_log_error(y_true, exact),
        "median_ae": sk.median_absolute_error(y_true, exact),
        "max_error": np.mean([sk.max_error(y_true[:, t], exact[:, t]) for t in columns]),
        "explained_variance": sk.explained_variance_score(y_true, exact),
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
    undefined = {"top_3_accuracy", "top_5_accuracy"} | (set() if n_classes == 2 else {"precision", "recall", "f1"})
    assert {name for name, value in got.items() if math.isnan(value)} == {"roc_auc", "average_precision"} | undefined
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
        got = compute(names, task=task, y_true=y_true, scores=scores)
        assert list(got) == list(names)
        assert all(math.isnan(value) for value in got.values())


def test_one_row_has_no_r2() -> None:
    got = compute(REGRESSION, task="regression", y_true=np.array([[1.0]]), scores=np.array([[3.0]]))
    assert {name for name, value in got.items() if math.isnan(value)} == {"r2", "explained_variance"}
    assert (got["mse"], got["rmse"], got["mae"], got["median_ae"], got["max_error"]) == (4.0, 2.0, 2.0, 2.0, 2.0)


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
        "objective.metric: accuracy is not a metric of regression; use loss, mse, rmse, mae, r2, mape, rmsle, "
        "median_ae, max_error, explained_variance"
    )


def test_scikit_learn_is_not_imported_before_a_metric_is_computed() -> None:
    code = "import sys, tuner.training.metrics; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def labelled(n_labels: int = 4, n_rows: int = 100) -> tuple[Any, Any]:
    """Multilabel targets and float32 probabilities that often agree."""
    draw = np.random.default_rng(n_labels)
    y_true = (draw.random((n_rows, n_labels)) < 0.4).astype(np.float32)
    return y_true, (1 / (1 + np.exp(-(2 * y_true - 1 + draw.normal(size=y_true.shape))))).astype(np.float32)


def test_multilabel_metrics_are_scikit_learns() -> None:
    y_true, scores = labelled()
    exact = scores.astype(np.float64)
    y_pred = (exact > 0.5).astype(int)
    expected = {
        f"{name}_{average}": getattr(sk, f"{name}_score")(y_true, y_pred, average=average, zero_division=0)
        for name in ("precision", "recall", "f1")
        for average in ("macro", "micro", "weighted", "samples")
    }
    expected |= {
        f"jaccard_{average}": sk.jaccard_score(y_true, y_pred, average=average, zero_division=0)
        for average in ("macro", "samples")
    }
    expected |= {
        "subset_accuracy": sk.accuracy_score(y_true, y_pred),
        "hamming_loss": sk.hamming_loss(y_true, y_pred),
        "roc_auc": sk.roc_auc_score(y_true, exact),
        "average_precision": sk.average_precision_score(y_true, exact),
        "log_loss": np.mean([sk.log_loss(y_true[:, k], exact[:, k]) for k in range(4)]),
        "brier": np.mean([sk.brier_score_loss(y_true[:, k], exact[:, k]) for k in range(4)]),
    }
    names = names_for("multilabel")
    assert compute(names, task="multilabel", y_true=y_true, scores=scores) == expected


def test_a_class_or_label_has_metrics_by_its_name() -> None:
    y_true, scores = classes(3)
    labels = ("cat", "dog", "fish tank")
    names = ("recall_of_dog", "f1_of_fish tank", "precision_of_bird")
    got = compute(names, task="classification", y_true=y_true, scores=scores, labels=labels)
    y_pred = scores.argmax(axis=1)
    assert got["recall_of_dog"] == sk.recall_score(y_true, y_pred, average=None)[1]
    assert got["f1_of_fish tank"] == sk.f1_score(y_true, y_pred, average=None)[2]
    assert math.isnan(got["precision_of_bird"])
    y_true, scores = labelled(3)
    got = compute(names, task="multilabel", y_true=y_true, scores=scores, labels=labels)
    assert got["recall_of_dog"] == sk.recall_score(y_true[:, 1], scores[:, 1] > 0.5)


def test_what_data_cannot_have_is_said_with_the_remedy() -> None:
    data: dict[str, Any] = {"task": "classification", "labels": ("cat", "dog", "bird"), "n_targets": 3}
    assert unusable("top_2_accuracy", **data) == unusable("f1_macro", **data) == unusable("recall_of_dog", **data) == ""
    assert unusable("top_3_accuracy", **data) == (
        "top_3_accuracy is always 1 for 3 classes; take accuracy, or a smaller number"
    )
    assert unusable("f1_of_cow", **data) == "f1_of_cow: the data has no class 'cow'; its classes are cat, dog, bird"
    assert unusable("f1", **data) == "f1 is of the second of two classes, and the data has 3; take f1_macro"
    assert unusable("r2", **data) == "r2 is not a metric of classification, which the data is for"
    assert unusable("mine", **data) == ""
