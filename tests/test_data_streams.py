"""Streamed rows: loader processes that stay for a trial, how many of them there are, and the way to a GPU."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
import torch
from pydantic import ValidationError

from tuner.config.schema import PythonData, TrialConfig
from tuner.data.batches import stacked_batches, train_batches
from tuner.data.feed import Feed
from tuner.data.loaders import LoaderError, LoaderOptions
from tuner.data.parts import ItemCost, StreamPart
from tuner.data.prefetch import moved
from tuner.data.prepare import Prepared, prepare
from tuner.data.streams import MAX_LOADERS, StreamLoader, choose_loaders, item_cost, n_loaders
from tuner.data.target_units import TargetUnits
from tuner.execution.protocol import PrepareRequest
from tuner.execution.runner import Runner
from tuner.training.events import Decision, Outcome
from tuner.training.job import TrainJob

CPU = torch.device("cpu")
CODE = """
import os, random, time
import torch
from pydantic import ValidationError

class Mine:
    def __init__(self, seconds=0.0):
        self.seconds = seconds
    def __len__(self):
        return 50
    def __getitem__(self, i):
        time.sleep(self.seconds)
        return torch.tensor([float(i), random.random(), float(torch.rand(()))]), i % 2

class Hangs(Mine):
    # In a loader's process, once the file named in TUNER_TEST_FIFO has been opened by the test.
    def __getitem__(self, i):
        if torch.utils.data.get_worker_info() is not None:
            with open(os.environ["TUNER_TEST_FIFO"], "w") as file:
                file.write(str(os.getpid()))
            time.sleep(3600)
        return super().__getitem__(i)

class Pid(Mine):
    def __getitem__(self, i):
        return torch.tensor([float(os.getpid())]), i % 2
