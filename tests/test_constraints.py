"""`constraints:`: their grammar, their names, their places in the file, and what they say of a trial."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config.expressions import MAX_DEPTH, MAX_LENGTH, ExpressionError, parse
from tuner.config.spec import Spec, load
from tuner.errors import ConfigError

SPACE = """
data: {kind: digits}
constraints: CONSTRAINTS
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}
  model.depth: {low: 1, high: 3}
  model.width: {low: 4, high: 64, each: model.depth}
"""
VALUES = {"a": 2.0, "b": -3.0, "params": 1000.0}


def spec_of(tmp_path: Path, constraints: str) -> Spec:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.replace("CONSTRAINTS", constraints))
    return load(path)


def excess(text: str) -> float | None:
    return parse(text).excess(VALUES.get)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 0) -> tuple[str, float]:
    """The text of an expression, and its value worked out on the way."""
    kind = draw(st.sampled_from(["number", "name"] if depth > 3 else ["number", "name", "sum", "product", "minus"]))
    if kind == "number":
        number = draw(st.integers(min_value=0, max_value=50).map(float) | st.floats(min_value=1e-3, max_value=1e6))
        return draw(st.sampled_from([repr(number), f" {number!r} "])), number
    if kind == "name":
        name = draw(st.sampled_from(sorted(VALUES)))
        return name, VALUES[name]
    left_text, left = draw(expressions(depth=depth + 1))
    if kind == "minus":
        return f"-({left_text})", -left
    right_text, right = draw(expressions(depth=depth + 1))
    if kind == "sum":
        sign = draw(st.sampled_from(["+", "-"]))
        return f"({left_text} {sign} {right_text})", left + right if sign == "+" else left - right
    return f"{left_text} * {right_text}", left * right


@given(expressions(), expressions(), st.sampled_from(["<=", "<", ">=", ">", "=="]))
def test_a_comparison_holds_when_python_says_so(
    left: tuple[str, float], right: tuple[str, float], comparator: str
) -> None:
    # The terms are finite, so that the excess is 0 or less exactly when the comparison holds.
    found = excess(f"a + {left[0]} {comparator} {right[0]}")
    total = VALUES["a"] + left[1]
    wanted = {
        "<=": total <= right[1],
        "<": total < right[1],
        ">=": total >= right[1],
        ">": total > right[1],
        "==": total == right[1],
    }[comparator]
    assert found is not None
    assert (found <= 0.0) is wanted


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        found = parse(text)
    except ExpressionError as error:
        is_placed = 0 <= error.offset <= len(text)
    else:
        is_placed = bool(found.names)
    assert is_placed


@pytest.mark.parametrize(
    ("text", "wanted"),
    (
        ("params <= 2e3", -1000.0),
        ("params <= 900", 100.0),
        ("1 <= a <= 1.5", 0.5),
        ("a * (b + 1) >= 0", 4.0),
        ("a - b - 1 <= 0", 4.0),
        ("12 / a / 3 <= 2", 0.0),
        ("a / (b + 3) <= 1", pytest.approx(1.797e308, rel=1e-3)),
        ("-a == +b + 1", 0.0),
    ),
)
def test_the_excess_says_by_how_much_it_is_missed(text: str, wanted: float) -> None:
    assert excess(text) == wanted


def test_an_unknown_value_leaves_a_constraint_open() -> None:
    assert excess("a + latency_ms <= 3") is None


def test_a_strict_comparison_is_missed_when_both_sides_are_equal() -> None:
    assert excess("a < 2") == pytest.approx(0.0, abs=1e-300)
    assert excess("a < 2") not in (0.0, None)
    assert excess("a <= 2") == 0.0


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_an_excess_is_always_finite(value: float) -> None:
    found = parse("a <= 1").excess(lambda _: value)
    assert found is not None
    assert math.isfinite(found)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    (
        ("", 0, "expected a number, a name or a parenthesis, got the end"),
        ("params", 6, "expected a comparison, such as params <= 2e6"),
        ("params <=", 9, "expected a number, a name or a parenthesis, got the end"),
        ("params <= 2 3", 12, "expected an operator or the end, got '3'"),
        ("(params <= 2", 8, "expected a closing parenthesis, got '<='"),
        ("params = 2", 7, "unexpected character '='; write == or <="),
        ("params ** 2 < 1", 8, "expected a number, a name or a parenthesis, got '*'"),
        ("params ^ 2 < 1", 7, "unexpected character '^'; powers are not available: multiply"),
        ("params < 1 & a < 2", 11, "unexpected character '&'; give each condition as a constraint of its own"),
        ("params < 2,000", 10, "unexpected character ','; numbers have no separators"),
        ("params < 1e999", 9, "1e999 is too large for a number"),
        ("1 <= 2", 0, "names nothing that differs between trials, such as params"),
        ("__import__('os') < 1", 11, 'unexpected character "\'"'),
        ("abs(params) < 1", 3, "expected an operator or the end, got '('"),
        ("params.__class__ < 'a'", 19, 'unexpected character "\'"'),
    ),
)
def test_what_is_wrong_is_said_with_its_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.offset) == (message, offset)


def test_long_and_deep_texts_are_refused() -> None:
    with pytest.raises(ExpressionError, match=f"at most {MAX_LENGTH} characters, got 4003"):
        parse("a" * 4000 + "<=1")
    for deep in ("(" * 100 + "a" + ")" * 100 + " <= 1", "-" * 200 + "a <= 1"):
        with pytest.raises(ExpressionError, match=f"nested deeper than {MAX_DEPTH}"):
            parse(deep)
    long = "+".join(["a"] * 140) + "<= 1"  # long is not deep
    assert parse(long).excess(VALUES.get) == 279.0


@pytest.mark.parametrize(
    ("constraints", "message"),
    (
        ('["parms <= 2e6"]', "3:16: constraints.0: unknown name 'parms'; did you mean 'params'?"),
        (
            '["params <= 2e6", "1 <= latency"]',
            "3:38: constraints.1: unknown name 'latency'; did you mean 'latency_ms'?",
        ),
        (
            "[params <= 2e6, optimizer.lr < ]",
            "3:44: constraints.1: expected a number, a name or a parenthesis, got the end",
        ),
        ('["optimizer.kind == 3"]', "3:16: constraints.0: optimizer.kind can be 'adamw'; constraints compare numbers"),
        (
            '["model.width <= 3"]',
            "3:16: constraints.0: model.width has a value for each layer; name one of them, such as ",
        ),
        ('["test/accuracy > 0.9"]', "3:16: constraints.0: constraints are on metrics of the validation part"),
        (
            '["mse <= 3"]',
            "3:16: constraints.0: mse is for regression and autoencoding, but the data is for classification",
        ),
        ('["zebra <= 3"]', "3:16: constraints.0: unknown name 'zebra'; known are params, latency_ms, epoch_seconds, "),
        ("[3]", '3:15: constraints.0: expected text such as "params <= 2e6", got 3'),
        ('"params <= 3"', "3:14: constraints: expected a list such as"),
        (str(["params <= 3"] * 51), "3:14: constraints: at most 50, got 51"),
    ),
)
def test_a_wrong_constraint_is_located_and_explained(tmp_path: Path, constraints: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(tmp_path, constraints)
    assert message in str(caught.value)


def test_constraints_on_params_are_judged_by_the_config_of_a_trial(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '["model.width.0 * model.depth <= 40", "optimizer.momentum >= 0.5", "params <= 9"]')
    params = {"optimizer.kind": "sgd", "optimizer.lr": 0.01, "optimizer.momentum": 0.25, "model.depth": 2}
    widths = {"model.width.0": 32, "model.width.1": 4}
    config = spec.bind({**params, **widths})
    excesses = spec.goals.excesses(config, {}, final=False)
    assert excesses == {"model.width.0 * model.depth <= 40": 24.0, "optimizer.momentum >= 0.5": 0.25}
    assert spec.goals.broken(config, {}) == (
        "constraint 'model.width.0 * model.depth <= 40' is not met: model.width.0 is 32, model.depth is 2; "
        "constraint 'optimizer.momentum >= 0.5' is not met: optimizer.momentum is 0.25"
    )


def test_a_constraint_on_a_param_that_a_trial_does_not_have_holds(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '["optimizer.momentum >= 0.5", "model.width.2 <= 1"]')
    params = {"optimizer.kind": "adamw", "optimizer.lr": 0.01, "model.depth": 1, "model.width.0": 8}
    assert spec.goals.excesses(spec.bind(params), {}, final=True) == {}


def test_metrics_are_judged_at_the_end_only(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '["val/accuracy >= 0.9", "roc_auc >= 0.9", "params <= 10"]')
    metrics = {"val/accuracy": 0.8, "val/roc_auc": None, "params": 12.0}
    assert spec.goals.excesses(spec.base, metrics, final=False) == {"params <= 10": 2.0}
    final = spec.goals.excesses(spec.base, metrics, final=True)
    assert final["val/accuracy >= 0.9"] == pytest.approx(0.1)
    assert final["roc_auc >= 0.9"] > 1e300  # measured, and not a number
    assert spec.goals.metrics == {"loss", "accuracy", "roc_auc"}
    assert spec.goals.costs == {"params"}


def test_a_changed_constraint_is_a_change_of_the_study(tmp_path: Path) -> None:
    old, new = (
        spec_of(tmp_path, '["params <= 10", "params >= 2"]'),
        spec_of(tmp_path, '["params  <=  10", "params < 9"]'),
    )
    assert old.differences(new) == ["constraint params >= 2: removed", "constraint params < 9: added"]
    assert Spec.from_json(old.to_json()) == old
