"""The search of Optuna's PyTorch example, by tuner, by a hand-written script, and (where it is at hand) by Ray Tune.

    python benchmarks/search.py [--trials 100] [--pairs 1] [--ray-python PYTHON [--ray-trials 40]] [--only NAME ...]

Fashion-MNIST, a network of 1 to 3 layers of 4 to 128 units with dropout 0.2 to 0.5 each, Adam, RMSprop or SGD with lr
1e-5 to 1e-1 (logarithmic), 10 epochs of 30 batches of 128, validation on 1280 images, median pruning, TPE. tuner
(peers/search.yaml) and the script (peers/handwritten.py) alternate, pair by pair, each pair with its own seed. The
clock is that of the whole process, from its start to its exit: imports, decoding and all. The files are on the disk,
unpacked. 100 trials of both take about five minutes on two cores, the run with Ray seven more.

The best configuration of each side is trained again by one neutral loop, in this file: 10 epochs of 30 batches on the
60 000 training images, accuracy after the last epoch on the official test images that no side chose by.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from _fashion import ABSENT, Images, images, torchvision_root
from _machine import header, out_option, save
from _processes import Timed, timed
from torch import nn
from torch.nn import functional

PEERS = Path(__file__).resolve().parent / "peers"
TUNER, SCRIPT, RAY = "tuner", "script", "ray"
OPTIMIZERS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
EPOCHS, BATCHES, BATCH_SIZE = 10, 30, 128
SEEN_BY_SCRIPT = 1280
"""The script chooses by the first 1280 official test images: the neutral loop leaves them out."""

DIFFERENCES = """\
differences
  - the script is one process with torch's default threads, as such scripts are; tuner has `workers: auto`, Ray two
  - the script keeps its study in memory; tuner writes the study to SQLite, a checkpoint and a log line every epoch
  - the script ends an epoch by leaving its DataLoader after 30 batches, as the example does; a trial makes its own
    datasets and loaders; tuner draws the same number of rows of a shuffled order from memory
  - the script validates on the first 1280 official test images (the example: on 1280 others each epoch); tuner on 1280
    of the 60 000, which it does not train on
  - the value of a trial is that of its last epoch in the script, of its best epoch in tuner; re-trained values are of
    the last epoch on both sides
  - the script uses Optuna's TPESampler and MedianPruner, tuner its own sampler (its default) and the same median rule;
    it asks while other workers' trials are running
  - tuner trains its best 3 again on 2 fresh seeds, as it does by default, and takes the one with the best mean: that is
    in its time; the script takes the trial with the best value
  - Ray: params at random (its default), ASHA (grace period 1, reduction factor 3) instead of the median rule;
    each trial is a process of its own (its default); its CPU time is not known, since it does not wait for them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a search found, in neutral words."""

    widths: tuple[int, ...]
    dropouts: tuple[float, ...]
    optimizer: str
    lr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One search by one side."""

    side: str
    seed: int
    trials: int
    complete: int
    pruned: int
    wall_s: float
    cpu_s: float | None
    """None for Ray: its raylet leaves the CPU time of its workers uncounted (it does not wait for them)."""
    value: float
    """Validation accuracy of the best trial, as the side reports it."""
    best: Config


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        root = torchvision_root(Path(folder) / "data")
        if root is None:
            print(ABSENT)
            return
        ray_version = _ray_version(options.ray_python)
        print(f"{header()}\n{_peers(options, ray_version)}\n{DIFFERENCES}\n")
        print("side    trials  complete  pruned  wall s   CPU s  best value", flush=True)
        runs = [_shown(run) for run in _runs(options, root, Path(folder))]
        again = retrained(runs, images(root), n_seeds=options.retrain_seeds)
    summary = summarize(runs, again)
    print(f"\n{_summary_text(summary)}")
    rows = [{**asdict(run), "retrained": values} for run, values in zip(runs, again, strict=True)]
    save(options.out, rows=rows, summary={**summary, "ray_version": ray_version})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="trials of a search (default: 100)")
    parser.add_argument("--pairs", type=int, default=1, help="runs of each side, alternating (default: 1)")
    parser.add_argument(
        "--retrain-seeds", type=int, default=10, help="seeds that the best is re-trained on (default: 10)"
    )
    parser.add_argument("--only", nargs="+", choices=(TUNER, SCRIPT), default=(TUNER, SCRIPT), help="leave a side out")
    parser.add_argument(
        "--ray-python", help="an interpreter that has ray[tune], torch and torchvision: runs Ray Tune too"
    )
    parser.add_argument("--ray-trials", type=int, default=40, help="trials of the run with Ray, once (default: 40)")
    out_option(parser)
    return parser.parse_args()


