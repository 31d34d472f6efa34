"""Where trials train: decisions from what was found and measured, and that a study keeps its threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.config.schema import Search, TrialConfig
from tuner.data.info import DataInfo
from tuner.execution.inline import InlineExecutor
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import GpuUse, Measured, MeasureRequest, PrepareRequest
from tuner.study.queries import StudyReader
from tuner.training.probe import BUDGET_S, alternating
from tuner.workflows import machine
from tuner.workflows.measuring import settle
from tuner.workflows.placement import (
    GPU_CONTEXT_BYTES,
    MAX_WORKERS_PER_GPU,
    WORKER_BYTES,
    Found,
    Placement,
    Plan,
    Remembered,
    choose_threads,
    memory_key,
    plan,
    workers_per_gpu,
)
from tuner.workflows.progress import Note, Progress, StudyStarted
from tuner.workflows.search import SearchRequest, search

GIB = 2**30
EIGHT = Found(n_cores=8, free_bytes=64 * GIB, devices=())
INFO = DataInfo(
    kind="iris",
    task="classification",
    input_shape=(4,),
    n_targets=3,
    labels=("a", "b", "c"),
    n_train=90,
    n_val=30,
    n_test=30,
    fingerprint="f",
    in_memory=True,
)
MODEL = """
import os, signal
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs, how="fail"):
        super().__init__()
        self.how = how
        self.head = nn.Linear(*input_shape, n_outputs)
    def forward(self, x):
        if self.training and self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.training:
            raise ValueError("it fails")
        return self.head(x)
