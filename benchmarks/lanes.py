"""How many times more a worker trains when it trains K trials of one shape together ("lanes") instead of one by one.

Real jobs are driven through a worker's runner, in this process: whole epochs, with validation and a checkpoint of
every lane. The groups of all sizes and the run alone take turns, an epoch each, round after round; a figure is the
median over the rounds of (K epochs alone) / (one epoch of K lanes). The last column is what `lanes: auto` decides
from its own measurement of a few steps, and what that decision is worth in the same rounds: 1 where it decides for no
lanes. `bare` is a loop written by hand (autograd, torch.optim's fused Adam, rows in one tensor; no validation, no
checkpoint), in the same rounds as a share of the run alone: 0.6 means that the run alone trains 1 / 0.6 times as
fast.

At last two searches of a space of small networks with the same wall time, with lanes and without, on several seeds:
trials, epochs, and the best validation accuracy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from _machine import header, out_option, save

from tuner.config.schema import TrialConfig
from tuner.config.spec import load
from tuner.data.parts import ArrayPart
from tuner.device import resolve
from tuner.errors import NotFoundError
from tuner.execution.protocol import LanesRequest, PrepareRequest
from tuner.execution.runner import Runner
from tuner.training.events import Decision, EpochEnd
from tuner.training.job import TrainJob
from tuner.training.run import Run
from tuner.workflows.lanes import MEASURED_ON_CPU, MEASURED_ON_GPU, best_size

FASHION = "{kind: fashion_mnist, download: false, batch_size: BATCH, split: {val: 1000}}"
DIGITS = "{kind: digits, batch_size: BATCH, split: {val: 0.1, test: 0.1}}"
ON_CPU = (1, 2, 4, 8, 16, 32)
ON_GPU = (1, 4, 16, 64, 128, 256)
SPACE = """
study: small
objective: {metric: accuracy}
data: {kind: digits, batch_size: 32}
model: {kind: mlp, depth: 2, width: 32}
optimizer: {kind: adam, lr: 1e-3}
train: {epochs: 10, device: cpu}
space:
  model.depth: {low: 1, high: 3}
  model.width: {low: 8, high: 64, log: true, each: model.depth}
  model.dropout: {low: 0.0, high: 0.5, step: 0.05}
  optimizer.kind: [adam, rmsprop, sgd]
  optimizer.lr: {low: 1e-5, high: 1e-1, log: true}
