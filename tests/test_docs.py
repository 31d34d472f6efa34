"""docs/: the generated reference is what the code says, and each row of the table of what is covered has its test."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from tuner.config.metrics import COSTS, METRICS
from tuner.config.schema.base import Task
from tuner.config.sections import KINDS

ROOT = Path(__file__).resolve().parent.parent
COVERED = ROOT / "docs" / "covered.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$")
TEST = re.compile(r"`(tests/\w+\.py)::(\w+)`")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows() -> dict[str, dict[str, str]]:
    """What each section of the page has a row for, and what stands beside it."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in COVERED.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
            found[section] = {}
        elif row := ROW.match(line):
            found[section][row[1]] = row[2]
    return found


def _tests_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_reference_is_what_the_classes_say() -> None:
    reference = _script("make_reference")
    for name, text in reference.pages().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, "run `python docs/make_reference.py`"


@pytest.mark.parametrize("section", ("data", "model", "loss", "optimizer", "schedule"))
def test_every_kind_has_a_row(section: str) -> None:
    assert set(_rows()[section]) == set(KINDS[section])


def test_every_task_and_metric_has_a_row() -> None:
    assert set(_rows()["task"]) == set(get_args(Task)) - {"auto"}
    assert set(_rows()["metric"]) == {*METRICS, *COSTS}


def test_every_row_names_tests_that_exist() -> None:
    known: dict[str, set[str]] = {}
    for section, rows in _rows().items():
        for name, text in rows.items():
            tests = TEST.findall(text)
            assert tests, f"{section} {name}: no test"
            for file, test in tests:
                known.setdefault(file, _tests_of(file))
                assert test in known[file], f"{section} {name}: {file} has no {test}"
