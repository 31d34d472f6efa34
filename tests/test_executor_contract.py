"""What a driver may rely on from every executor, and what a death on either side of the pipe does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuner.config.schema import TrialConfig
from tuner.errors import DataError, NotFoundError, VerificationError
from tuner.execution import processes
from tuner.execution.inline import InlineExecutor
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import EvaluateRequest, Event, Executor, PrepareRequest, WorkerLost
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob

DEADLINE_S = 60.0

MODEL = """
import os
import signal
import threading
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs, say="", fifo="", fail=False, forks="", eats=False):
        super().__init__()
        self.say, self.fifo, self.fail, self.forks, self.eats = say, fifo, fail, forks, eats
        self.head = nn.Linear(input_shape[0], n_outputs)
    def forward(self, x):
        if self.say and self.training:
            print(self.say)
            os.write(2, b"written by C code\\n")
        if self.eats and self.training:
            raise torch.OutOfMemoryError("out of memory")
        if self.forks and self.training:
            child = os.fork()
            if not child:
                while True:
                    signal.pause()
            with open(self.forks, "w") as file:
                file.write(str(child))
        if self.fifo and self.training:
            open(self.fifo, "w").close()  # returns when the test has opened its end
            threading.Event().wait()
        if self.fail and self.training:
            raise ValueError("it fails")
        return self.head(x)

def broken_data():
    return [(torch.ones(3), 0.5), (torch.ones(3), 1.5)]

def own(config, state):
    try:
        for epoch in range(state["epoch"] if state else 0, config["epochs"]):
            print("own code trains")
            if config["fifo"]:
                open(config["fifo"], "w").close()
                threading.Event().wait()
            yield {"accuracy": torch.rand(())}, {"epoch": epoch + 1}
    finally:
        print("own code was closed")
"""


def config_of(**sections: dict[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "objective": {"metric": "accuracy"},
            "data": {"kind": "iris", "batch_size": 16},
            "model": {"kind": "mlp", "depth": 1, "width": 8, "dropout": 0.1},
            "loss": {"kind": "auto"},
            "optimizer": {"kind": "adam", "lr": 0.02},
            "schedule": {"kind": "constant"},
            "train": {"epochs": 3, "device": "cpu"},
            **sections,
        }
    )


def own_config(fifo: str = "") -> TrialConfig:
    train = {"kind": "python", "target": "mine.py:own", "epochs": 3, "device": "cpu", "options": {"fifo": fifo}}
    return TrialConfig.model_validate({"objective": {"metric": "accuracy"}, "train": train})


def python_model(**options: object) -> dict[str, Any]:
    return {"kind": "python", "target": "mine.py:Net", "options": options}


class Place:
    """A folder for the runs of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(MODEL)

    def request(self, config: TrialConfig | None = None) -> PrepareRequest:
        config = config or config_of()
        return PrepareRequest(
            config=config, metric="accuracy", seed=0, base_dir=self.folder, data_dir=self.folder / "data", threads=1
        )

    def job(self, trial: int = 0, config: TrialConfig | None = None, *, attempt: int = 1) -> TrainJob:
        return TrainJob(
            trial=trial,
            attempt=attempt,
            seed=5,
            config=config or config_of(),
            metric="val/accuracy",
            maximize=True,
            checkpoints=(),
            folder=self.folder / str(trial),
            base_dir=self.folder,
            threads=1,
            device="cpu",
        )

    def hung_job(self, trial: int = 0, **options: object) -> tuple[TrainJob, Callable[[], None]]:
        """A job that hangs in its first batch for ever, and what waits until it does."""
        fifo = self.folder / f"fifo-{trial}"
        os.mkfifo(fifo)

        def wait_until_it_hangs() -> None:
            fifo.read_bytes()

        return self.job(trial, config_of(model=python_model(fifo=str(fifo), **options))), wait_until_it_hangs


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def shared_processes() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    executor.start()
    yield executor
    executor.close()