"""


def open_data(folder: Path, name: str = "Mine", **options: object) -> tuple[Prepared, PythonData]:
    (folder / "mine.py").write_text(CODE)
    section = {"kind": "python", "target": f"mine.py:{name}", "in_memory": False, "batch_size": 8, **options}
    data = PythonData.model_validate(section)
    return prepare(data, metric="accuracy", seed=5, base_dir=folder, cache_dir=folder / "cache"), data


def feed(folder: Path, name: str = "Mine", **options: object) -> Feed:
    prepared, data = open_data(folder, name, **options)
    return Feed.of(prepared, data, device=CPU, n_cores=1)


def loader_pids() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_every_epoch_of_loader_processes_that_stay_is_what_this_process_reads(tmp_path: Path) -> None:
    here, there = feed(tmp_path, num_workers=0), feed(tmp_path, num_workers=2)
    for seed in (1, 2, 1):
        expected, got = ([x for x, _ in one.train(epoch_seed=seed)] for one in (here, there))
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        expected, got = ([x for x, _ in one.val()] for one in (here, there))
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_an_epoch_that_was_left_in_its_middle_does_not_touch_the_next(tmp_path: Path) -> None:
    there = feed(tmp_path, num_workers=2)
    expected = [x for x, _ in feed(tmp_path, num_workers=0).train(epoch_seed=2)]
    begun = there.train(epoch_seed=1)
    next(begun)
    assert all(torch.equal(a, b) for (a, _), b in zip(there.train(epoch_seed=2), expected, strict=True))


def test_the_same_processes_read_every_epoch_and_both_parts_and_end_with_the_trial(tmp_path: Path) -> None:
    trial = feed(tmp_path, "Pid", num_workers=1, normalize=False)
    pids = {int(pid) for x, _ in trial.train(epoch_seed=1) for pid in x.unique()}
    pids |= {int(pid) for x, _ in trial.val() for pid in x.unique()}
    pids |= {int(pid) for x, _ in trial.train(epoch_seed=2) for pid in x.unique()}
    assert len(pids) == 1
    assert pids <= loader_pids()
    del trial
    gc.collect()
    assert not pids & loader_pids()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch looks for the parent between two batches")
def test_a_loader_that_hangs_dies_with_its_killed_worker(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
from test_data_streams import feed
next(feed(pathlib.Path(sys.argv[1]), "Hangs", num_workers=1).train(epoch_seed=1))
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)],
        env={**os.environ, "TUNER_TEST_FIFO": str(fifo)},
    )
    try:
        loader = psutil.Process(int(fifo.read_text()))  # waits until it hangs
        worker.kill()
        worker.wait()
        psutil.wait_procs([loader], timeout=4)  # torch's own check comes after 5 s, and never in a batch that hangs
        assert not loader.is_running() or loader.status() == psutil.STATUS_ZOMBIE
    finally:
        worker.kill()


def test_a_trial_leaves_no_loader_process_behind_however_it_ends(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    config = TrialConfig.model_validate(
        {
            "objective": {"metric": "accuracy"},
            "data": {"kind": "python", "target": "mine.py:Mine", "in_memory": False, "batch_size": 8, "num_workers": 1},
            "model": {"kind": "mlp", "depth": 0},
            "loss": {"kind": "auto"},
            "optimizer": {"kind": "sgd"},
            "schedule": {"kind": "constant"},
            "train": {"epochs": 2, "device": "cpu"},
        }
    )
    aborted = False
    runner = Runner(lambda: aborted)
    request = PrepareRequest(
        config=config, metric="accuracy", seed=0, base_dir=tmp_path, data_dir=tmp_path / "data", threads=1
    )
    runner.prepare(request)
    job = TrainJob(
        trial=0,
        attempt=1,
        seed=5,
        config=config,
        metric="val/accuracy",
        maximize=True,
        checkpoints=(),
        folder=tmp_path / "0",
        base_dir=tmp_path,
        threads=1,
        device="cpu",
    )
    before = loader_pids()
    for outcome in (Outcome.ABORTED, Outcome.COMPLETED):
        aborted = False
        run = runner.run(job)
        assert next(run).picked["data"] == "streamed, 1 loader process"
        assert len(loader_pids() - before) == 1
        aborted = outcome is Outcome.ABORTED
        if not aborted:
            assert run.send(Decision.CONTINUE).picked == {}
        with pytest.raises(StopIteration) as ended:
            run.send(Decision.CONTINUE)
        assert ended.value.value.outcome is outcome
        assert loader_pids() <= before


@pytest.mark.parametrize("num_workers", (0, 2))
def test_stacked_batches_of_a_streamed_part_are_those_of_each_lane(tmp_path: Path, num_workers: int) -> None:
    prepared, _ = open_data(tmp_path)
    seeds = (4, 9, 2)
    stacked = list(
        stacked_batches(
            prepared.train,
            prepared.preprocess,
            epoch_seeds=seeds,
            batch_size=16,
            device="cpu",
            num_workers=num_workers,
        )
    )
    alone = [
        list(train_batches(prepared.train, prepared.preprocess, epoch_seed=seed, batch_size=16, device="cpu"))
        for seed in seeds
    ]
    assert len(stacked) == len(alone[0])
    for number, (x, y) in enumerate(stacked):
        assert torch.equal(x, torch.stack([lane[number][0] for lane in alone]))
        assert torch.equal(y, torch.stack([lane[number][1] for lane in alone]))


@pytest.mark.parametrize(
    ("wall_ms", "cpu_ms", "n_cores", "expected"),
    (
        (0.01, 0.01, 8, 0),  # cheap: 64 of them take 0.6 ms
        (1.0, 1.0, 1, 0),  # no core is free
        (1.0, 1.0, 4, 3),
        (1.0, 1.0, 64, MAX_LOADERS),
        (4.0, 1.0, 1, 4),  # waits for a disk
        (1.5, 1.0, 1, 0),
        (9.0, 0.0, 1, MAX_LOADERS),
        (0.0, 0.0, 4, 0),
    ),
)
def test_loader_processes_follow_the_cost_of_an_item_and_the_free_cores(
    wall_ms: float, cpu_ms: float, n_cores: int, expected: int
) -> None:
    cost = ItemCost(wall_s=wall_ms / 1000, cpu_s=cpu_ms / 1000)
    assert n_loaders(cost, batch_size=64, n_cores=n_cores) == expected


def test_auto_measures_streamed_parts_and_a_number_is_a_number(tmp_path: Path) -> None:
    slow, _ = open_data(tmp_path, options={"seconds": 0.002})
    assert isinstance(slow.train, StreamPart)
    cost = item_cost(slow.train)
    assert cost.wall_s > 0.002 > cost.cpu_s
    assert choose_loaders("auto", slow.train, batch_size=64, n_cores=1) > 1
    assert choose_loaders(0, slow.train, batch_size=64, n_cores=8) == 0
    assert choose_loaders(3, slow.train, batch_size=64, n_cores=1) == 3
    stored, _ = open_data(tmp_path, in_memory=True)
    assert choose_loaders(3, stored.train, batch_size=64, n_cores=1) == 0


def test_measuring_leaves_the_generators_alone(tmp_path: Path) -> None:
    prepared, _ = open_data(tmp_path)
    assert isinstance(prepared.train, StreamPart)
    before = torch.get_rng_state()
    item_cost(prepared.train)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_picked_says_how_the_data_is_read(tmp_path: Path) -> None:
    assert feed(tmp_path, num_workers=2).picked == "streamed, 2 loader processes"
    assert feed(tmp_path, num_workers=1).picked == "streamed, 1 loader process"
    assert feed(tmp_path).picked == "streamed, no loader processes"
    assert feed(tmp_path, in_memory=True).picked == "stored rows, memory-mapped"


def test_batches_that_are_there_already_are_passed_through() -> None:
    batches = [(torch.ones(2), torch.zeros(2)), (torch.ones(3), torch.zeros(3))]
    assert [id(x) for x, _ in moved(batches, CPU)] == [id(x) for x, _ in batches]


@pytest.mark.gpu
def test_prefetched_batches_arrive_whole_and_in_order() -> None:
    device = torch.device("cuda")
    batches = [(torch.full((1000, 1000), float(n)), torch.tensor([n])) for n in range(20)]
    got = [(float(x.sum()), int(y)) for x, y in moved(batches, device)]
    assert got == [(1e6 * n, n) for n in range(20)]
    assert list(moved([], device)) == []


@pytest.mark.gpu
@pytest.mark.parametrize("num_workers", (0, 2))
def test_streamed_batches_on_the_gpu_are_those_of_the_cpu(tmp_path: Path, num_workers: int) -> None:
    prepared, _ = open_data(tmp_path)
    assert isinstance(prepared.train, StreamPart)
    loader = StreamLoader([prepared.train], num_workers=num_workers, options=LoaderOptions(pin_memory=True))
    for seed in (1, 2):
        options = {"batch_size": 16, "epoch_seed": seed}
        on_cpu = train_batches(prepared.train, prepared.preprocess, device="cpu", **options)  # type: ignore[arg-type]
        on_gpu = train_batches(prepared.train, prepared.preprocess, device="cuda", loader=loader, **options)  # type: ignore[arg-type]
        assert all(torch.equal(x.cpu(), y) for (x, _), (y, _) in zip(on_gpu, on_cpu, strict=True))


def test_loader_options_reach_torch_and_are_named_where_they_matter(tmp_path: Path) -> None:
    options = {"num_workers": 1, "prefetch_factor": 3, "persistent_workers": False, "timeout": 30.0}
    one = feed(tmp_path, "Pid", normalize=False, **options)
    assert one.picked == "streamed, 1 loader process, 3 batches ahead each, anew for every epoch, timeout 30 s"
    first, second = ({int(pid) for x, _ in one.train(epoch_seed=seed) for pid in x.unique()} for seed in (1, 2))
    assert first != second
    assert feed(tmp_path, in_memory=True, **options).picked == "stored rows, memory-mapped"


@pytest.mark.parametrize(("option", "value"), (("prefetch_factor", 2), ("persistent_workers", False), ("timeout", 5.0)))
def test_options_of_loader_processes_without_any_are_refused(tmp_path: Path, option: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"{option}: is for loader processes, and num_workers: 0 has none"):
        feed(tmp_path, num_workers=0, **{option: value})


LOADER_CODE = """
import os, signal, threading
import torch
from pydantic import ValidationError