def _ray_version(python: str | None) -> str | None:
    return _output([python, "-c", "import ray; print(ray.__version__)"], PEERS).strip() if python else None


def _peers(options: argparse.Namespace, ray_version: str | None) -> str:
    lines = [f"n         {options.pairs} of each side, alternating; {options.retrain_seeds} seeds of the best one"]
    if ray_version:
        lines.append(f"Ray       {ray_version}, {options.ray_trials} trials, once")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ the sides


def _runs(options: argparse.Namespace, root: Path, parent: Path) -> Iterator[Run]:
    sides: dict[str, Callable[[int, int, Path, Path], Run]] = {TUNER: run_tuner, SCRIPT: run_script}
    for seed in range(options.pairs):
        for side in options.only:
            yield sides[side](options.trials, seed, root, _new(parent / f"{side}{seed}"))
    if options.ray_python:
        yield run_ray(options.ray_python, options.ray_trials, root, _new(parent / RAY))


def run_tuner(trials: int, seed: int, root: Path, folder: Path) -> Run:
    tuner = [sys.executable, "-m", "tuner"]
    command = [*tuner, "search", "--space", str(PEERS / "search.yaml"), "--set", f"data.root={root}"]
    time = timed([*command, "--trials", str(trials), "--seed", str(seed)], cwd=folder)
    status = json.loads(_output([*tuner, "status", "--json"], folder))
    trials = json.loads(_output([*tuner, "trials", "--json"], folder))
    winner = next(trial for trial in trials if trial["number"] == status["confirmed"]["trial"])
    return _run(TUNER, seed, time, status["trials"], winner["value"], tuner_config(winner["params"]))


def run_script(trials: int, seed: int, root: Path, folder: Path) -> Run:
    out = folder / "found.json"
    command = [sys.executable, str(PEERS / "handwritten.py"), "--root", str(root), "--out", str(out)]
    time = timed([*command, "--trials", str(trials), "--seed", str(seed)], cwd=folder)
    return _found(SCRIPT, seed, time, out)


def run_ray(python: str, trials: int, root: Path, folder: Path) -> Run:
    out = folder / "found.json"
    command = [python, str(PEERS / "ray_tune.py"), "--root", str(root), "--out", str(out), "--trials", str(trials)]
    return replace(_found(RAY, 0, timed(command, cwd=folder), out), cpu_s=None)


def _found(side: str, seed: int, time: Timed, out: Path) -> Run:
    found = json.loads(out.read_text(encoding="utf-8"))
    return _run(side, seed, time, found["trials"], found["value"], peer_config(found["params"]))


def _run(side: str, seed: int, time: Timed, states: Mapping[str, int], value: float, best: Config) -> Run:
    return Run(
        side=side,
        seed=seed,
        trials=sum(states.values()),
        complete=states.get("complete", 0),
        pruned=states.get("pruned", 0),
        wall_s=time.wall_s,
        cpu_s=time.cpu_s,
        value=value,
        best=best,
    )


def tuner_config(params: Mapping[str, Any]) -> Config:
    """Dotted params of peers/search.yaml."""
    layers = range(params["model.depth"])
    return Config(
        widths=tuple(params[f"model.width.{i}"] for i in layers),
        dropouts=tuple(params[f"model.dropout.{i}"] for i in layers),
        optimizer=params["optimizer.kind"],
        lr=params["optimizer.lr"],
    )


def peer_config(params: Mapping[str, Any]) -> Config:
    """Params as the script and Ray name them."""
    layers = range(params["n_layers"])
    return Config(
        widths=tuple(params[f"width_{i}"] for i in layers),
        dropouts=tuple(params[f"dropout_{i}"] for i in layers),
        optimizer=params["optimizer"].lower(),
        lr=params["lr"],
    )


