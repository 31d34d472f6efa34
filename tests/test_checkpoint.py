"""Checkpoints: whole or refused, never executed, and never the reason for other numbers."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner import faults
from tuner.config.schema import TrialConfig
from tuner.execution.protocol import PrepareRequest
from tuner.execution.runner import Runner
from tuner.training import checkpoint as checkpoints
from tuner.training.checkpoint import CorruptCheckpointError
from tuner.training.checkpoint_files import retain
from tuner.training.events import Checkpoint, Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob

CPU = torch.device("cpu")
PAYLOAD = {"epoch": 3, "model": {"weight": torch.arange(100.0)}, "best": {"epoch": 3, "value": 0.5}}


@pytest.fixture(autouse=True)
def _no_faults() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    faults.arm("")


# ------------------------------------------------------------------------------------------------------------- one file


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = checkpoints.save(tmp_path, 3, PAYLOAD)
    content = (tmp_path / "epoch-00003.pt").read_bytes()
    assert saved == Checkpoint(
        epoch=3, file="epoch-00003.pt", sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    loaded = checkpoints.load(tmp_path, saved, CPU)
    assert torch.equal(loaded["model"]["weight"], torch.arange(100.0))
    assert (loaded["epoch"], loaded["best"]) == (3, {"epoch": 3, "value": 0.5})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00003.pt"]


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    saved = checkpoints.save(tmp_path, 3, PAYLOAD)
    path = tmp_path / saved.file
    content = path.read_bytes()
    for position in np.linspace(0, len(content) - 1, 60).astype(int):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CorruptCheckpointError, match="its checksum is not the recorded one"):
            checkpoints.load(tmp_path, saved, CPU)


@pytest.mark.parametrize("size", (0, 1, 1000))
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, size: int) -> None:
    saved = checkpoints.save(tmp_path, 3, PAYLOAD)
    os.truncate(tmp_path / saved.file, size)
    with pytest.raises(CorruptCheckpointError, match="checksum"):
        checkpoints.load(tmp_path, saved, CPU)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    saved = replace(checkpoints.save(tmp_path, 3, PAYLOAD), file="epoch-00004.pt")
    with pytest.raises(CorruptCheckpointError, match=r"epoch-00004.pt: No such file or directory"):
        checkpoints.load(tmp_path, saved, CPU)


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("form", ("pickle", "torch"))
def test_pickled_code_is_refused_and_not_run_even_when_its_checksum_is_recorded(tmp_path: Path, form: str) -> None:
    proof, path = tmp_path / "proof", tmp_path / "epoch-00003.pt"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Hostile(proof), protocol=2))
    else:
        torch.save({"epoch": 3, "model": Hostile(proof)}, path)
    content = path.read_bytes()
    hostile = Checkpoint(epoch=3, file=path.name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    with pytest.raises(CorruptCheckpointError, match=r"epoch-00003.pt: "):
        checkpoints.load(tmp_path, hostile, CPU)
    assert not proof.exists()
    # The file is armed: without the guard it would have acted.
    torch.load(path, weights_only=False) if form == "torch" else pickle.loads(content)  # noqa: S301
    assert proof.exists()


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    old = checkpoints.save(tmp_path, 2, PAYLOAD)
    faults.arm("checkpoint_written:enospc")
    with pytest.raises(OSError, match="No space left on device"):
        checkpoints.save(tmp_path, 3, PAYLOAD)
    assert [path.name for path in tmp_path.iterdir()] == [old.file]
    assert checkpoints.load(tmp_path, old, CPU)["epoch"] == 3


def test_a_failed_rewrite_of_an_epoch_leaves_its_first_checkpoint(tmp_path: Path) -> None:
    old = checkpoints.save(tmp_path, 3, PAYLOAD)
    faults.arm("checkpoint_written:raise")
    with pytest.raises(faults.InjectedFaultError):
        checkpoints.save(tmp_path, 3, {"epoch": 0})
    assert checkpoints.load(tmp_path, old, CPU)["epoch"] == 3


def test_retaining_deletes_other_checkpoints_and_leftovers_but_no_other_file(tmp_path: Path) -> None:
    names = ("epoch-00001.pt", "epoch-00002.pt", ".epoch-00003.pt.tmp", "log.txt", "epochs.pt", "notes.tmp")
    for name in names:
        (tmp_path / name).touch()
    retain(tmp_path, [2])
    assert {path.name for path in tmp_path.iterdir()} == {"epoch-00002.pt", "log.txt", "epochs.pt", "notes.tmp"}
    retain(tmp_path / "missing", [2])


# ------------------------------------------------------------------------------------------------------------- resuming


CONFIG = TrialConfig.model_validate(
    {
        "objective": {"metric": "loss"},
        "data": {"kind": "iris", "batch_size": 16},
        "model": {"kind": "mlp", "depth": 1, "width": 8, "dropout": 0.2},
        "loss": {"kind": "auto"},
        "optimizer": {"kind": "adamw", "lr": 0.01},
        "schedule": {"kind": "cosine"},
        "train": {"epochs": 6, "device": "cpu"},
    }
)


def job_in(folder: Path, *, config: TrialConfig = CONFIG, done: tuple[Checkpoint, ...] = ()) -> TrainJob:
    return TrainJob(
        trial=0,
        attempt=1,
        seed=5,
        config=config,
        metric=f"val/{config.objective.metric}",
        maximize=config.objective.metric == "accuracy",
        checkpoints=tuple(sorted(done, key=lambda item: -item.epoch)),
        folder=folder,
        base_dir=folder,
        threads=1,
        device="cpu",
    )


def train(job: TrainJob, last_epoch: int = 99) -> tuple[list[EpochEnd], TrialEnd]:
    """Train until the driver's word to pause after `last_epoch`."""
    runner = Runner(lambda: False)
    data_dir = job.folder.parent / "data"
    runner.prepare(
        PrepareRequest(
            config=job.config, metric=job.metric[4:], seed=0, base_dir=job.base_dir, data_dir=data_dir, threads=1
        )
    )
    run = runner.run(job)
    ends = []
    try:
        end = next(run)
        while True:
            ends.append(end)
            end = run.send(Decision.PAUSE if end.epoch == last_epoch else Decision.CONTINUE)
    except StopIteration as stop:
        return ends, stop.value