search: {sampler: auto, pruner: median, trials: 100000}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, its data and its batch."""

    name: str
    data: str
    model: str
    batch_size: int
    batches: int
    """Batches of an epoch."""


def mlp(width: int, dropout: float = 0.0) -> str:
    return f"{{kind: mlp, depth: 2, width: {width}, dropout: {dropout}}}"


CASES = (
    Case(name="mlp width 32, digits", data=DIGITS, model=mlp(32), batch_size=32, batches=45),
    Case(name="mlp width 32", data=FASHION, model=mlp(32), batch_size=32, batches=300),
    Case(name="mlp width 32, dropout", data=FASHION, model=mlp(32, 0.2), batch_size=32, batches=300),
    Case(name="mlp width 128", data=FASHION, model=mlp(128), batch_size=64, batches=100),
    Case(name="convnet width 8", data=DIGITS, model="{kind: convnet, depth: 2, width: 8}", batch_size=64, batches=20),
)
SMALL = "mlp width 32"


class Bare:
    """A training loop as a person writes it who knows torch well: whole batches from one tensor, a fused optimizer."""

    def __init__(self, runner: Runner, job: TrainJob) -> None:
        run = Run.build(job, runner._data(job.config.data))  # noqa: SLF001 - the same model, loss and rows
        part = run.prepared.train
        assert isinstance(part, ArrayPart)
        scaling = run.prepared.preprocess.scaling
        assert scaling is not None
        self._x, self._y = part.on(run.device).inputs, part.on(run.device).targets
        self._mean, self._inverse = scaling.constants(run.device)
        self._model, self._loss = run.model.train(), run.loss
        self._optimizer = torch.optim.Adam(run.model.parameters(), lr=1e-3, fused=True)
        self._batch, self._batches = job.config.data.batch_size, job.config.train.batches_per_epoch or 1
        self.seconds()

    def seconds(self) -> float:
        """Of the training part of one epoch."""
        started = time.perf_counter()
        order = torch.randperm(len(self._x), device=self._x.device)
        total = torch.zeros((), device=self._x.device)
        for step in range(self._batches):
            rows = order[step * self._batch : (step + 1) * self._batch]
            x = (self._x.index_select(0, rows).float() - self._mean) * self._inverse
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss(self._model(x), self._y.index_select(0, rows))
            loss.backward()
            self._optimizer.step()
            total += loss.detach()
        total.item()
        return time.perf_counter() - started


class Group:
    """Jobs that train together, an epoch at a time."""

    def __init__(self, runner: Runner, jobs: Sequence[TrainJob]) -> None:
        self.n_lanes = len(jobs)
        self._epochs = self._run(runner, jobs)
        next(self._epochs)  # records, captures, warms up

    def _run(self, runner: Runner, jobs: Sequence[TrainJob]) -> Iterator[None]:
        steps = runner.run_group(jobs)
        events = next(steps)
        while True:
            if not all(isinstance(event, EpochEnd) for event in events):
                raise SystemExit(f"a lane ended: {events[0]}")
            yield
            events = steps.send({event.trial: Decision.CONTINUE for event in events})

    def seconds(self) -> float:
        """Of one epoch, for one lane."""
        started = time.perf_counter()
        next(self._epochs)
        return (time.perf_counter() - started) / self.n_lanes

    def close(self) -> None:
        self._epochs.close()  # type: ignore[attr-defined]


def measure(case: Case, sizes: Sequence[int], rounds: int, device: str, threads: int) -> dict[str, Any] | None:
    """The speed-up of every size and of `auto`; None when the data is not there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runner = Runner(lambda: False)
        config = _config(case, folder, device)
        job = _job(config, folder, device, threads)
        try:
            runner.prepare(_request(config, folder, threads))
        except NotFoundError:
            return None
        chosen = best_size(runner.measure_lanes(LanesRequest(job=job, sizes=_auto_sizes(device))).step_seconds)
        groups = [
            Group(
                runner, [replace(job, trial=lane, seed=lane, folder=folder / f"{size}-{lane}") for lane in range(size)]
            )
            for size in sorted({*sizes, chosen})
        ]
        bare = Bare(runner, job)
        seconds: dict[int, list[float]] = {0: [], **{group.n_lanes: [] for group in groups}}
        for _ in range(rounds):
            seconds[0].append(bare.seconds())
            for group in groups:
                seconds[group.n_lanes].append(group.seconds())
        for group in groups:
            group.close()
    ratios = {
        size: statistics.median(alone / lane for alone, lane in zip(seconds[1], measured, strict=True))
        for size, measured in seconds.items()
    }
    rate = case.batch_size * case.batches / statistics.median(seconds[1])
    return {"ratios": ratios, "auto": chosen, "samples_per_s_alone": rate}


def _auto_sizes(device: str) -> tuple[int, ...]:
    return MEASURED_ON_CPU if device == "cpu" else MEASURED_ON_GPU


def _config(case: Case, folder: Path, device: str) -> TrialConfig:
    path = folder / "lanes.yaml"
    path.write_text(
        f"objective: {{metric: accuracy}}\ndata: {case.data.replace('BATCH', str(case.batch_size))}\n"
        f"model: {case.model}\noptimizer: {{kind: adam, lr: 1e-3}}\n"
        f"train: {{epochs: 1000000, batches_per_epoch: {case.batches}, device: '{device}'}}\n",
        encoding="utf-8",
    )
    return load(path).base


def _request(config: TrialConfig, folder: Path, threads: int) -> PrepareRequest:
    return PrepareRequest(
        config=config, metric="accuracy", seed=0, base_dir=folder, data_dir=folder / "data", threads=threads
    )


def _job(config: TrialConfig, folder: Path, device: str, threads: int) -> TrainJob:
    return TrainJob(
        trial=0,
        attempt=1,
        seed=0,
        config=config,
        metric="val/accuracy",
        maximize=True,
        checkpoints=(),
        folder=folder,
        base_dir=folder,
        threads=threads,
        device=device,
    )