"""


def planned(
    found: Found = EIGHT, *, n_left: int | None = None, kept: int | None = None, device: str = "auto", **options: object
) -> Plan:
    return plan(Search.model_validate(options), device, found, n_left=n_left, kept_threads=kept)


def config_of(**sections: dict[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "objective": {"metric": "accuracy"},
            "data": {"kind": "iris", "batch_size": 16},
            "model": {"kind": "mlp", "depth": 1, "width": 8, "dropout": 0.1},
            "loss": {"kind": "auto"},
            "optimizer": {"kind": "adam"},
            "schedule": {"kind": "constant"},
            "train": {"epochs": 3, "device": "cpu"},
            **sections,
        }
    )


def request_of(folder: Path, config: TrialConfig) -> PrepareRequest:
    return PrepareRequest(
        config=config, metric="accuracy", seed=0, base_dir=folder, data_dir=folder / "data", threads=1
    )


# ------------------------------------------------------------------------------------------------------------ decisions


def test_the_cpu_has_a_worker_a_core_with_nothing_to_measure() -> None:
    found = planned()
    assert (found.workers, found.thread_choices, found.devices, found.is_open) == (8, (1,), ("cpu",), False)
    assert found.settled() == Placement(workers=8, threads=1, devices=("cpu",), n_cores=1)


@pytest.mark.parametrize(
    ("free_bytes", "workers"),
    ((None, 8), (100 * GIB, 8), (3 * WORKER_BYTES + 5, 3), (WORKER_BYTES - 1, 1), (0, 1)),
)
def test_workers_fit_into_the_memory(free_bytes: int | None, workers: int) -> None:
    assert planned(replace(EIGHT, free_bytes=free_bytes)).workers == workers


@pytest.mark.parametrize(("n_left", "workers"), ((None, 8), (20, 8), (3, 3), (1, 1)))
def test_there_are_no_more_workers_than_trials_left(n_left: int | None, workers: int) -> None:
    assert planned(n_left=n_left).workers == workers


def test_cores_that_are_left_are_a_choice_of_threads() -> None:
    found = planned(n_left=2)
    assert (found.workers, found.thread_choices, found.is_open) == (2, (1, 4), True)
    assert found.settled(threads=4).n_cores == 4
    assert planned(workers=3).thread_choices == (1, 2)
    assert planned(workers=5).thread_choices == (1,)


def test_what_the_user_sets_is_taken() -> None:
    assert planned(replace(EIGHT, free_bytes=0), workers=30, n_left=1).settled().workers == 30
    found = planned(threads=3)
    assert (found.workers, found.thread_choices) == (2, (3,))
    found = planned(threads=3, workers=8)
    assert (found.workers, found.thread_choices) == (8, (3,))


def test_a_study_keeps_its_threads_while_they_fit() -> None:
    assert planned(kept=4, workers=2).thread_choices == (4,)
    assert planned(kept=1, workers=2).thread_choices == (1,)
    assert planned(kept=4).workers == 2  # as many as their threads leave room for
    assert planned(kept=4, workers=4).thread_choices == (1, 2)  # they do not fit any more
    assert planned(kept=4, threads=2, workers=2).thread_choices == (2,)


@pytest.mark.parametrize(
    ("seconds", "threads"),
    (
        ({1: 1.0, 4: 0.5}, 4),
        ({1: 1.0, 4: 0.9}, 1),  # too little to be sure of
        ({1: 1.0, 4: 2.0}, 1),
        ({4: 0.5, 2: 0.6, 1: 1.0}, 2),
        ({1: 1.0}, 1),
        ({}, None),
    ),
)
def test_more_threads_are_taken_only_when_they_gain_clearly(seconds: dict[int, float], threads: int | None) -> None:
    assert choose_threads(seconds) == threads


def test_gpus_have_a_worker_each_and_may_have_more() -> None:
    found = planned(Found(n_cores=16, free_bytes=64 * GIB, devices=("cuda:0", "cuda:1")))
    assert (found.workers, found.thread_choices, found.devices) == (2, (8,), ("cuda:0", "cuda:1"))
    assert (found.max_workers, found.is_open) == (16, True)
    assert found.settled(workers=4) == Placement(workers=4, threads=4, devices=("cuda:0", "cuda:1"), n_cores=4)
    fixed = planned(Found(n_cores=16, free_bytes=64 * GIB, devices=("cuda:0",)), workers=1)
    assert not fixed.is_open


@pytest.mark.parametrize(
    ("asked", "devices"),
    (("auto", ("cuda:0", "cuda:1")), ("cuda", ("cuda:0", "cuda:1")), ("cuda:1", ("cuda:1",)), ("cpu", ("cpu",))),
)
def test_devices_are_those_that_were_asked_for(asked: str, devices: tuple[str, ...]) -> None:
    there = Found(n_cores=16, free_bytes=None, devices=("cuda:0", "cuda:1"))
    assert planned(there, device=asked).devices == devices


@pytest.mark.parametrize(
    ("free_gib", "peak_gib", "busy", "n_cores", "expected"),
    (
        (80, 1, 0.10, 16, MAX_WORKERS_PER_GPU),
        (80, 1, 0.40, 16, 2),
        (80, 1, 0.60, 16, 1),
        (80, 1, 1.00, 16, 1),
        (80, 30, 0.10, 16, 2),  # no room
        (80, 70, 0.10, 16, 1),
        (1, 70, 0.10, 16, 1),
        (80, 1, 0.10, 2, 2),  # a core each to launch from
        (80, 1, 0.00, 16, MAX_WORKERS_PER_GPU),
    ),
)
def test_a_gpu_takes_more_workers_while_it_is_idle_and_has_room(
    free_gib: int, peak_gib: int, busy: float, n_cores: int, expected: int
) -> None:
    use = GpuUse(free_bytes=free_gib * GIB, peak_bytes=peak_gib * GIB - GPU_CONTEXT_BYTES, busy_share=busy)
    assert workers_per_gpu(use, n_cores=n_cores, n_gpus=1) == expected
    assert workers_per_gpu(use, n_cores=2 * n_cores, n_gpus=2) == expected


# ---------------------------------------------------------------------------------------------------------- the machine


def folders(tmp_path: Path, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "proc", tmp_path / "cgroup"


def test_free_memory_is_the_least_that_machine_and_containers_leave(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 99 kB\nMemAvailable:    4096 kB\n",
        "proc/self/cgroup": "1:name=systemd:/x\n0::/outer/inner\n",
        "cgroup/outer/inner/memory.max": "max\n",
        "cgroup/outer/inner/memory.current": "5\n",
        "cgroup/outer/memory.max": "1000000\n",
        "cgroup/outer/memory.current": "600000\n",
        "cgroup/outer/memory.stat": "anon 1\ninactive_file 100000\n",
    }
    assert machine.free_bytes(*folders(tmp_path / "a", files)) == 500_000
    only = {"proc/meminfo": files["proc/meminfo"]}
    assert machine.free_bytes(*folders(tmp_path / "b", only)) == 4096 * 1024
    assert machine.free_bytes(*folders(tmp_path / "c", {})) is None


def test_cores_are_limited_by_the_quota_of_a_container(tmp_path: Path) -> None:
    own = len(os.sched_getaffinity(0))
    files = {"proc/self/cgroup": "0::/box\n", "cgroup/box/cpu.max": "100000 100000\n"}
    assert machine.n_cores(*folders(tmp_path / "a", files)) == 1
    files["cgroup/box/cpu.max"] = "max 100000\n"
    assert machine.n_cores(*folders(tmp_path / "b", files)) == own
    assert machine.n_cores(*folders(tmp_path / "c", {})) == own


def test_this_machine_has_cores_memory_and_a_name() -> None:
    assert machine.n_cores() >= 1
    assert (machine.free_bytes() or GIB) > 2**20
    assert machine.cpu_name()


def test_devices_are_the_visible_ones() -> None:
    code = "from tuner.device import available; print(available().names())"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "cuda" not in done.stdout
    assert done.stdout.strip().endswith("'cpu',)") or "'cpu')" in done.stdout


# ------------------------------------------------------------------------------------------------------------ measuring


def test_settings_alternate_and_end_with_their_budget() -> None:
    now = 0.0
    applied: list[int] = []

    def step() -> None:
        nonlocal now
        now += {1: 0.010, 4: 0.004}[applied[-1]]

    found = alternating(step, (1, 4), applied.append, lambda: now)
    assert found == {1: pytest.approx(0.010), 4: pytest.approx(0.004)}
    assert applied == [1, 4] * 3
    assert now < BUDGET_S + 6 * 0.02


def test_slow_steps_are_measured_once_each() -> None:
    now = 0.0
    applied: list[int] = []

    def step() -> None:
        nonlocal now
        now += 5.0 / applied[-1]

    assert alternating(step, (1, 4), applied.append, lambda: now) == {1: 5.0, 4: 1.25}
    assert applied == [1, 4]


def test_threads_are_measured_once_a_shape_and_machine(tmp_path: Path) -> None:
    executor = InlineExecutor()
    request = request_of(tmp_path, config_of())
    info = executor.prepare(request)
    memory = Remembered(tmp_path / "cache" / "threads.json")
    open_plan = replace(planned(workers=1), thread_choices=(1, 2))
    first, note = settle(open_plan, executor, request, info, {"torch": "2"}, memory)
    assert first.threads in (1, 2)
    assert f"{first.threads} thread" in note
    assert " ms with 1, " in note
    again, silence = settle(open_plan, executor, request, info, {"torch": "2"}, memory)
    assert (again, silence) == (first, "")
    (tmp_path / "cache" / "threads.json").write_text("{")  # a torn file only costs the measurement
    assert settle(open_plan, executor, request, info, {"torch": "2"}, memory)[1] != ""


def test_another_shape_or_machine_is_another_measurement() -> None:
    config = config_of()
    key = memory_key(config, INFO, (1, 4), {"torch": "2"})
    assert key == memory_key(config_of(optimizer={"kind": "adam", "lr": 0.5}), INFO, (1, 4), {"torch": "2"})
    wider = config_of(model={"kind": "mlp", "depth": 1, "width": 9})
    others = {
        memory_key(wider, INFO, (1, 4), {"torch": "2"}),
        memory_key(config, replace(INFO, input_shape=(5,)), (1, 4), {"torch": "2"}),
        memory_key(config, INFO, (1, 2), {"torch": "2"}),
        memory_key(config, INFO, (1, 4), {"torch": "3"}),
    }
    assert len(others | {key}) == 5


def test_measuring_leaves_the_generators_alone_and_takes_the_number_of_threads_back(tmp_path: Path) -> None:
    executor = InlineExecutor()
    request = request_of(tmp_path, config_of())
    executor.prepare(request)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    measured = executor.measure(MeasureRequest(prepare=request, thread_choices=(1, 2), device="cpu"))
    assert set(measured.step_seconds) == {1, 2}
    assert all(seconds > 0 for seconds in measured.step_seconds.values())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("how", ("fail", "die"))
def test_a_model_that_fails_while_it_is_measured_is_left_to_its_trials(tmp_path: Path, how: str) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    config = config_of(model={"kind": "python", "target": "mine.py:Net", "options": {"how": how}})
    request = request_of(tmp_path, config)
    executor = ProcessExecutor()
    try:
        info = executor.prepare(request)
        open_plan = replace(planned(workers=1), thread_choices=(1, 2))
        placement, note = settle(open_plan, executor, request, info, {}, Remembered(tmp_path / "threads.json"))
        assert (placement.threads, note) == (2, "")
        assert not (tmp_path / "threads.json").exists()
        assert executor.n_free() == 1
        assert executor.prepare(request) == info
    finally:
        executor.close()


def test_a_probe_that_fails_on_a_gpu_means_one_worker(tmp_path: Path) -> None:
    executor = InlineExecutor()
    request = request_of(tmp_path, config_of())
    info = executor.prepare(request)
    open_plan = planned(Found(n_cores=16, free_bytes=None, devices=("cuda:99",)))
    assert executor.measure(MeasureRequest(prepare=request, thread_choices=(1,), device="cuda:99")) == Measured()
    placement, note = settle(open_plan, executor, request, info, {})
    assert (placement.workers, placement.threads, note) == (1, 16, "")


@pytest.mark.gpu
def test_a_gpu_is_measured(tmp_path: Path) -> None:
    executor = InlineExecutor()
    request = request_of(tmp_path, config_of())
    executor.prepare(request)
    use = executor.measure(MeasureRequest(prepare=request, thread_choices=(1,), device="cuda:0")).gpu
    assert use is not None
    assert use.free_bytes > use.peak_bytes > 0
    assert 0.0 < use.busy_share <= 1.0


# ---------------------------------------------------------------------------------------------------------------- study


class Recorder:
    def __init__(self) -> None:
        self.started: list[StudyStarted] = []
        self.notes: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, StudyStarted):
            self.started.append(progress)
        if isinstance(progress, Note):
            self.notes.append(progress.message)


def test_a_resumed_study_has_the_threads_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(
        "data: {kind: iris}\nmodel: {kind: mlp, depth: 0}\ntrain: {epochs: 1, device: cpu}\n"
        "space: {optimizer.lr: {low: 1e-3, high: 1e-1}}\nsearch: {sampler: random, trials: 1, workers: 1, threads: 1}\n"
        "confirm: off\n"
    )
    recorder = Recorder()
    search(SearchRequest(space="a.yaml"), recorder, InlineExecutor())
    search(SearchRequest(space="a.yaml", sets=("search.trials=2", "search.threads=auto")), recorder, InlineExecutor())
    assert [started.threads for started in recorder.started] == [1, 1]
    reader = StudyReader.open("sqlite:///studies.db")
    study = reader.study(None)
    assert (reader.n_finished(study), reader.threads(study)) == (2, 1)
    picked = [reader.trial(study, number).attempts[0].picked for number in (0, 1)]
    assert picked == [{"data": "stored rows, memory-mapped", "precision": "fp32", "step": "recorded"}] * 2
    assert json.dumps(picked)
    search(SearchRequest(space="a.yaml", sets=("search.trials=3", "search.threads=2")), recorder, InlineExecutor())
    assert recorder.started[-1].threads == 2
    assert "2 threads a worker, where the study has had 1: trials that go on do not repeat" in recorder.notes[-1]