@pytest.fixture(params=("inline", "processes"))
def executor(request: pytest.FixtureRequest) -> Executor:
    return InlineExecutor() if request.param == "inline" else request.getfixturevalue("shared_processes")


@pytest.fixture
def workers(shared_processes: ProcessExecutor) -> ProcessExecutor:
    return shared_processes


def next_event(executor: Executor) -> Event:
    deadline = time.monotonic() + DEADLINE_S
    events: Sequence[Event] = []
    while not events and time.monotonic() < deadline:
        events = executor.wait(deadline - time.monotonic())
    assert len(events) == 1, f"no event in {DEADLINE_S} s, or several: {events}"
    return events[0]


def run(executor: Executor, job: TrainJob, *, last: Decision = Decision.CONTINUE, at: int = 99) -> list[Event]:
    """Every event of a job, which is told `last` after epoch `at`."""
    executor.submit([job])
    events = [next_event(executor)]
    while isinstance(event := events[-1], EpochEnd):
        executor.reply(job.trial, last if event.epoch == at else Decision.CONTINUE)
        events.append(next_event(executor))
    return events


def ended(events: list[Event]) -> tuple[list[int], Outcome]:
    last = events[-1]
    assert isinstance(last, TrialEnd), last
    return [event.epoch for event in events if isinstance(event, EpochEnd)], last.outcome


def saved_by(events: list[Event]) -> tuple[Checkpoint, ...]:
    saved = [event.checkpoint for event in events if isinstance(event, EpochEnd)]
    return tuple(item for item in reversed(saved) if item is not None)


# --------------------------------------------------------------------------------------------------------- the contract


def test_prepare_tells_about_the_data(executor: Executor, place: Place) -> None:
    info = executor.prepare(place.request())
    assert (info.kind, info.task, info.input_shape, info.n_targets) == ("iris", "classification", (4,), 3)
    assert (info.n_train, info.n_val, info.n_test) == (120, 15, 15)


def test_a_refusal_keeps_its_type_and_its_whole_message(executor: Executor, place: Place) -> None:
    data = {"kind": "python", "target": "mine.py:broken_data"}
    with pytest.raises(DataError) as caught:
        executor.prepare(place.request(config_of(data=data)))
    assert str(caught.value) == (
        "mine.py:broken_data: item 0: label 0.5; expected whole numbers from 0 to K-1, each class with rows of its own "
        "(2 of 2 items); number the classes 0, 1, ..., or take a regression metric"
    )
    with pytest.raises(NotFoundError, match=r"nowhere\.csv"):
        executor.prepare(place.request(config_of(data={"kind": "csv", "path": "nowhere.csv", "target": "y"})))
    assert executor.prepare(place.request()).n_train == 120  # it goes on serving


