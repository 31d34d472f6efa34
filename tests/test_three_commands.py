"""A table, three commands, and predictions: as the README shows it, in a folder that has nothing else."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMALL = ("--trials", "2", "--workers", "1", "--lanes", "1", "--set", "train.epochs=2", "--set", "confirm=off")
JOBS = ("clerk", "manager", "craft", "service", "?")
SCHOOLS = ("none", "school", "college", "university")


def people(n_rows: int, seed: int) -> list[dict[str, object]]:
    """Rows like those of the census: numbers, categories, missing values, and a class that follows from them."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for _ in range(n_rows):
        age, hours = int(random.integers(17, 80)), int(random.integers(10, 70))
        job, school = str(random.choice(JOBS)), str(random.choice(SCHOOLS))
        score = 0.04 * (age - 40) + 0.05 * (hours - 40) + SCHOOLS.index(school) - 2 + (job == "manager")
        income = ">50K" if score + random.normal() > 0 else "<=50K"
        rows.append(
            {"age": age, "job": job, "school": school, "hours": hours, "married": bool(age > 30), "income": income}
        )
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def shown_commands() -> list[list[str]]:
    """The commands of the README's first console block."""
    (block,) = re.findall(r"(?ms)^```console\n(.*?)^```$", README)[:1]
    return [shlex.split(line)[1:] for line in re.findall(r"(?m)^\$ (tuner .*)$", block)]


@pytest.mark.slow
def test_a_table_becomes_predictions_with_the_three_commands_of_the_readme(tmp_path: Path) -> None:
    write(tmp_path / "people.csv", people(500, seed=0))
    new = [{name: value for name, value in row.items() if name != "income"} for row in people(40, seed=1)]
    write(tmp_path / "new.csv", new)
    commands = shown_commands()
    assert [arguments[0] for arguments in commands] == ["init", "search", "predict"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
    for arguments in commands:
        small = SMALL if arguments[0] == "search" else ()
        command = [sys.executable, "-m", "tuner", *arguments, *small]
        result = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False
        )
        assert result.returncode == 0, result.stderr
    with (tmp_path / "predictions.csv").open(newline="") as file:
        predictions = list(csv.DictReader(file))
    assert len(predictions) == len(new)
    assert {row["prediction"] for row in predictions} <= {"<=50K", ">50K"}
    assert (tmp_path / "people-model" / "model.pt").is_file()
