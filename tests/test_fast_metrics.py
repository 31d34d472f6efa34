from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tuner.config.metrics import METRICS
from tuner.training.fast_metrics import compute_fast, needs_scikit_learn
from tuner.training.metrics import compute, names_for

CLASSIFICATION = names_for("classification")
REGRESSION = names_for("regression")
MULTILABEL = names_for("multilabel")
COUNTED = (
    *(name for name in CLASSIFICATION if not needs_scikit_learn(name)),
    "top_2_accuracy",
    "recall_of_0",
    "precision_of_1",
    "f1_of_1",
)


def bits(metrics: dict[str, float]) -> dict[str, str]:
    """Values that can be compared: nan equals nan, and 0.0 does not equal -0.0."""
    assert all(type(value) is float for value in metrics.values())
    return {name: value.hex() for name, value in metrics.items()}


def classified(n_rows: int, n_classes: int, seed: int, certainty: float) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    y_true = draw.integers(0, n_classes, n_rows)
    logits = draw.normal(size=(n_rows, n_classes))
    logits[np.arange(n_rows), y_true] += certainty
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return y_true, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def assert_equal_bits(task: Any, names: tuple[str, ...], y_true: Any, scores: Any) -> None:
    labels = tuple(str(k) for k in range(scores.shape[1]))
    fast = compute_fast(names, task=task, y_true=y_true, scores=scores, labels=labels)
    assert bits(fast) == bits(compute(names, task=task, y_true=y_true, scores=scores, labels=labels))


bit = st.integers(0, 1)


@given(
    n_rows=st.integers(1, 400),
    n_classes=st.integers(2, 40),
    seed=st.integers(0, 2**32 - 1),
    certainty=st.sampled_from((-3.0, 0.0, 1.0, 5.0, 1000.0)),
)
@example(n_rows=1, n_classes=2, seed=0, certainty=1000.0)  # one row, one class in both
@example(n_rows=1, n_classes=3, seed=0, certainty=-3.0)
@example(n_rows=6000, n_classes=10, seed=1, certainty=1.0)
@example(n_rows=3000, n_classes=1000, seed=1, certainty=1.0)  # most classes have few rows, many have none
@settings(deadline=None, max_examples=150)
def test_classification_metrics_have_scikit_learns_bits(
    n_rows: int, n_classes: int, seed: int, certainty: float
) -> None:
    y_true, scores = classified(n_rows, n_classes, seed, certainty)
    assert_equal_bits("classification", COUNTED, y_true, scores)


@given(
    y_true=hnp.arrays(np.int64, st.shared(st.integers(1, 12), key="n"), elements=st.integers(0, 3)),
    y_pred=hnp.arrays(np.int64, st.shared(st.integers(1, 12), key="n"), elements=st.integers(0, 3)),
)
@settings(deadline=None, max_examples=200)
def test_classes_that_are_missing_or_never_predicted_count_as_scikit_learn_counts_them(
    y_true: Any, y_pred: Any
) -> None:
    assert_equal_bits("classification", COUNTED, y_true, np.eye(4, dtype=np.float32)[y_pred])


@given(
    y_true=hnp.arrays(np.int64, st.shared(st.tuples(st.integers(1, 12), st.integers(2, 4)), key="m"), elements=bit),
    scores=hnp.arrays(
        np.float32,
        st.shared(st.tuples(st.integers(1, 12), st.integers(2, 4)), key="m"),
        elements=st.floats(0, 1, width=32) | st.sampled_from((0.0, 0.5, 1.0)),
    ),
)
@settings(deadline=None, max_examples=100)
def test_multilabel_metrics_have_scikit_learns_bits(y_true: Any, scores: Any) -> None:
    counted = tuple(name for name in MULTILABEL if not needs_scikit_learn(name))
    assert_equal_bits("multilabel", (*counted, "f1_of_1"), y_true.astype(np.float32), scores)