def test_a_job_reports_its_epochs_in_order_and_then_its_end(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    assert executor.n_free() == 1
    events = run(executor, place.job(7, attempt=2))
    assert ended(events) == ([1, 2, 3], Outcome.COMPLETED)
    assert {(event.trial, event.attempt) for event in events} == {(7, 2)}
    first = events[0]
    assert isinstance(first, EpochEnd)
    assert set(first.metrics) == {"train/loss", "val/loss", "val/accuracy", "val/balanced_accuracy"}
    assert executor.n_free() == 1


def test_a_slot_is_taken_until_the_end(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    executor.submit([place.job()])
    assert executor.n_free() == 0
    assert isinstance(next_event(executor), EpochEnd)
    assert executor.n_free() == 0
    executor.reply(0, Decision.STOP)
    assert isinstance(next_event(executor), TrialEnd)
    assert executor.n_free() == 1


def test_nothing_happens_before_the_reply(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    executor.submit([place.job()])
    first = next_event(executor)
    assert executor.wait(0.0) == []
    executor.reply(0, Decision.CONTINUE)
    second = next_event(executor)
    assert isinstance(first, EpochEnd)
    assert isinstance(second, EpochEnd)
    assert (first.epoch, second.epoch) == (1, 2)
    executor.reply(0, Decision.STOP)
    next_event(executor)


def test_without_a_job_waiting_returns_at_once(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    assert executor.wait(None) == []


@pytest.mark.parametrize(
    ("decision", "outcome"), ((Decision.PAUSE, Outcome.PAUSED), (Decision.STOP, Outcome.STOPPED)), ids=str
)
def test_a_job_obeys_the_decision(executor: Executor, place: Place, decision: Decision, outcome: Outcome) -> None:
    executor.prepare(place.request())
    assert ended(run(executor, place.job(), last=decision, at=2)) == ([1, 2], outcome)


def test_a_paused_job_goes_on_from_its_checkpoint_with_the_same_numbers(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    straight = run(executor, place.job(1))
    paused = run(executor, place.job(0), last=Decision.PAUSE, at=1)
    resumed = run(executor, replace(place.job(0, attempt=2), checkpoints=saved_by(paused)))
    assert ended(resumed) == ([2, 3], Outcome.COMPLETED)
    assert [item.sha256 for item in saved_by(resumed)] == [item.sha256 for item in saved_by(straight)[:2]]


def test_a_second_job_follows_the_first(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    assert ended(run(executor, place.job(0)))[1] is Outcome.COMPLETED
    assert ended(run(executor, place.job(1)))[1] is Outcome.COMPLETED


def test_an_aborted_job_ends_at_its_next_batch_and_the_next_job_is_not_affected(
    executor: Executor, place: Place
) -> None:
    executor.prepare(place.request())
    executor.submit([place.job()])
    assert isinstance(next_event(executor), EpochEnd)
    executor.abort()
    executor.reply(0, Decision.CONTINUE)
    end = next_event(executor)
    assert isinstance(end, TrialEnd)
    assert end.outcome is Outcome.ABORTED
    assert ended(run(executor, place.job(1))) == ([1, 2, 3], Outcome.COMPLETED)


def test_an_abort_that_follows_a_job_at_once_is_heard(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    for trial in range(5):
        executor.submit([place.job(trial, config_of(train={"epochs": 5000, "device": "cpu"}))])
        executor.abort()
        end = next_event(executor)
        if isinstance(end, EpochEnd):  # an epoch of this takes 2 ms: the abort was on its way
            executor.reply(trial, Decision.CONTINUE)
            end = next_event(executor)
        assert isinstance(end, TrialEnd), "it trained another epoch"
        assert end.outcome is Outcome.ABORTED


def test_a_crash_is_reported_and_the_executor_goes_on(executor: Executor, place: Place) -> None:
    executor.prepare(place.request())
    events = run(executor, place.job(0, config_of(model=python_model(fail=True))))
    assert ended(events) == ([], Outcome.CRASHED)
    end = events[-1]
    assert isinstance(end, TrialEnd)
    line = next(n for n, text in enumerate(MODEL.splitlines(), start=1) if "it fails" in text)
    assert end.message == f"ValueError: it fails, in {place.folder / 'mine.py'}:{line}"
    assert ended(run(executor, place.job(1)))[1] is Outcome.COMPLETED


def test_stored_weights_evaluate_to_exactly_the_value_of_their_epoch(executor: Executor, place: Place) -> None:
    request = place.request()
    executor.prepare(request)
    events = run(executor, place.job())
    job = replace(place.job(), checkpoints=saved_by(events))
    weights = place.folder / "weights.pt"
    evaluation = executor.evaluate(EvaluateRequest(prepare=request, job=job, epoch=3, weights=weights))
    last = events[-2]
    assert isinstance(last, EpochEnd)
    assert {name: evaluation.metrics[name] for name in last.metrics if name != "train/loss"} == {
        name: value for name, value in last.metrics.items() if name != "train/loss"
    }
    assert evaluation.n_outputs == 3
    assert weights.is_file()
    (job.folder / "epoch-00003.pt").write_bytes(b"")
    with pytest.raises(VerificationError, match="the weights of trial 0 cannot be trusted"):
        executor.evaluate(EvaluateRequest(prepare=request, job=job, epoch=3, weights=weights))


def test_both_executors_give_the_same_weights(workers: ProcessExecutor, place: Place) -> None:
    hashes = []
    executors: tuple[Executor, ...] = (InlineExecutor(), workers)
    for trial, executor in enumerate(executors):
        executor.prepare(place.request())
        hashes.append([item.sha256 for item in saved_by(run(executor, place.job(trial)))])
    assert hashes[0] == hashes[1]


def test_own_training_code_is_a_job_like_all_others(executor: Executor, place: Place) -> None:
    assert executor.prepare(place.request(own_config())).kind == "none"
    unbroken = run(executor, place.job(0, own_config()))
    assert ended(unbroken) == ([1, 2, 3], Outcome.COMPLETED)
    first = run(executor, place.job(1, own_config()), last=Decision.PAUSE, at=1)
    assert ended(first) == ([1], Outcome.PAUSED)
    rest = run(executor, replace(place.job(1, own_config(), attempt=2), checkpoints=saved_by(first)))
    assert ended(rest) == ([2, 3], Outcome.COMPLETED)
    assert [item.sha256 for item in (*saved_by(rest), *saved_by(first))] == [item.sha256 for item in saved_by(unbroken)]


def test_several_jobs_of_own_training_code_run_one_after_another(executor: Executor, place: Place) -> None:
    executor.prepare(place.request(own_config()))
    executor.submit([place.job(trial, own_config()) for trial in (4, 5)])
    seen: list[tuple[int, int]] = []
    while not executor.n_free():
        for vacancy in executor.vacancies():
            executor.refill(vacancy.slot, [])
        for event in executor.wait(DEADLINE_S):
            if isinstance(event, EpochEnd):
                seen.append((event.trial, event.epoch))
                executor.reply(event.trial, Decision.CONTINUE)
    assert seen == [(4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (5, 3)]


# -------------------------------------------------------------------------------------------------------- the processes


def test_own_training_code_that_hangs_is_killed_when_its_grace_after_an_abort_is_over(
    workers: ProcessExecutor, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "ABORT_GRACE_S", 0.2)
    workers.prepare(place.request(own_config()))
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    workers.submit([place.job(0, own_config(str(fifo)))])
    fifo.read_bytes()
    workers.abort()
    assert isinstance(next_event(workers), WorkerLost)
    assert ended(run(workers, place.job(1, own_config()))) == ([1, 2, 3], Outcome.COMPLETED)
    log = (place.folder / "1" / "log.txt").read_text()
    assert log.count("own code trains\n") == 3
    assert log.count("own code was closed\n") == 1


def test_what_a_trial_prints_goes_to_its_log(
    workers: ProcessExecutor, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    workers.prepare(place.request())
    run(workers, place.job(0, config_of(model=python_model(say="hello from the model"))))
    log = (place.folder / "0" / "log.txt").read_text()
    assert "hello from the model" in log
    assert "written by C code" in log
    assert capfd.readouterr() == ("", "")


def kill(executor: ProcessExecutor) -> None:
    pid = executor._workers[0].process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_a_worker_that_is_killed_in_an_epoch_is_reported_and_replaced(workers: ProcessExecutor, place: Place) -> None:
    workers.prepare(place.request())
    job, wait_until_it_hangs = place.hung_job(4)
    workers.submit([replace(job, attempt=2)])
    wait_until_it_hangs()
    kill(workers)
    assert next_event(workers) == WorkerLost(
        trial=4, attempt=2, message="the worker process was killed by SIGKILL (out of memory?)"
    )
    assert workers.n_free() == 1
    assert ended(run(workers, place.job(5))) == ([1, 2, 3], Outcome.COMPLETED)


def test_a_worker_that_is_silent_for_longer_than_an_epoch_may_take_is_ended_and_its_log_says_where(
    workers: ProcessExecutor, place: Place
) -> None:
    workers.prepare(place.request())
    job, wait_until_it_hangs = place.hung_job(6)
    train = job.config.train.model_copy(update={"epoch_timeout": 1.0})
    workers.submit([replace(job, config=job.config.model_copy(update={"train": train}))])
    wait_until_it_hangs()
    message = "the worker process was ended: nothing was heard of it for 1 s (train.epoch_timeout)"
    assert next_event(workers) == WorkerLost(trial=6, attempt=1, message=message, has_hung=True)
    log = (place.folder / "6" / "log.txt").read_text()
    assert "in forward" in log
    assert "mine.py" in log
    assert ended(run(workers, place.job(7))) == ([1, 2, 3], Outcome.COMPLETED)


def test_a_killed_worker_is_lost_although_a_process_that_it_forked_lives_on(
    workers: ProcessExecutor, place: Place
) -> None:
    workers.prepare(place.request())
    file = place.folder / "child"
    job, wait_until_it_hangs = place.hung_job(forks=str(file))
    workers.submit([job])
    wait_until_it_hangs()
    child = int(file.read_text())
    try:
        kill(workers)
        assert isinstance(next_event(workers), WorkerLost)
        assert ended(run(workers, place.job(1))) == ([1, 2, 3], Outcome.COMPLETED)
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_ran_out_of_memory_gets_a_fresh_process_for_its_next_job(workers: ProcessExecutor, place: Place) -> None:
    workers.prepare(place.request())
    before = workers._workers[0].process.pid
    assert ended(run(workers, place.job(0, config_of(model=python_model(eats=True))))) == ([], Outcome.OOM)
    assert ended(run(workers, place.job(1))) == ([1, 2, 3], Outcome.COMPLETED)
    after = workers._workers[0].process.pid
    assert after != before
    assert ended(run(workers, place.job(2))) == ([1, 2, 3], Outcome.COMPLETED)
    assert workers._workers[0].process.pid == after


def test_a_replaced_worker_that_has_trained_can_still_be_asked(workers: ProcessExecutor, place: Place) -> None:
    workers.prepare(place.request())
    job, wait_until_it_hangs = place.hung_job()
    workers.submit([job])
    wait_until_it_hangs()
    kill(workers)
    next_event(workers)
    run(workers, place.job(1))
    assert "torch" in workers.machine().versions
    assert workers.prepare(place.request()).n_train == 120


def test_a_job_sent_to_a_dead_worker_is_reported_as_lost(workers: ProcessExecutor, place: Place) -> None:
    workers.prepare(place.request())
    process = workers._workers[0].process
    kill(workers)
    process.join(DEADLINE_S)
    workers.submit([place.job()])
    assert isinstance(next_event(workers), WorkerLost)
    assert ended(run(workers, place.job()))[1] is Outcome.COMPLETED


def test_a_model_that_hangs_is_killed_when_its_grace_after_an_abort_is_over(
    workers: ProcessExecutor, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "ABORT_GRACE_S", 0.2)
    workers.prepare(place.request())
    job, wait_until_it_hangs = place.hung_job()
    workers.submit([job])
    wait_until_it_hangs()
    assert workers.wait(0.0) == []
    workers.abort()
    lost = next_event(workers)
    assert isinstance(lost, WorkerLost)
    assert (lost.trial, lost.message) == (0, "the worker process was killed by SIGKILL (out of memory?)")
    assert ended(run(workers, place.job(1))) == ([1, 2, 3], Outcome.COMPLETED)


def test_a_worker_that_dies_at_the_end_of_its_grace_is_lost_once(
    workers: ProcessExecutor, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.prepare(place.request())
    job, wait_until_it_hangs = place.hung_job()
    workers.submit([job])
    wait_until_it_hangs()
    process = workers._workers[0].process
    kill(workers)
    process.join(DEADLINE_S)
    monkeypatch.setattr(processes, "ABORT_GRACE_S", 0.0)
    workers.abort()
    assert isinstance(next_event(workers), WorkerLost)
    assert workers.wait(0.0) == []


def test_several_workers_train_at_once_with_the_numbers_of_one(workers: ProcessExecutor, place: Place) -> None:
    workers.prepare(place.request())
    alone = [item.sha256 for item in saved_by(run(workers, place.job(9)))]
    workers.grow(2)
    try:
        workers.submit([place.job(0)])
        workers.submit([place.job(1)])
        assert workers.n_free() == 0
        events: dict[int, list[Event]] = {0: [], 1: []}
        while not all(trial and isinstance(trial[-1], TrialEnd) for trial in events.values()):
            for event in workers.wait(DEADLINE_S):
                events[event.trial].append(event)
                if isinstance(event, EpochEnd):
                    workers.reply(event.trial, Decision.CONTINUE)
        assert [[item.sha256 for item in saved_by(trial)] for trial in events.values()] == [alone, alone]
    finally:
        workers._workers.pop().end()


# ---------------------------------------------------------------------------------------------------- drivers' own fate

SCRIPT = """
# A user's script without `if __name__ == "__main__"`.
import os, sys
from pathlib import Path
from tuner.config.schema import TrialConfig
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import PrepareRequest
from tuner.training.events import Decision, EpochEnd
from tuner.training.job import TrainJob

here = Path(sys.argv[1])
with (here / "runs").open("a") as file:
    file.write("run\\n")
config = TrialConfig.model_validate_json((here / "config.json").read_text())
executor = ProcessExecutor()
executor.prepare(PrepareRequest(
    config=config, metric="accuracy", seed=0, base_dir=here, data_dir=here / "data", threads=1
))
executor.submit([TrainJob(
    trial=0, attempt=1, seed=5, config=config, metric="val/accuracy", maximize=True, checkpoints=(),
    folder=here / "0", base_dir=here, threads=1, device="cpu",
)])
print(executor._workers[0].process.pid, flush=True)
event = executor.wait(60)[0]
while isinstance(event, EpochEnd):
    executor.reply(0, Decision.CONTINUE)
    event = executor.wait(60)[0]
print(event.outcome, sorted({"torch", "sklearn", "pandas"} & set(sys.modules)))
"""

DATA = """
import torch
print("printed by the user's dataset")

def data():
    return [(torch.tensor([float(i % 2), 1.0]), i % 2) for i in range(40)]
"""


def script(folder: Path, config: TrialConfig) -> list[str]:
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "script.py").write_text(SCRIPT)
    (folder / "mine.py").write_text(textwrap.dedent(MODEL))
    (folder / "own.py").write_text(DATA)
    return [sys.executable, "-W", "error", str(folder / "script.py"), str(folder)]


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once_loads_no_torch_and_owns_its_output(tmp_path: Path) -> None:
    config = config_of(data={"kind": "python", "target": "own.py:data", "batch_size": 8})
    done = subprocess.run(script(tmp_path, config), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["completed []"]
    assert "printed by the user's dataset" in done.stderr
    assert (tmp_path / "runs").read_text() == "run\n"  # and it ended, though it never closed its executor


@pytest.mark.slow
def test_workers_die_with_a_driver_that_is_killed_whatever_they_are_doing(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    config = config_of(model=python_model(fifo=str(fifo)))
    with subprocess.Popen(script(tmp_path, config), stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = os.pidfd_open(int(driver.stdout.readline()))
        fifo.read_bytes()
        assert select.select([worker], [], [], 0.0)[0] == []  # readable when the process has ended
        driver.kill()
        assert select.select([worker], [], [], 2.0)[0] == [worker]
    os.close(worker)