def saved_by(ends: list[EpochEnd]) -> tuple[Checkpoint, ...]:
    return tuple(end.checkpoint for end in ends if end.checkpoint is not None)


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.fixture
def straight(tmp_path: Path) -> list[EpochEnd]:
    return train(job_in(tmp_path / "straight"))[0]


def assert_goes_on_identically(straight: list[EpochEnd], folder: Path, done: list[EpochEnd], first: int) -> str:
    """Resume from what `done` recorded; the numbers from epoch `first` on, the last weights and the log."""
    ends, end = train(job_in(folder, done=saved_by(done)))
    assert end.outcome is Outcome.COMPLETED
    assert [end.epoch for end in ends] == list(range(first, 7))
    assert [end.metrics for end in ends] == [end.metrics for end in straight[first - 1 :]]
    # torch.save is deterministic, so equal states are equal files.
    assert [item.sha256 for item in saved_by(ends)] == [item.sha256 for item in saved_by(straight[first - 1 :])]
    return (folder / "log.txt").read_text()


def test_a_whole_checkpoint_is_resumed_from(tmp_path: Path, straight: list[EpochEnd]) -> None:
    done, end = train(job_in(tmp_path / "job"), last_epoch=3)
    assert end.outcome is Outcome.PAUSED
    log = assert_goes_on_identically(straight, tmp_path / "job", done, first=4)
    assert "resumed after epoch 3" in log


def test_a_corrupt_checkpoint_falls_back_to_the_one_before_and_says_so(
    tmp_path: Path, straight: list[EpochEnd]
) -> None:
    done, _ = train(job_in(tmp_path / "job"), last_epoch=3)
    spoil(tmp_path / "job" / "epoch-00003.pt")
    log = assert_goes_on_identically(straight, tmp_path / "job", done, first=3)
    assert "epoch-00003.pt: its checksum is not the recorded one; trying the one before it" in log
    assert "resumed after epoch 2" in log