def test_the_first_of_equal_probabilities_is_the_prediction() -> None:
    scores = np.array([[0.5, 0.5], [0.5, 0.5]], dtype=np.float32)
    y_true = np.array([0, 1])
    assert compute_fast(["accuracy"], task="classification", y_true=y_true, scores=scores) == {"accuracy": 0.5}
    assert_equal_bits("classification", CLASSIFICATION, y_true, scores)


numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from((0.0, -0.0, 1.0, 3.4e38, -3.4e38, 1e-40))
shapes = st.shared(st.tuples(st.integers(1, 300), st.integers(1, 4)), key="shape")


@given(y_true=hnp.arrays(np.float32, shapes, elements=numbers), scores=hnp.arrays(np.float32, shapes, elements=numbers))
@settings(deadline=None, max_examples=200)
def test_regression_metrics_have_scikit_learns_bits(y_true: Any, scores: Any) -> None:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        assert_equal_bits("regression", REGRESSION, y_true, scores)


@given(y_true=hnp.arrays(np.float32, shapes, elements=numbers), scores=hnp.arrays(np.float32, shapes, elements=numbers))
@settings(deadline=None, max_examples=50)
def test_the_explained_variance_of_autoencoders_has_scikit_learns_bits(y_true: Any, scores: Any) -> None:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        assert_equal_bits("autoencoding", ("r2", "explained_variance"), y_true, scores)


def test_pixels_that_hardly_vary_say_little_of_an_autoencoder() -> None:
    y_true = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], dtype=np.float32)
    scores = y_true + np.float32(0.01)
    of_values = {
        task: compute_fast(["r2"], task=task, y_true=y_true, scores=scores)["r2"]
        for task in ("regression", "autoencoding")
    }
    assert of_values["regression"] == pytest.approx(0.5, abs=1e-3)
    assert of_values["autoencoding"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("predicted", (2.0, 3.0))
def test_constant_targets_have_the_r2_that_scikit_learn_gives_them(predicted: float) -> None:
    y_true = np.full((5, 2), 2.0, dtype=np.float32)
    y_true[:, 1] = np.arange(5)
    scores = np.full((5, 2), predicted, dtype=np.float32)
    scores[:, 1] = y_true[:, 1]
    assert_equal_bits("regression", REGRESSION, y_true, scores)
    got = compute_fast(["r2"], task="regression", y_true=y_true[:, :1], scores=scores[:, :1])
    assert got == {"r2": 1.0 if predicted == 2.0 else 0.0}


@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_scores_that_are_not_finite_give_nan_everywhere(bad: float) -> None:
    y_true, scores = classified(5, 3, seed=0, certainty=1.0)
    scores[3, 1] = bad
    assert_equal_bits("classification", CLASSIFICATION, y_true, scores)
    assert_equal_bits("regression", REGRESSION, scores, scores)


def test_a_metric_of_the_other_task_is_a_bug_of_the_caller() -> None:
    y_true, scores = classified(5, 3, seed=0, certainty=1.0)
    with pytest.raises(ValueError, match=r"no metrics of classification: \['r2'\]"):
        compute_fast(["r2"], task="classification", y_true=y_true, scores=scores)


def test_curves_are_left_to_scikit_learn() -> None:
    assert {name for name in (*METRICS, "mine") if needs_scikit_learn(name)} == {
        "roc_auc",
        "average_precision",
    }
    y_true, scores = classified(50, 3, seed=0, certainty=1.0)
    assert_equal_bits("classification", CLASSIFICATION, y_true, scores)


def test_what_every_epoch_records_needs_no_scikit_learn() -> None:
    code = """
import sys
import numpy as np
from tuner.training.fast_metrics import compute_fast
from tuner.training.metrics import CHEAP
y, p = np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
print(compute_fast(CHEAP["classification"], task="classification", y_true=y, scores=p))
print(compute_fast(CHEAP["regression"], task="regression", y_true=p, scores=p))
sys.exit("sklearn" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