def table(sizes: Sequence[int], rounds: int, device: str) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Print the table; rows and summary of the JSON."""
    print(f"n         median of {rounds} rounds; ratios to the run alone of the same round\n")
    print(
        f"{'model':<22} {'batch':>5} {'alone/s':>8} " + " ".join(f"{f'K={size}':>6}" for size in sizes[1:]) + "  auto"
    )
    rows: list[dict[str, Any]] = []
    summary: dict[str, float] = {}
    autos: list[float] = []
    for case in CASES:
        found = measure(case, sizes, rounds, device, threads=1)
        if found is None:
            continue
        ratios = found["ratios"]
        shown = " ".join(f"{ratios[size]:>6.2f}" for size in sizes[1:])
        autos.append(ratios[found["auto"]])
        line = f"{case.name:<22} {case.batch_size:>5} {found['samples_per_s_alone']:>8.0f} {ratios[0]:>5.2f} {shown}"
        print(f"{line}  K={found['auto']} {autos[-1]:.2f}", flush=True)
        rows += [{"model": case.name, "lanes": size, "speedup": ratios[size]} for size in sizes]
        if case.name.startswith(SMALL):
            fastest = max(ratios[size] for size in sizes)
            summary["speedup_width_32"] = max(summary.get("speedup_width_32", 0.0), fastest)
            summary["over_bare_width_32"] = max(summary.get("over_bare_width_32", 0.0), fastest / ratios[0])
        if case.name.startswith("convnet"):
            summary["speedup_cnn"] = max(ratios[size] for size in sizes)
    summary["auto_worst"] = min(autos)
    return rows, summary


# -------------------------------------------------------------------------------------------------------------- search


def compare_searches(seeds: int, seconds: float) -> dict[str, float]:
    """Searches of equal wall time with lanes and without, alternating; means of their best values."""
    print(f"\nsearch of digits for {seconds:g} s each, small networks\n\nseed  lanes  trials  epochs  best")
    best: dict[str, list[float]] = {"auto": [], "1": []}
    epochs: dict[str, list[int]] = {"auto": [], "1": []}
    for seed in range(seeds):
        for lanes in ("1", "auto"):
            trials = _search(lanes, seed, seconds)
            best[lanes].append(max(trial["value"] for trial in trials if trial["state"] == "complete"))
            epochs[lanes].append(sum(trial["epochs"] for trial in trials))
            print(f"{seed:>4}  {lanes:>5}  {len(trials):>6}  {epochs[lanes][-1]:>6}  {best[lanes][-1]:.4f}", flush=True)
    means = {lanes: statistics.mean(values) for lanes, values in best.items()}
    ratio = statistics.median(with_ / without for with_, without in zip(epochs["auto"], epochs["1"], strict=True))
    print(f"\nmean best {means['1']:.4f} without lanes, {means['auto']:.4f} with; {ratio:.2f} times the epochs")
    return {
        "search_best_alone": means["1"],
        "search_best_lanes": means["auto"],
        "search_difference": means["auto"] - means["1"],
        "search_epochs_ratio": ratio,
    }


def _search(lanes: str, seed: int, seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "small.yaml").write_text(SPACE, encoding="utf-8")
        run = [sys.executable, "-m", "tuner"]
        search = [
            *run,
            "search",
            "--space",
            "small.yaml",
            "--lanes",
            lanes,
            "--seed",
            str(seed),
            "--timeout",
            f"{seconds}s",
            "--set",
            "confirm=off",
        ]
        subprocess.run(search, cwd=folder, check=True, capture_output=True)
        listed = subprocess.run([*run, "trials", "--json"], cwd=folder, check=True, capture_output=True, text=True)
        trials: list[dict[str, Any]] = json.loads(listed.stdout)
        return trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="epochs of every group (default: 9)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each kind (default: 3; 0 leaves them out)")
    parser.add_argument("--seconds", type=float, default=20.0, help="wall time of each search (default: 20)")
    out_option(parser)
    options = parser.parse_args()
    device = resolve(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu, one thread"
    print(f"{header()}\ndevice    {name}")
    rows, summary = table(ON_CPU if device.type == "cpu" else ON_GPU, options.rounds, str(device))
    print(
        f"\nworst of auto {summary['auto_worst']:.2f}; best at width 32 {summary['speedup_width_32']:.2f} over a run "
        f"alone, {summary['over_bare_width_32']:.2f} over the bare loop"
    )
    if options.seeds and device.type == "cpu":
        summary |= compare_searches(options.seeds, options.seconds)
    save(options.out, rows=rows, summary=summary)


if __name__ == "__main__":
    main()