def test_without_any_whole_checkpoint_training_starts_from_scratch_and_says_so(
    tmp_path: Path, straight: list[EpochEnd]
) -> None:
    done, _ = train(job_in(tmp_path / "job"), last_epoch=3)
    spoil(tmp_path / "job" / "epoch-00003.pt")
    (tmp_path / "job" / "epoch-00002.pt").unlink()
    log = assert_goes_on_identically(straight, tmp_path / "job", done, first=1)
    assert "epoch-00002.pt: No such file or directory; trying the one before it" in log
    assert "no checkpoint is whole; training from scratch" in log


def test_a_hostile_checkpoint_of_a_trial_is_passed_over(tmp_path: Path, straight: list[EpochEnd]) -> None:
    done, _ = train(job_in(tmp_path / "job"), last_epoch=3)
    (tmp_path / "job" / "epoch-00003.pt").write_bytes(pickle.dumps(Hostile(tmp_path / "proof")))
    assert_goes_on_identically(straight, tmp_path / "job", done, first=3)
    assert not (tmp_path / "proof").exists()


STILL = CONFIG.model_copy(  # all epochs are equally good, so that the first stays the best
    update={
        "objective": CONFIG.objective.model_copy(update={"metric": "accuracy"}),
        "optimizer": TrialConfig.model_validate(
            {**CONFIG.model_dump(), "optimizer": {"kind": "sgd", "lr": 1e-30}}
        ).optimizer,
    }
)


def test_a_run_whose_best_epoch_is_lost_falls_back_as_well(tmp_path: Path) -> None:
    done, _ = train(job_in(tmp_path / "job", config=STILL), last_epoch=4)
    spoil(tmp_path / "job" / "epoch-00001.pt")
    ends, end = train(job_in(tmp_path / "job", config=STILL, done=saved_by(done)))
    assert ([item.epoch for item in ends], end.outcome) == ([1, 2, 3, 4, 5, 6], Outcome.COMPLETED)
    checkpoints.verify(tmp_path / "job", saved_by(ends)[0])
    assert "epoch-00001.pt: its checksum is not the recorded one" in (tmp_path / "job" / "log.txt").read_text()


# ------------------------------------------------------------------------------------------------------ what is on disk


@pytest.mark.parametrize(("config", "n_files"), ((CONFIG, 3), (STILL, 3)), ids=("improving", "still"))
def test_only_the_latest_the_best_and_the_ones_before_them_are_on_disk(
    tmp_path: Path, config: TrialConfig, n_files: int
) -> None:
    job = job_in(tmp_path / "job", config=config)
    runner = Runner(lambda: False)
    runner.prepare(
        PrepareRequest(
            config=config, metric=job.metric[4:], seed=0, base_dir=tmp_path, data_dir=tmp_path / "data", threads=1
        )
    )
    run = runner.run(job)
    bests: list[int] = [0]
    values: list[float] = []
    end: EpochEnd = next(run)
    for epoch in range(1, 7):
        values.append(end.metrics[job.metric])
        bests.append(values.index((max if job.maximize else min)(values)) + 1)
        expected = {epoch, epoch - 1, *bests[-2:]} - {0}
        assert {path.name for path in job.folder.glob("*.pt*")} == {f"epoch-{n:05d}.pt" for n in expected}
        assert not list(job.folder.glob(".*"))
        assert len(expected) <= n_files
        if epoch < 6:
            end = run.send(Decision.CONTINUE)


def test_a_trial_on_a_full_disk_crashes_and_goes_on_from_its_old_checkpoint_once_there_is_room(
    tmp_path: Path, straight: list[EpochEnd]
) -> None:
    faults.arm("checkpoint_written:enospc@3")
    done, end = train(job_in(tmp_path / "job"))
    assert end.outcome is Outcome.CRASHED
    assert end.message.startswith("OSError: [Errno 28] No space left on device")
    assert {path.name for path in (tmp_path / "job").glob("*.pt*")} == {"epoch-00001.pt", "epoch-00002.pt"}
    faults.arm("")
    assert_goes_on_identically(straight, tmp_path / "job", done, first=3)