def _output(command: Sequence[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


# ----------------------------------------------------------------------------------------------------- the neutral loop


def retrained(runs: Sequence[Run], data: Images, *, n_seeds: int) -> list[list[float]]:
    """Test accuracies of each run's best configuration, trained again on fresh seeds."""
    torch.set_num_threads(1)
    return [[trained_again(run.best, data, seed=1000 + seed) for seed in range(n_seeds)] for run in runs]


def trained_again(config: Config, data: Images, *, seed: int) -> float:
    """The same problem in the shortest loop; accuracy on the official test images after the first 1280."""
    torch.manual_seed(seed)
    model = _network(config)
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr)
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.train_x))[: BATCHES * BATCH_SIZE]
        for rows in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            functional.cross_entropy(model(data.train_x[rows] / 255), data.train_y[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.inference_mode():
        guessed = model(data.test_x[SEEN_BY_SCRIPT:] / 255).argmax(dim=1)
    return (guessed == data.test_y[SEEN_BY_SCRIPT:]).float().mean().item()


def _network(config: Config) -> nn.Module:
    layers: list[nn.Module] = []
    n_in = 784
    for width, dropout in zip(config.widths, config.dropouts, strict=True):
        layers += [nn.Linear(n_in, width), nn.ReLU(), nn.Dropout(dropout)]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, 10))


# ---------------------------------------------------------------------------------------------------------- the figures


def summarize(runs: Sequence[Run], again: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Medians of the ratios of a pair, and what the best is worth; only what was measured."""
    found: dict[str, Any] = {}
    for side in dict.fromkeys(run.side for run in runs):
        values = [value for run, values in zip(runs, again, strict=True) if run.side == side for value in values]
        found[f"{side}_retrained_mean"] = statistics.mean(values)
        found[f"{side}_retrained_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        found[f"{side}_s_per_trial"] = statistics.median(run.wall_s / run.trials for run in runs if run.side == side)
    pairs = [(_of(runs, SCRIPT, run.seed), run) for run in runs if run.side == TUNER and _of(runs, SCRIPT, run.seed)]
    if pairs:
        found["wall_ratio"] = statistics.median(script.wall_s / tuner.wall_s for script, tuner in pairs)
        found["cpu_ratio"] = statistics.median((script.cpu_s or 0.0) / (tuner.cpu_s or 1.0) for script, tuner in pairs)
        found["retrained_difference"] = found["tuner_retrained_mean"] - found["script_retrained_mean"]
    ray, tuner = _of(runs, RAY, 0), _of(runs, TUNER, 0)
    if ray and tuner and ray.trials == tuner.trials:
        found["ray_wall_ratio"] = ray.wall_s / tuner.wall_s
    return found


def _of(runs: Sequence[Run], side: str, seed: int) -> Run | None:
    return next((run for run in runs if run.side == side and run.seed == seed), None)


def _shown(run: Run) -> Run:
    counts = f"{run.side:<6}  {run.trials:>6}  {run.complete:>8}  {run.pruned:>6}"
    cpu_s = "" if run.cpu_s is None else f"{run.cpu_s:.1f}"
    print(f"{counts}  {run.wall_s:>6.1f}  {cpu_s:>6}  {run.value:>10.4f}", flush=True)
    return run


def _summary_text(summary: Mapping[str, Any]) -> str:
    lines = []
    for side in (TUNER, SCRIPT, RAY):
        if f"{side}_retrained_mean" in summary:
            mean, std = summary[f"{side}_retrained_mean"], summary[f"{side}_retrained_std"]
            lines.append(f"{side:<6}  best trained again: test accuracy {mean:.4f} (deviation of a seed {std:.4f})")
    if "wall_ratio" in summary:
        lines.append(f"wall time, script over tuner {summary['wall_ratio']:.2f}; CPU time {summary['cpu_ratio']:.2f}")
        lines.append(f"difference of the means, tuner - script {summary['retrained_difference']:+.4f}")
    if "ray_wall_ratio" in summary:
        lines.append(f"wall time, Ray over tuner {summary['ray_wall_ratio']:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
