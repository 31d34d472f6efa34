"""Durations as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.space.durations import PATTERN, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    (
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1h30m", 5400.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1.5h", 5400.0),
        (" 5s ", 5.0),
    ),
)
def test_a_duration_is_its_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert re.match(PATTERN, text.strip())


@pytest.mark.parametrize("text", ("", "30", "m", "30x", "30m1h", "1h1h", "-3m", "1 h", "٣m", "1e3s"))
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"expected a duration such as 90s, 30m or 1h30m, got {text!r}")):
        parse_duration(text)
    assert not re.fullmatch(PATTERN, text, re.ASCII)


@given(st.integers(min_value=0, max_value=10**7))
def test_a_formatted_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(float(seconds))) == seconds
