"""One driver a study, shown with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tuner.errors import OwnedError, StorageError
from tuner.study.ownership import StudyLock

HOLDER = """
import sys
from pathlib import Path
from tuner.study.ownership import StudyLock
with StudyLock(Path(sys.argv[1]), "mlp"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_driver(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_a_second_driver_is_refused_and_told_who_owns_the_study(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "mlp" / "driver.lock"
    with (
        another_driver(path) as holder,
        pytest.raises(OwnedError, match=r"study 'mlp' is owned by another running driver") as refused,
        StudyLock(path, "mlp"),
    ):
        pass
    assert f"(process {holder.pid} on {socket.gethostname()}, since 20" in str(refused.value)
    assert "wait for it, stop it with Ctrl-C or `kill`, or use another --study NAME" in str(refused.value)
    assert refused.value.exit_code == 75


def test_a_refused_driver_leaves_the_name_of_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with another_driver(path) as holder:
        for _ in range(2):
            with pytest.raises(OwnedError, match=f"process {holder.pid} on"), StudyLock(path, "mlp"):
                pass


def test_a_driver_that_was_killed_owns_nothing_any_more(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with another_driver(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with StudyLock(path, "mlp"):
            assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_driver_that_ends_lets_the_next_one_in(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with StudyLock(path, "mlp"):
        pass
    assert path.read_text() == ""
    with another_driver(path):
        pass


def test_a_driver_that_fails_lets_the_next_one_in(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with pytest.raises(KeyboardInterrupt), StudyLock(path, "mlp"):
        raise KeyboardInterrupt
    with StudyLock(path, "mlp"):
        pass


def test_an_owner_that_has_not_said_its_name_yet_is_an_owner(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with another_driver(path):
        os.truncate(path, 0)
        with pytest.raises(OwnedError, match="it has just started"), StudyLock(path, "mlp"):
            pass


def test_two_studies_have_two_owners(tmp_path: Path) -> None:
    with another_driver(tmp_path / "a.lock"), StudyLock(tmp_path / "b.lock", "b"):
        assert json.loads((tmp_path / "a.lock").read_text())["pid"] != os.getpid()


def test_a_lock_that_cannot_be_made_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    path = tmp_path / "runs" / "mlp" / "driver.lock"
    with pytest.raises(StorageError, match="cannot be made or opened") as refused, StudyLock(path, "mlp"):
        pass
    assert str(path) in str(refused.value)
