"""`tuner reproduce`: the same numbers from what is stored, or a clear no; and nothing in the study changes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tuner.cli import reproduce as command
from tuner.errors import NotFoundError, VerificationError
from tuner.execution.inline import InlineExecutor
from tuner.study.queries import StudyReader
from tuner.workflows import reproduce as workflow
from tuner.workflows.progress import EpochEnded, Progress
from tuner.workflows.reproduce import Reproduction, reproduce
from tuner.workflows.search import SearchRequest, search

SPACE = """
study: small
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 4, device: cpu}
space:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 4, high: 6}
search: {sampler: random, pruner: {kind: median, n_startup_trials: 1}, trials: 6, workers: 1, threads: 1}
confirm: off
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("small.yaml").write_text(SPACE)


class Interrupter:
    """Interrupts the search after the first epoch that it sees."""

    def __init__(self) -> None:
        self.is_done = False

    def show(self, progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and not self.is_done:
            self.is_done = True
            os.kill(os.getpid(), signal.SIGINT)


def run(*sets: str, reporter: Any = None) -> None:
    search(SearchRequest(space="small.yaml", sets=sets), reporter, InlineExecutor())


def again(trial: int, **options: Any) -> Reproduction:
    return reproduce(trial, executor=InlineExecutor(), **options)


def content() -> dict[str, str]:
    """A hash of every file but the lock."""
    files = [path for path in Path().rglob("*") if path.is_file() and path.name not in ("driver.lock", "lock")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_trial_complete_or_pruned_is_reproduced_to_the_bit_and_the_study_stays_as_it_was() -> None:
    run()
    before = content()
    reader = StudyReader.open("sqlite:///studies.db")
    rows = reader.trials(reader.study(None))
    assert {"complete", "pruned"} == {row.state.value for row in rows}
    for row in rows:
        found = again(row.number)
        assert found.is_identical, found.worst
        assert found.holds
        assert found.asks_for_bits
        assert found.n_epochs == row.epochs
    assert content() == before


def test_a_trial_that_went_on_with_other_threads_is_reproduced_with_those_of_each_attempt() -> None:
    run(reporter=Interrupter())
    run("search.threads=2")
    reader = StudyReader.open("sqlite:///studies.db")
    assert [attempt.threads for attempt in reader.trial(reader.study(None), 0).attempts] == [1, 2]
    found = again(0)
    assert found.is_identical
    assert found.n_epochs == 4


def test_a_confirmation_run_is_reproduced_too() -> None:
    run("confirm={top: 1, seeds: 2}", "search.trials=1")
    found = again(0, repeat=2)
    assert found.is_identical
    assert found.to_json()["confirm_run"] == 2
    with pytest.raises(NotFoundError, match="no confirmation run 3; there are 1 to 2"):
        again(0, repeat=3)


def _change(trial: int, epoch: int, metric: str, factor: float) -> None:
    with sqlite3.connect("studies.db") as connection:
        where = "WHERE trial = ? AND epoch = ?"
        (text,) = connection.execute(f"SELECT metrics FROM tuner_epochs {where}", (trial, epoch)).fetchone()  # noqa: S608
        metrics = json.loads(text)
        metrics[metric] *= factor
        query = f"UPDATE tuner_epochs SET metrics = ? {where}"  # noqa: S608
        connection.execute(query, (json.dumps(metrics), trial, epoch))


def test_where_the_set_up_is_the_same_one_changed_bit_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    run("search.trials=1")
    _change(0, 2, "train/loss", 1 + 1e-15)
    found = again(0)
    assert not found.holds
    assert found.worst is not None
    assert (found.worst.epoch, found.worst.metric) == (2, "train/loss")
    monkeypatch.setattr(workflow, "ProcessExecutor", InlineExecutor)
    result = CliRunner().invoke(command.command, ["0"], catch_exceptions=False, standalone_mode=False)
    assert result.return_value == 1
    assert "NOT reproduced: the set-up is the same, the bits are not" in result.output
    assert "train/loss of epoch 2" in result.output


def _set_machine(**values: str) -> None:
    with sqlite3.connect("studies.db") as connection:
        (text,) = connection.execute("SELECT machine FROM tuner_sessions").fetchone()
        connection.execute("UPDATE tuner_sessions SET machine = ?", (json.dumps({**json.loads(text), **values}),))


def test_on_another_machine_a_tolerance_holds_and_the_difference_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run("search.trials=1")
    _set_machine(processor="Another CPU", torch="1.0")
    _change(0, 2, "train/loss", 1.001)
    found = again(0)
    assert found.holds
    assert not found.is_identical
    assert {item.what for item in found.environment} == {"processor", "torch"}
    assert not again(0, tolerance=1e-6).holds
    _change(0, 2, "train/loss", 1.5)
    assert not again(0).holds
    monkeypatch.setattr(workflow, "ProcessExecutor", InlineExecutor)
    result = CliRunner().invoke(command.command, ["0", "--json"], catch_exceptions=False, standalone_mode=False)
    assert result.return_value == 1
    shown = json.loads(result.output)
    assert (shown["reproduced"], shown["bits_expected"], shown["tolerance"]) == (False, False, 0.05)
    assert "Another CPU" in {item["stored"] for item in shown["environment"]}


def test_a_study_of_an_earlier_version_did_not_keep_its_processor() -> None:
    run("search.trials=1")
    with sqlite3.connect("studies.db") as connection:
        connection.execute("ALTER TABLE tuner_sessions DROP COLUMN machine")
    found = again(0)
    assert [(item.what, item.stored) for item in found.environment] == [("processor", "unknown")]
    assert found.is_identical


def test_other_data_or_code_is_refused() -> None:
    Path("net.py").write_text(
        "from torch import nn\n\ndef net(input_shape, n_outputs):\n    return nn.Linear(*input_shape, n_outputs)\n"
    )
    space = SPACE.replace(
        "model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}", 'model: {kind: python, target: "net.py:net"}'
    )
    Path("small.yaml").write_text(space.replace("  model.width: {low: 4, high: 6}\n", ""))
    run("search.trials=1")
    assert again(0).is_identical
    code = Path("net.py").read_text()
    Path("net.py").write_text(f"{code}# edited\n")
    with pytest.raises(VerificationError, match=r"the code of net\.py:net is not what study 'small' was trained with"):
        again(0)
    Path("net.py").write_text(code)
    with sqlite3.connect("studies.db") as connection:
        (text,) = connection.execute("SELECT data FROM tuner_studies").fetchone()
        other = {**json.loads(text), "fingerprint": "0" * 64}
        connection.execute("UPDATE tuner_studies SET data = ?", (json.dumps(other),))
    with pytest.raises(VerificationError, match="the data of study 'small' is not what it was trained on"):
        again(0)


def test_a_trial_that_is_not_there_or_never_trained_cannot_be_reproduced() -> None:
    with pytest.raises(NotFoundError):
        again(0)
    run("search.trials=1")
    with pytest.raises(NotFoundError, match="no trial 7"):
        again(7)
