"""Workers that say nothing: what ends them, what only tells of them, and what a search makes of one that hangs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tuner.config.schema import TrialConfig
from tuner.config.spec import load
from tuner.errors import ConfigError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.watch import LOOK_EVERY_S, Finding, Watch, busy_seconds
from tuner.study.queries import StudyReader
from tuner.training.events import EpochEnd
from tuner.training.job import TrainJob
from tuner.workflows.progress import Note, Progress
from tuner.workflows.search import SearchRequest, search

HOUR_S = 3600.0


class Machine:
    """A clock and a worker's computing time, which the test moves."""

    def __init__(self, share: float) -> None:
        self.now = 0.0
        self.share: float | None = share
        """Of a core that the worker keeps busy; None where the system does not say."""

    def busy_s(self, pid: int) -> float | None:
        del pid
        return None if self.share is None else self.now * self.share

    def watch(self) -> Watch:
        watch = Watch(clock=lambda: self.now, busy_s=self.busy_s)
        watch.begin()
        return watch

    def look_for(self, watch: Watch, jobs: list[TrainJob], seconds: float) -> list[tuple[float, Finding]]:
        """All that is found while somebody looks for so long, or until the worker is ended."""
        found: list[tuple[float, Finding]] = []
        end = self.now + seconds
        while self.now < end:
            self.now += LOOK_EVERY_S
            finding = watch.look(1, jobs)
            found += [(self.now, finding)] if finding else []
            if finding and finding.ends:
                break
        return found


def job(tmp_path: Path, **train: Any) -> TrainJob:
    is_own = train.get("kind") == "python"
    data = {} if is_own else {"data": {"kind": "iris"}, "model": {"kind": "mlp"}, "loss": {"kind": "auto"}}
    data |= {} if is_own else {"optimizer": {"kind": "adam"}, "schedule": {"kind": "constant"}}
    sections = {"objective": {"metric": "accuracy", "direction": "maximize"}, **data, "train": {"epochs": 3, **train}}
    return TrainJob(
        trial=0,
        attempt=1,
        seed=0,
        config=TrialConfig.model_validate(sections),
        metric="val/accuracy",
        maximize=True,
        checkpoints=(),
        folder=tmp_path,
        base_dir=tmp_path,
        threads=1,
        device="cpu",
    )


def epoch(seconds: float) -> EpochEnd:
    return EpochEnd(trial=0, attempt=1, epoch=1, metrics={}, seconds=seconds, checkpoint=None)


def test_a_worker_that_computes_is_never_ended_and_is_told_of_once(tmp_path: Path) -> None:
    machine = Machine(share=0.02)
    found = machine.look_for(machine.watch(), [job(tmp_path)], 48 * HOUR_S)
    assert [(at, finding.ends) for at, finding in found] == [(600.0, False)]
    assert "nothing was heard of it for 600 s; it is computing; `train.epoch_timeout`" in found[0][1].message


def test_a_worker_that_does_nothing_for_half_an_hour_is_ended(tmp_path: Path) -> None:
    machine = Machine(share=0.0005)  # loader processes that look now and then
    watch = machine.watch()
    watch.heard([epoch(2.0)])
    found = machine.look_for(watch, [job(tmp_path)], 48 * HOUR_S)
    assert [finding.ends for _, finding in found] == [False, True]
    assert found[-1][0] == pytest.approx(1800.0, abs=60.0)
    assert found[-1][1].message.endswith("and it did nothing")


