"""`tuner doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tuner.execution.inline import InlineExecutor
from tuner.study.ownership import StudyLock, owner_of
from tuner.workflows import doctor
from tuner.workflows.doctor import Finding, examine
from tuner.workflows.installed import Package, extras, required, requirements
from tuner.workflows.search import SearchRequest, search

SETS = ("search.trials=3", "search.workers=1", "search.threads=1", "train.epochs=2", "confirm=off", "train.device=cpu")
STORAGE = "sqlite:///studies.db"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    before = Path.cwd()
    os.chdir(folder)
    try:
        search(SearchRequest(space="mlp.yaml", sets=SETS), None, InlineExecutor())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished search, and the working directory."""
    shutil.copytree(searched, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(doctor, "ProcessExecutor", InlineExecutor)
    return tmp_path / "work"


def found(name: str) -> Finding:
    (finding,) = (finding for finding in examine(STORAGE) if finding.name == name)
    return finding


def test_a_healthy_store_is_called_so_and_nothing_changes(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    findings = examine(STORAGE)
    assert [finding.text for finding in findings if not finding.is_ok] == []
    assert found("database").text == "whole, 1 study"
    assert found("tables").text.startswith("of this version (v")
    assert "files of weights, all there" in found("study mlp").text
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_weights_that_are_gone_are_named(folder: Path) -> None:
    lost = next(folder.glob("runs/mlp/*/epoch-*.pt"))
    lost.unlink()
    finding = found("study mlp")
    assert not finding.is_ok
    assert str(lost.relative_to(folder.resolve()) if not lost.is_absolute() else lost) in finding.text
    assert "bring " in finding.remedy


def test_folders_of_trials_without_a_study_are_named_with_their_size(folder: Path) -> None:
    (folder / "runs" / "old" / "0").mkdir(parents=True)
    (folder / "runs" / "old" / "0" / "log.txt").write_bytes(bytes(2_000_000))
    (folder / "runs" / "planned" / "data").mkdir(parents=True)
    finding = found("runs")
    assert finding.is_ok
    assert finding.text.endswith("old: trials of no study in the database, 2.0 MB")
    assert finding.remedy.startswith("if you do not miss the study: rm -r ")


def test_tables_of_another_version_are_told_with_the_upgrade(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "studies.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    finding = found("tables")
    assert not finding.is_ok
    assert finding.text.startswith("of another version of Optuna (v3.0.0.d; this one has v")
    assert finding.remedy == "copy the file, then: optuna storage upgrade --storage sqlite:///studies.db"


def test_a_damaged_index_is_found(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "studies.db")) as connection, connection:
        connection.execute("CREATE TABLE extra (x)")
        connection.execute("CREATE INDEX of_extra ON extra (x)")
        connection.executemany("INSERT INTO extra VALUES (?)", [(number,) for number in range(9)])
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'of_extra'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with (folder / "studies.db").open("r+b") as file:
        file.seek(page * size - 1)
        byte = file.read(1)
        file.seek(page * size - 1)
        file.write(bytes([byte[0] ^ 7]))
    finding = found("database")
    assert not finding.is_ok
    assert "damaged" in finding.text


def test_a_study_that_is_searched_or_was_left_is_told(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "studies.db")) as connection, connection:
        connection.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 0")
        connection.execute("UPDATE tuner_trials SET state = 'running' WHERE trial = 0")
    assert "unfinished, and nobody searches" in found("study mlp").text
    lock = folder / "runs" / "mlp" / "driver.lock"
    with StudyLock(lock, "mlp"):
        assert f"is being searched (process {os.getpid()} on " in found("study mlp").text
    lock.write_text(json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1, "started_at": 0}))
    assert owner_of(lock) == ""


def test_a_full_disk_and_a_wrong_url_are_findings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 2**80)
    assert found("disk").remedy == "make room: checkpoints need it"
    (finding,) = (finding for finding in examine("sqlite:///:memory:") if finding.name == "database")
    assert not finding.is_ok


def test_packages_and_extras_are_those_of_the_metadata() -> None:
    assert {"torch", "optuna", "click"} <= {package.name for package in required(requirements())}
    assert all(package.is_met for package in required(requirements()))
    lines = [
        "click>=8.2",
        "pyarrow; extra == 'parquet'",
        'no-such[x] (>=1,<2) ; extra == "app"',
        "mypy; extra == 'dev'",
    ]
    assert [package.name for package in required(lines)] == ["click"]
    found = extras(lines)
    assert {name: [package.name for package in packages] for name, packages in found.items()} == {
        "app": ["no-such"],
        "parquet": ["pyarrow"],
    }
    assert (found["app"][0].wanted, found["app"][0].is_met, found["parquet"][0].is_met) == (">=1,<2", False, True)
    missing = Package.of("no-such-package", ">=2")
    assert not missing.is_met
    assert not Package.of("click", ">=999").is_met


def test_a_missing_package_fails_and_a_missing_extra_is_a_note() -> None:
    missing = Package.of("no-such-package", ">=2")
    assert doctor._package(missing).remedy == "pip install 'no-such-package>=2'"
    assert doctor._package(missing).level == "FAIL"
    note = doctor._extra("parquet", [missing])
    assert (note.level, note.remedy) == ("note", "if you need it: pip install 'tuner[parquet]'")