class Killed:
    def __len__(self):
        return 50
    def __getitem__(self, i):
        if torch.utils.data.get_worker_info() is not None:
            self.end()
        return torch.tensor([float(i)]), i % 2
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)

class Hangs(Killed):
    def end(self):
        threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("Killed", r"a loader process ended: DataLoader worker .* lower data\.num_workers or data\.prefetch_factor"),
        ("Hangs", r"no batch came from the loader processes within data\.timeout \(1 s\)"),
    ),
)
def test_a_loader_that_ends_or_hangs_is_named_with_the_remedy(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "ends.py").write_text(LOADER_CODE)
    section = {"target": f"ends.py:{name}", "in_memory": False, "num_workers": 1, "timeout": 1.0}
    data = PythonData.model_validate(section)
    prepared = prepare(data, metric="accuracy", seed=5, base_dir=tmp_path, cache_dir=tmp_path / "cache")
    with pytest.raises(LoaderError, match=message):
        list(Feed.of(prepared, data, device=CPU, n_cores=1).train(epoch_seed=1))


@pytest.mark.parametrize(("metric", "target"), (("accuracy", "int(turn)"), ("rmse", "float(turn) + 100.0")))
def test_targets_come_from_the_reading_that_gave_the_inputs(tmp_path: Path, metric: str, target: str) -> None:
    code = f"""
    import random
    class Turned:
        def __len__(self):
            return 50
        def __getitem__(self, i):
            turn = random.randrange(4)
            return [float(turn), float(i)], {target}
    """
    (tmp_path / "turned.py").write_text(textwrap.dedent(code))
    data = PythonData.model_validate({"kind": "python", "target": "turned.py:Turned", "normalize": False})
    prepared = prepare(data, metric=metric, seed=5, base_dir=tmp_path, cache_dir=tmp_path / "cache")
    units = TargetUnits.of(prepared.info)
    part = prepared.in_units(units).train
    test = prepared.open_test()
    assert test is not None
    for one, own in ((part, units), (prepared.val, None), (test, None)):
        assert isinstance(one, StreamPart)
        x, y = one.read(range(len(one)))
        y = y if own is None else own.restored(y)
        assert torch.allclose(y.flatten().float() - (100 if metric == "rmse" else 0), x[:, 0], atol=1e-3)