def test_before_its_first_epoch_it_may_wait_for_the_data_and_is_only_told_of(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    assert [finding.ends for _, finding in machine.look_for(machine.watch(), [job(tmp_path)], 48 * HOUR_S)] == [False]


def test_one_whose_epochs_take_long_is_given_twenty_of_them(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    watch = machine.watch()
    watch.heard([epoch(HOUR_S)])
    assert not machine.look_for(watch, [job(tmp_path)], 19 * HOUR_S)
    (_, told), (_, ended) = machine.look_for(watch, [job(tmp_path)], 2 * HOUR_S)
    assert (told.ends, ended.ends) == (False, True)


def test_own_training_code_may_wait_for_others_and_is_only_told_of(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    own = job(tmp_path, kind="python", target="mine.py:run")
    watch = machine.watch()
    watch.heard([epoch(2.0)])
    found = machine.look_for(watch, [own], 48 * HOUR_S)
    assert [finding.ends for _, finding in found] == [False]
    assert "it is idle" in found[0][1].message


def test_where_the_system_does_not_say_who_computes_nobody_is_ended(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    machine.share = None
    watch = machine.watch()
    watch.heard([epoch(2.0)])
    assert [finding.ends for _, finding in machine.look_for(watch, [job(tmp_path)], 48 * HOUR_S)] == [False]


def test_time_in_which_nobody_looks_is_no_silence(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    watch, limited = machine.watch(), job(tmp_path, epoch_timeout=60.0)
    machine.now += 5 * HOUR_S  # the driver was suspended, and its workers with it
    assert watch.look(1, [limited]) is None
    assert watch.look(1, [job(tmp_path)]) is None


def test_a_limit_in_seconds_ends_any_worker_and_lanes_have_it_together(tmp_path: Path) -> None:
    machine = Machine(share=1.0)
    limited = job(tmp_path, epoch_timeout=60.0)
    ((at, finding),) = machine.look_for(machine.watch(), [limited], HOUR_S)
    assert (at, finding) == (60.0, Finding(message="nothing was heard of it for 60 s (train.epoch_timeout)", ends=True))
    machine = Machine(share=1.0)
    assert machine.look_for(machine.watch(), [limited, limited], HOUR_S)[0][0] == 120.0
    machine = Machine(share=1.0)
    assert machine.watch().next_look_s([job(tmp_path, epoch_timeout=2.0)]) == 2.0


def test_never_means_never(tmp_path: Path) -> None:
    machine = Machine(share=0.0)
    assert machine.look_for(machine.watch(), [job(tmp_path, epoch_timeout="never")], 48 * HOUR_S) == []


def test_computing_time_is_that_of_a_process_and_its_children() -> None:
    before = busy_seconds(os.getpid())
    assert before is not None
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    after = busy_seconds(os.getpid())
    assert after is not None
    assert after - before >= 0.05
    assert busy_seconds(os.getpid(), Path("/nowhere")) is None


def test_a_limit_is_not_searched_and_changes_no_trial(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("data: {kind: iris}\nspace: {optimizer.lr: {low: 0.1, high: 0.2}}\n")
    spec = load(path)
    assert spec.differences(load(path, sets=["train.epoch_timeout=60"])) == []
    with pytest.raises(ConfigError, match=r"space\.train\.epoch_timeout: cannot be varied"):
        load(path, sets=["space.train.epoch_timeout={low: 1, high: 2}"])


HANGS = """
import pathlib, threading

def run(config, state):
    for epoch in range((state or {"epoch": 0})["epoch"] + 1, config["epochs"] + 1):
        mark = pathlib.Path(config["folder"]) / "hung"
        if epoch == 3 and not mark.exists():
            mark.touch()
            threading.Event().wait()
        yield {"accuracy": epoch / 10}, {"epoch": epoch}
"""
SPACE = """
study: hangs
objective: {metric: accuracy, direction: maximize}
train: {kind: python, target: "mine.py:run", epochs: 4, epoch_timeout: 3}
search: {pruner: none}
"""


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.said.append(progress.message)


@pytest.mark.slow
def test_a_trial_that_hangs_is_told_ended_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(HANGS)
    Path("hangs.yaml").write_text(SPACE)
    notes = Notes()
    search(SearchRequest(space="hangs.yaml"), notes, ProcessExecutor())
    (said,) = [text for text in notes.said if "nothing was heard" in text]
    assert said == (
        "trial 0: the worker process was ended: nothing was heard of it for 3 s (train.epoch_timeout); trying again "
        "(1 of 2)"
    )
    reader = StudyReader.open("sqlite:///studies.db")
    found = reader.trial(reader.study("hangs"), 0)
    assert (found.row.state.value, found.row.value, found.row.epochs) == ("complete", 0.4, 4)
    assert [(item.outcome, item.first_epoch) for item in found.attempts] == [("hung", 1), ("completed", 3)]
    assert 'mine.py", line 9 in run' in Path("runs/hangs/0/log.txt").read_text()  # where it hung
