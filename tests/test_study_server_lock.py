"""Drivers on several machines and one database: a server keeps them apart, where there is one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tuner.errors import OwnedError
from tuner.study.server_lock import ServerLock

SERVER = os.environ.get("TUNER_TEST_POSTGRESQL", "")
"""The URL of a database on a PostgreSQL server, with its driver installed; CI has none."""


def test_a_file_has_no_server_to_ask_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with ServerLock(url, "mlp"), ServerLock(url, "mlp"):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SERVER, reason="TUNER_TEST_POSTGRESQL names no server")
def test_a_second_driver_of_a_study_on_a_server_is_told_who_has_it() -> None:
    with ServerLock(SERVER, "mlp"):
        with pytest.raises(OwnedError, match=rf"owned by another running driver \(process {os.getpid()} on .*, since "):
            ServerLock(SERVER, "mlp").__enter__()
        with ServerLock(SERVER, "another"):
            pass
    with ServerLock(SERVER, "mlp"):
        assert re.match("postgresql", SERVER)
