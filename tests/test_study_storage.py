"""Opening the database: what is refused and left as it was, what is created, and what heals."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tuner.errors import MissingError, NotFoundError, StorageError, UsageError
from tuner.study import storage
from tuner.study.queries import StudyReader
from tuner.study.storage import open_optuna, open_readonly, storage_errors


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def create(path: Path, study: str = "s", n_trials: int = 0) -> None:
    """A database with a study in it."""
    storage = open_optuna(url_of(path))
    found = optuna.create_study(storage=storage, study_name=study)
    for _ in range(n_trials):
        found.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"note": "x" * 500}))
    storage.scoped_session.remove()
    storage.engine.dispose()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def close(storage: optuna.storages.RDBStorage) -> None:
    storage.scoped_session.remove()
    storage.engine.dispose()


def study_names(path: Path) -> list[str]:
    engine = open_readonly(url_of(path))
    with engine.connect() as connection:
        found = [name for (name,) in connection.execute(text("SELECT study_name FROM studies"))]
    engine.dispose()
    return found


def flip(path: Path, start: int, size: int) -> None:
    content = bytearray(path.read_bytes())
    for position in range(start, min(start + size, len(content))):
        content[position] ^= 0xFF
    path.write_bytes(content)


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()


def no_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
        connection.commit()


def truncated(path: Path) -> None:
    create(path, n_trials=20)
    os.truncate(path, path.stat().st_size // 2)


def flipped_first_page(path: Path) -> None:
    create(path)
    flip(path, 100, 300)


def flipped_pages(path: Path) -> None:
    create(path, n_trials=20)
    flip(path, 4096, path.stat().st_size // 2)


def alembic(path: Path, revision: str) -> None:
    create(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.execute("DROP TABLE trial_heartbeats")  # a table that the older version did not have
        connection.commit()


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (
        lambda path: path.write_text("number,value\n1,0.5\n"),
        "not a SQLite database; move it away or name another",
    ),
    "short": (lambda path: path.write_bytes(b"x"), "not a SQLite database"),
    "a folder": (lambda path: path.mkdir(), "cannot be read: Is a directory; name another database with --storage"),
    "another program's": (other_program, "belongs to another program .*; name another with --storage"),
    "no tables": (no_tables, "belongs to another program"),
    "truncated": (truncated, "damaged .*restore a copy, or rescue it|malformed; restore a copy, or move it away"),
    "first page": (flipped_first_page, "restore a copy"),
    "pages": (flipped_pages, "restore a copy"),
    "older Optuna": (
        lambda path: alembic(path, "v3.0.0.d"),
        r"made by another version of Optuna; run `optuna storage upgrade",
    ),
    "newer Optuna": (lambda path: alembic(path, "v9.0.0.a"), r"made by another version of Optuna"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_database_that_is_not_ours_is_refused_and_not_touched(tmp_path: Path, what: str) -> None:
    path = tmp_path / "studies.db"
    make, message = REFUSED[what]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    names = names_in(tmp_path)
    with pytest.raises(StorageError, match=message) as refused:
        open_optuna(url_of(path))
    assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert names_in(tmp_path) == names


@pytest.mark.parametrize("what", ("text", "another program's", "truncated", "first page", "pages"))
def test_looking_at_a_damaged_database_is_refused_and_does_not_touch_it(tmp_path: Path, what: str) -> None:
    path = tmp_path / "studies.db"
    make, message = REFUSED[what]
    make(path)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=message):
        open_readonly(url_of(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ("truncated", "first page", "pages"))
def test_a_large_damaged_database_is_refused_when_it_is_opened_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(storage, "QUICK_SIZE_BYTES", 0)
    path = tmp_path / "studies.db"
    make, _ = REFUSED[what]
    make(path)
    before = path.read_bytes()
    with pytest.raises(StorageError):
        StudyReader.open(url_of(path)).studies()
    assert path.read_bytes() == before


def test_looking_where_nothing_is_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "studies.db"
    with pytest.raises(NotFoundError, match=r"no database here; start a search with `tuner search --space mlp.yaml`"):
        open_readonly(url_of(path))
    assert list(tmp_path.iterdir()) == []


def test_looking_changes_nothing_and_cannot(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    create(path)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    engine = open_readonly(url_of(path))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT study_name FROM studies")).all() == [("s",)]
        with pytest.raises(OperationalError, match="readonly database"):
            connection.execute(text("DELETE FROM studies"))
    engine.dispose()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert names_in(tmp_path) == ["studies.db"]


def test_a_new_database_has_all_tables_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "studies.db"
    close(open_optuna(url_of(path)))
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"studies", "trials", "alembic_version", "tuner_studies", "tuner_epochs", "tuner_checkpoints"} <= names
    assert names_in(path.parent) == ["studies.db"]


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    path.touch()
    create(path)
    assert study_names(path) == ["s"]


@pytest.mark.parametrize("folder", ("a b", "50%41", "what#ever", "{name}", "naïve"))
def test_folders_may_have_any_name(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "studies.db"
    create(path)
    close(open_optuna(url_of(path)))
    assert study_names(path) == ["s"]
    assert names_in(tmp_path) == [folder]


def test_commits_survive_a_power_loss(tmp_path: Path) -> None:
    storage = open_optuna(url_of(tmp_path / "studies.db"))
    with storage.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
    close(storage)


def test_an_existing_optuna_database_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    optuna.create_study(storage=url_of(path), study_name="theirs")
    create(path, "ours")
    assert study_names(path) == ["theirs", "ours"]


# ------------------------------------------------------------------------------------------------- two at the same time


def create_at_once(path: str, name: str, barrier: multiprocessing.synchronize.Barrier) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna is loaded by now
    barrier.wait(60)
    create(Path(path), name)


def test_two_processes_that_create_the_same_database_both_end_up_in_it(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=create_at_once, args=(str(path), name, barrier)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(study_names(path)) == ["a", "b"]
    assert names_in(tmp_path) == ["studies.db"]


def test_a_database_that_another_process_made_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "studies.db"
    link = os.link

    def create_first(source: Path, target: Path) -> None:
        other = multiprocessing.get_context("spawn").Process(target=create, args=(path, "theirs"))
        other.start()
        other.join()
        link(source, target)

    monkeypatch.setattr(os, "link", create_first)
    create(path, "ours")
    assert study_names(path) == ["theirs", "ours"]


# --------------------------------------------------------------------------------------------------- killed in a commit

KILLED_IN_A_COMMIT = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 2")  # changed pages go to the file before the commit
connection.execute("UPDATE trial_user_attributes SET value_json = ?", ("y" * 500,))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in_a_commit(path: Path) -> None:
    create(path, n_trials=50)
    died = subprocess.run([sys.executable, "-c", KILLED_IN_A_COMMIT, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert path.with_name("studies.db-journal").stat().st_size > 0


def attribute_values(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {value for (value,) in connection.execute("SELECT value_json FROM trial_user_attributes")}


def test_a_search_goes_on_after_a_driver_was_killed_in_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    killed_in_a_commit(path)
    close(open_optuna(url_of(path)))
    assert attribute_values(path) == {f'"{"x" * 500}"'}


def test_looking_works_after_a_driver_was_killed_in_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    killed_in_a_commit(path)
    assert study_names(path) == ["s"]
    assert attribute_values(path) == {f'"{"x" * 500}"'}


# ------------------------------------------------------------------------------------------------------------- messages


def test_a_folder_that_cannot_be_made_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="file"):
        open_optuna(url_of(tmp_path / "file" / "studies.db"))


@pytest.mark.parametrize(
    "url", ("garbage", "nosuch://user:hunter2@host/name", "postgresql://user:hunter2@host:port/name")
)
@pytest.mark.parametrize("opener", (open_optuna, open_readonly))
def test_a_url_that_is_none_is_refused_without_its_password(opener: Callable[[str], object], url: str) -> None:
    with pytest.raises(UsageError, match=r"--storage: not a database URL .*expected sqlite:///studies.db") as refused:
        opener(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ("sqlite://", "sqlite:///:memory:"))
@pytest.mark.parametrize("opener", (open_optuna, open_readonly))
def test_a_database_in_memory_is_refused(opener: Callable[[str], object], url: str) -> None:
    with pytest.raises(UsageError, match=r"a study needs a file; expected sqlite:///studies.db"):
        opener(url)


def test_a_driver_that_is_not_installed_is_named_without_the_password() -> None:
    with pytest.raises(MissingError, match=r"user:\*\*\*@host.* its driver is not installed") as refused:
        open_optuna("postgresql+pg8000://user:hunter2@host/name")
    assert "hunter2" not in str(refused.value)


def test_what_the_database_says_comes_without_the_password() -> None:
    url = "postgresql://user:hunter2@host/name"
    with pytest.raises(StorageError) as raised, storage_errors(url):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error"))
    assert str(raised.value) == "postgresql://user:***@host/name: disk I/O error"


def test_what_optuna_wraps_is_unwrapped(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    storage = open_optuna(url_of(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE study_user_attributes")
    study = optuna.create_study(storage=storage, study_name="s")
    with pytest.raises(StorageError, match="no such table: study_user_attributes"), storage_errors(url_of(path)):
        study.set_user_attr("key", "value")
    close(storage)


def test_our_own_mistakes_are_not_taken_for_the_databases(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mistake"), storage_errors(url_of(tmp_path / "studies.db")):
        raise KeyError("mistake")
