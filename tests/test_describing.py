"""Errors of a user's code are told with the line of theirs that led to them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tuner.data.describing import describe, place_of
from tuner.execution.failures import short
from tuner.execution.worker import refusal_of


def raised_by(path: Path, code: str) -> BaseException:
    path.write_text(code)
    with pytest.raises(Exception) as caught:  # noqa: PT011  the tests look at it
        runpy.run_path(str(path))
    return caught.value


def test_the_place_is_in_the_users_file_although_a_library_raised(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    error = raised_by(mine, "import json\n\ndef read():\n    return json.loads('no json')\n\nread()\n")
    assert place_of(error) == f"{mine}:4"
    assert describe(error).endswith("(mine.py:4)")
    assert short(error).endswith(f", in {mine}:4")
    assert refusal_of(error).error.message.startswith("JSONDecodeError: ")
    assert refusal_of(error).error.message.endswith(f", in {mine}:4")


def test_the_place_of_a_wrong_syntax_is_its_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    assert place_of(raised_by(mine, "x = 1\ny = (\n")) == f"{mine}:2"


def test_a_package_that_is_not_there_is_told_with_the_line_that_wants_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    assert place_of(raised_by(mine, "x = 1\nimport no_such_package\n")) == f"{mine}:2"


def test_an_error_that_nobody_raised_has_no_place() -> None:
    assert place_of(ValueError("never")) == ""
    assert describe(ValueError("never")) == "ValueError: never"
