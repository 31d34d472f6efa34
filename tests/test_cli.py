"""The command line as people and scripts use it: real processes, exit codes, what is printed where."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from click.testing import CliRunner

from tuner.cli.main import cli

TUNER = [sys.executable, "-m", "tuner"]
SEARCH = ["search", "--space", "mlp.yaml", "--workers", "1", "--trials", "3", "--set", "train.epochs=3"]
SEARCH += ["--set", "confirm=off", "--set", "search.pruner=median"]
DEADLINE_S = 120.0

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}


def tuner(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TUNER, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**ENVIRONMENT, **environment},
        check=False,
    )


def start(*arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TUNER, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
        start_new_session=True,
    )


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search of three trials."""
    folder = tmp_path_factory.mktemp("finished")
    result = tuner(*SEARCH, folder=folder)
    assert result.returncode == 0, result.stderr
    assert "best: trial" in result.stdout
    assert "next: tuner best --study mlp" in result.stdout
    assert result.stderr.count("trial ") == 3
    return folder


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['tuner', '--help']\nfrom tuner.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print([name for name in ('torch', 'optuna', 'sqlalchemy', 'pydantic', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for command in ("search", "best", "studies", "status", "trials", "show", "logs", "check", "dashboard", "doctor"):
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ("status", "trials", "studies", "show 0", "logs 0", "best", "dashboard"))
def test_looking_without_a_database_exits_3_and_creates_nothing(command: str, tmp_path: Path) -> None:
    result = tuner(*command.split(), folder=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "studies.db: no database here; start a search with `tuner search" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_not_there_is_told_the_nearest(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["serch", "--space", "mlp"])
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "unknown command 'serch'; did you mean 'search'?" in result.output
    assert "unknown command 'xyz'; available: search, best, " in CliRunner().invoke(cli, ["xyz"]).output


def test_errors_under_json_are_json_on_stdout_with_the_same_code(tmp_path: Path) -> None:
    missing = tuner("status", "--json", folder=tmp_path)
    assert missing.returncode == 3
    assert json.loads(missing.stdout)["error"]["kind"] == "not_found"
    wrong = tuner("trials", "--json", "--nonsense", folder=tmp_path)
    assert wrong.returncode == 2
    assert "--nonsense" in json.loads(wrong.stdout)["error"]["message"]


SIX_ERRORS = """\
study: six
objective: {metric: acuracy}
data: {kind: digits, batch_size: 0}
model: {kind: mpl, depth: 2}
optimizer: {kind: adamw, lr: fast}
trane: {epochs: 3}
space:
  optimizer.lr: {low: 0.1, high: 0.0001, log: true}
"""


def test_six_errors_are_six_located_messages_and_nothing_is_created(tmp_path: Path) -> None:
    (tmp_path / "six.yaml").write_text(SIX_ERRORS)
    result = tuner("search", "--space", "six.yaml", folder=tmp_path)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("six.yaml:")]
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5", "6", "8"]
    assert "did you mean 'accuracy'?" in lines[0]
    assert "did you mean 'mlp'?" in lines[2]
    assert "did you mean 'train'?" in lines[4]
    assert "low (0.1) must be below high (0.0001)" in lines[5]
    assert [path.name for path in tmp_path.iterdir()] == ["six.yaml"]
    as_json = json.loads(tuner("search", "--space", "six.yaml", "--json", folder=tmp_path).stdout)
    assert [place["line"] for place in as_json["error"]["where"]] == [2, 3, 4, 5, 6, 8]


def test_check_describes_a_valid_space_without_running_it(tmp_path: Path) -> None:
    result = tuner("check", "--space", "mlp.yaml", "--no-data", folder=tmp_path)
    assert result.returncode == 0
    assert re.search(r"optimizer\.lr +0\.0001 to 0\.1, log", result.stdout)
    assert re.search(r"optimizer\.momentum .* optimizer\.kind is sgd or rmsprop", result.stdout)
    assert list(tmp_path.iterdir()) == []


def test_schema_is_json() -> None:
    schema = json.loads(tuner("schema", folder=Path.cwd()).stdout)
    assert "space" in schema["properties"]


def test_status_trials_and_show_agree(finished: Path) -> None:
    status = json.loads(tuner("status", "--json", folder=finished).stdout)
    trials = json.loads(tuner("trials", "--json", folder=finished).stdout)
    assert status["trials"]["complete"] == sum(trial["state"] == "complete" for trial in trials) > 0
    assert set(status) == {"study", "metric", "direction", "trials", "best", "confirmed", "seconds"}
    assert set(trials[0]) == {"number", "state", "value", "params", "epochs", "seconds", "reason"}
    best = max((trial for trial in trials if trial["state"] == "complete"), key=lambda trial: trial["value"])
    assert status["best"]["value"] == best["value"]
    shown = json.loads(tuner("show", str(best["number"]), "--json", folder=finished).stdout)
    assert shown["params"] == best["params"]
    assert shown["curve"][shown["best_epoch"] - 1]["val/accuracy"] == best["value"]
    assert shown["config"]["train"]["epochs"] == 3
    assert shown["attempts"][0]["outcome"] == "completed"
    text = tuner("show", str(best["number"]), folder=finished)
    assert "val/accuracy" in text.stdout
    log = tuner("logs", str(best["number"]), folder=finished)
    assert log.stdout.count(" epoch ") == 3
    assert tuner("show", "99", folder=finished).returncode == 3
    assert tuner("studies", folder=finished).stdout.splitlines()[1].startswith("mlp")


def test_best_exports_what_it_verified_and_optuna_agrees(finished: Path) -> None:
    result = tuner("best", "--json", folder=finished)
    assert result.returncode == 0, result.stderr
    best = json.loads(result.stdout)
    assert best["reevaluated"] == best["value"]
    assert set(best) >= {"study", "trial", "metric", "value", "reevaluated", "test", "params", "epoch", "path", "files"}
    assert 0.0 < best["test"]["accuracy"] <= 1.0
    state = torch.load(finished / best["path"] / "model.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    study = optuna.load_study(study_name="mlp", storage=f"sqlite:///{finished / 'studies.db'}")
    assert (study.best_value, study.best_trial.number) == (best["value"], best["trial"])
    assert study.best_params == best["params"]


def test_a_search_exports_its_winner_before_the_last_line_of_json(finished: Path) -> None:
    result = tuner(*SEARCH, "--export", "model", "--json", folder=finished)
    assert result.returncode == 0, result.stderr
    *_, export, done = (json.loads(line) for line in result.stdout.splitlines())
    assert (export["event"], export["path"], done["event"]) == ("export", "model", "done")
    assert export["trial"] == done["best"]["trial"]
    assert (finished / "model" / "model.pt").is_file()


def test_weights_that_do_not_give_the_stored_value_are_not_exported(tmp_path: Path) -> None:
    assert tuner(*SEARCH, folder=tmp_path).returncode == 0
    for path in (tmp_path / "runs").glob("mlp/*/epoch-*.pt"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    result = tuner("best", folder=tmp_path)
    assert result.returncode == 1
    assert "its checksum is not the recorded one" in result.stderr
    assert not list((tmp_path / "exports").iterdir())


def test_the_dashboard_serves_the_study(finished: Path) -> None:
    process = start("dashboard", "--port", "0", folder=finished)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=30) as page:  # noqa: S310  our own server
            assert page.status == 200
        with urllib.request.urlopen(url.replace("/dashboard", "/api/studies"), timeout=30) as answer:  # noqa: S310
            assert [study["study_name"] for study in json.load(answer)["study_summaries"]] == ["mlp"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def test_doctor_finds_the_installation_well(finished: Path) -> None:
    result = tuner("doctor", folder=finished)
    assert result.returncode == 0, result.stdout
    assert "database: whole, 1 study" in result.stdout
    assert "FAIL" not in result.stdout


def test_a_damaged_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("these are my notes\n")
    for command in (["status"], SEARCH):
        result = tuner(*command, folder=tmp_path)
        assert result.returncode == 74
        assert "studies.db: not a SQLite database; move it away or name another with --storage" in result.stderr
    assert (tmp_path / "studies.db").read_text() == "these are my notes\n"


@pytest.mark.slow
def test_a_second_driver_is_refused_and_told_who_owns_the_study(tmp_path: Path) -> None:
    first = start(*SEARCH, "--json", "--set", "train.epochs=100000", folder=tmp_path)
    try:
        assert next(events(first))["event"] == "study"
        second = tuner(*SEARCH, "--set", "train.epochs=100000", folder=tmp_path)
        assert second.returncode == 75
        assert f"process {first.pid} on " in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


@pytest.mark.slow
def test_ctrl_c_keeps_everything_and_leaves_no_process_behind(tmp_path: Path) -> None:
    process = start(*SEARCH, "--json", "--set", "train.epochs=100000", folder=tmp_path)
    seen = events(process)
    assert any(event["event"] == "epoch" for event in seen)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    last = list(seen)[-1]
    assert (last["event"], last["ended"], last["trials"]["paused"]) == ("done", "interrupted", 1)
    assert process.wait(timeout=30) == 130
    assert eventually(lambda: not _group(process.pid), within_s=15), _group(process.pid)
    process.communicate()


@pytest.mark.slow
def test_sigterm_exits_143_and_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time, torch\n"
        "class Slow(torch.nn.Module):\n"
        "    def __init__(self, n_outputs):\n        super().__init__()\n"
        "        self.layer = torch.nn.LazyLinear(n_outputs)\n"
        "    def forward(self, x):\n        time.sleep(0.5)\n        return self.layer(x.flatten(1))\n"
    )
    (tmp_path / "slow.yaml").write_text(
        "study: slow\nobjective: {metric: accuracy}\ndata: {kind: iris, batch_size: 1}\n"
        'model: {kind: python, target: "slow.py:Slow"}\ntrain: {epochs: 2}\n'
        "space: {optimizer.lr: {low: 0.001, high: 0.1, log: true}}\nsearch: {trials: 1, workers: 1}\n"
        "confirm: off\n"
    )
    process = start("search", "--space", "slow.yaml", "--json", folder=tmp_path)
    seen = events(process)
    assert any(event["event"] == "trial" for event in seen)
    process.send_signal(signal.SIGTERM)
    assert any("Ctrl-C again stops at once" in event.get("message", "") for event in seen)
    process.send_signal(signal.SIGTERM)
    kept = "stopped at once: every epoch that was over is kept; trial 0 will train its epoch again"
    assert any(kept in event.get("message", "") for event in seen)
    assert process.wait(timeout=10) == 143
    process.communicate()
    trials = json.loads(tuner("trials", "--json", folder=tmp_path).stdout)
    assert [trial["state"] for trial in trials] == ["paused"]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_numbers_stay_the_same(finished: Path, tmp_path: Path) -> None:
    process = start(*SEARCH, "--json", folder=tmp_path)
    seen = events(process)
    first = next(event for event in seen if event["event"] == "epoch")
    _kill_a_worker(process.pid)
    notes = [event["message"] for event in seen if event["event"] == "note"]
    assert process.wait(timeout=60) == 0
    process.communicate()
    assert notes == [
        f"trial {first['trial']}: the worker process was killed by SIGKILL (out of memory?); trying again (1 of 2)"
    ]
    assert _trials(tmp_path) == _trials(finished)


@pytest.mark.slow
def test_killed_drivers_lose_nothing_and_leave_no_worker_and_no_temporary_files(finished: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "t"  # short: it holds the names of sockets
    temporary.mkdir()
    for count in (1, 4):
        process = start(*SEARCH, "--json", folder=tmp_path, TMPDIR=str(temporary))
        seen = (event for event in events(process) if event["event"] == "epoch")
        for _ in range(count):
            next(seen)
        process.kill()
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert eventually(partial(_is_alone, process.pid), within_s=15), _group(process.pid)
        process.communicate()
        assert list(temporary.iterdir()) == []
    assert tuner(*SEARCH, folder=tmp_path).returncode == 0
    assert _trials(tmp_path) == _trials(finished)


@pytest.mark.slow
def test_two_workers_train_every_trial_once(tmp_path: Path) -> None:
    sets = ("--set", "search.pruner=median", "--set", "confirm=off")
    run = ("search", "--space", "mlp.yaml", "--workers", "2", "--trials", "8", *sets, "--json")
    result = tuner(*run, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {line["event"] for line in lines} <= {"study", "trial", "epoch", "done", "note", "confirm"}
    assert (lines[0]["event"], lines[-1]["event"]) == ("study", "done")
    over = [line["trial"] for line in lines if line["event"] == "trial" and "state" in line]
    assert sorted(over) == list(range(8))
    assert sum(lines[-1]["trials"].values()) == 8


def _trials(folder: Path) -> list[dict[str, Any]]:
    rows = json.loads(tuner("trials", "--json", folder=folder).stdout)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def _is_alone(leader: int) -> bool:
    return not _group(leader)


def _group(leader: int) -> list[str]:
    """Processes of a session other than its leader."""
    command = [shutil.which("ps") or "ps", "-o", "pid=,stat=,args=", "-g", str(leader)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in listed.stdout.splitlines()]
    return [line for line in lines if line and int(line.split()[0]) != leader and line.split()[1][0] != "Z"]


def _kill_a_worker(driver: int) -> None:
    """Kill the process that trains: the child of the fork server, which is a child of the driver."""
    for child in _children(driver):
        for grandchild in _children(child):
            os.kill(grandchild, signal.SIGKILL)
            return
    pytest.fail("no worker found")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
