from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tuner.execution import forkserver


def servers(session: int) -> list[int]:
    """Fork servers of a session that are alive."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            if os.getsid(process.pid) != session or process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
        except ProcessLookupError:
            continue
        if any("multiprocessing.forkserver" in word for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found


@pytest.mark.skipif(forkserver.METHOD != "forkserver", reason="workers are spawned here")
def test_a_refused_search_leaves_no_process_that_still_loads_torch(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nno_such_section: 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "tuner", "search", "--space", "bad.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        code = process.wait()
        left = servers(process.pid)
        assert process.stderr is not None
        message = process.stderr.read()
    assert code == 2
    assert "bad.yaml:2" in message
    assert "Traceback" not in message
    assert left == []


@pytest.mark.skipif(forkserver.METHOD != "forkserver", reason="workers are spawned here")
def test_beginning_twice_starts_one_server_and_a_cancelled_one_can_begin_again(tmp_path: Path) -> None:
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_forkserver import servers
from tuner.execution import forkserver
forkserver.begin()
forkserver.begin()
first = servers(os.getsid(0))
forkserver.cancel()
between = servers(os.getsid(0))
forkserver.begin()
second = servers(os.getsid(0))
forkserver.cancel()
print(len(first), len(between), len(second), first != second)
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, start_new_session=True)
    assert done.stdout == "1 0 1 True\n"


def test_beginning_to_load_torch_needs_nothing_heavy() -> None:
    code = "import sys, tuner.execution.forkserver; print({'torch', 'numpy', 'pydantic', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
