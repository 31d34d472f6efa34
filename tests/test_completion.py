"""Completion of shells, by their own protocol and in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from tuner.study.names import study_names

TUNER = [sys.executable, "-m", "tuner"]


def offered(line: str, folder: Path, **environment: str) -> list[str]:
    """What bash would be given for the last word of a line."""
    words = line.split(" ")
    asked = {"_TUNER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
    result = subprocess.run(
        TUNER,
        cwd=folder,
        env={**clean, **asked, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return [item.partition(",")[2] for item in result.stdout.splitlines() if item]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two studies, and another database with a third."""
    place = tmp_path_factory.mktemp("studies")
    for name, file in (("mlp", "studies.db"), ("rings", "studies.db"), ("moons", "other.db")):
        optuna.create_study(study_name=name, storage=f"sqlite:///{place / file}")
    (place / "mine.yaml").write_text("")
    return place


def test_commands_and_options_are_completed(folder: Path) -> None:
    assert offered("tuner sea", folder) == ["search"]
    assert "--trials" in offered("tuner search --t", folder)


def test_studies_are_those_of_the_database_that_the_line_names(folder: Path) -> None:
    assert offered("tuner status --study ", folder) == ["rings", "mlp"]
    assert offered("tuner status --study m", folder) == ["mlp"]
    assert offered("tuner status --storage sqlite:///other.db --study ", folder) == ["moons"]
    assert offered("tuner search --from ", folder, TUNER_STORAGE="sqlite:///other.db") == ["moons"]


def test_space_files_are_those_here_and_those_that_are_shipped(folder: Path) -> None:
    found = offered("tuner search --space m", folder)
    assert found == ["mine.yaml", "mlp.yaml"]


def test_what_can_be_begun_with_is_completed(folder: Path) -> None:
    assert offered("tuner init own-", folder) == ["own-model", "own-data", "own-training"]


def test_a_folder_without_a_database_offers_nothing_and_stays_as_it_is(tmp_path: Path) -> None:
    assert offered("tuner status --study ", tmp_path) == []
    assert offered("tuner show 4 --storage sqlite:///there.db --study ", tmp_path) == []
    (tmp_path / "studies.db").write_text("these are my notes\n")
    assert offered("tuner status --study ", tmp_path) == []
    assert offered("tuner status --storage sqlite:///:memory: --study ", tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["studies.db"]


def test_no_names_are_read_from_what_is_no_database(tmp_path: Path) -> None:
    assert study_names(f"sqlite:///{tmp_path}") == []
    assert study_names("nonsense") == []


@pytest.mark.parametrize("shell", ("bash", "zsh", "fish"))
def test_the_script_for_a_shell_is_printed_and_loads(shell: str, tmp_path: Path) -> None:
    result = subprocess.run([*TUNER, "completion", shell], capture_output=True, text=True, timeout=60, check=True)
    assert f"_TUNER_COMPLETE={shell}_complete" in result.stdout
    program = shutil.which(shell)
    if program is not None:
        script = tmp_path / "script"
        script.write_text(result.stdout)
        subprocess.run([program, str(script)], check=True, timeout=60, capture_output=True)


def test_without_a_shell_that_is_known_one_is_asked_for(tmp_path: Path) -> None:
    environment = {**os.environ, "SHELL": "/bin/ksh"}
    result = subprocess.run(
        [*TUNER, "completion"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "completion is for bash, zsh, fish; name one: `tuner completion bash`" in result.stderr
