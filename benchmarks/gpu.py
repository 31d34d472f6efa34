"""Samples per second of tuner's own training loop: a small network at two batch sizes, and a convolutional one.

The loop is driven in this process, without search or database, exactly as a worker drives it. A row's number is that of
its median epoch, the first one left out; an epoch is training, validation (1000 rows) and the checkpoint, but only
rows that were trained on are counted. On the CPU the epochs are cut short, so that all of it takes less than a minute.

A second table compares lanes with a run alone, on the GPU for up to 256 of them: see lanes.py.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lanes
import torch
from _machine import header, n_cores, out_option, save

from tuner.config.schema import ImageData
from tuner.config.spec import Spec, load
from tuner.data.batches import n_batches
from tuner.data.sources import SOURCES
from tuner.device import precision_of, resolve
from tuner.errors import NotFoundError, TunerError
from tuner.execution.protocol import PrepareRequest
from tuner.execution.runner import Runner
from tuner.training.events import Decision, EpochEnd, Outcome
from tuner.training.job import TrainJob

FASHION = "{kind: fashion_mnist, download: false, batch_size: 64, split: {val: 1000}}"
SYNTHETIC = "{kind: python, target: images.py:Images, batch_size: 64, split: {val: 1000, test: 1000}}"
IMAGES = '''
import torch

class Images(torch.utils.data.Dataset):
    """Random 8-bit images in ten classes, of Fashion-MNIST's size."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randint(0, 256, (22_000, 1, 28, 28), dtype=torch.uint8, generator=generator)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], index % 10
'''
MLP = "{kind: mlp, depth: 1, width: 128}"
CONVNET = "{kind: convnet, depth: 2, width: 32, head_width: 64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    model: str
    batch_size: int
    cpu_batches: int
    """Batches in one epoch on the CPU."""


CASES = (
    Case(name="mlp 784-128-10", model=MLP, batch_size=64, cpu_batches=400),
    Case(name="mlp 784-128-10", model=MLP, batch_size=256, cpu_batches=150),
    Case(name="convnet 32-32", model=CONVNET, batch_size=64, cpu_batches=30),
    Case(name="convnet 32-32", model=CONVNET, batch_size=256, cpu_batches=8),
)


def main() -> None:
    """Print the table."""
    options = _options()
    try:
        device = resolve(options.device)
    except TunerError as error:
        raise SystemExit(str(error)) from error
    data = _data()
    precision = precision_of("auto", device).autocast_dtype or torch.float32
    threads = n_cores() if device.type == "cuda" else 1  # what a worker of `tuner search` has by default
    print(
        f"{header()}\ndevice    {_device_name(device)}; {str(precision).removeprefix('torch.')}; {threads} of the cores"
    )
    print(f"data      {'Fashion-MNIST' if data == FASHION else 'synthetic images of its shape'}")
    print(f"n         median of {options.epochs - 1} epochs, the first left out\n")
    print(f"{'model':<16} {'batch':>5} {'rows/epoch':>10} {'ms/step':>8} {'samples/s':>10}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images.py").write_text(IMAGES, encoding="utf-8")
        runner = Runner(lambda: False)
        for number, case in enumerate(CASES):
            spec = _spec(case, data, Path(folder), device, options.epochs)
            _measure(case, spec, runner, number=number, device=device, threads=threads)
    sizes = lanes.ON_GPU if device.type == "cuda" else lanes.ON_CPU[:4]
    print(f"\nlanes     {sizes[-1]} at most; epochs/s of K lanes over those of a run alone")
    rows, summary = lanes.table(sizes, 5, str(device))
    if device.type == "cuda":
        fashion = [row["speedup"] for row in rows if row["model"] in ("mlp width 128", "mlp width 32")]
        save(options.out, rows=rows, summary={"speedup_mlp": max(fashion), "speedup_cnn": summary["speedup_cnn"]})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a row, the first uncounted (default: 4)")
    out_option(parser)
    return parser.parse_args()


def _data() -> str:
    try:
        SOURCES["fashion_mnist"].files(ImageData(kind="fashion_mnist", download=False), Path.cwd())
    except NotFoundError:
        return SYNTHETIC
    return FASHION


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _spec(case: Case, data: str, folder: Path, device: torch.device, epochs: int) -> Spec:
    batches = "null" if device.type == "cuda" else case.cpu_batches
    path = folder / "gpu.yaml"
    path.write_text(
        f"objective: {{metric: accuracy}}\ndata: {data}\nmodel: {case.model}\n"
        f"train: {{epochs: {epochs}, batches_per_epoch: {batches}, device: '{device}'}}\n",
        encoding="utf-8",
    )
    return load(path, sets=[f"data.batch_size={case.batch_size}"])


def _measure(case: Case, spec: Spec, runner: Runner, *, number: int, device: torch.device, threads: int) -> None:
    folder = spec.base_dir
    info = runner.prepare(
        PrepareRequest(
            config=spec.base,
            metric=spec.objective.metric,
            seed=spec.seed,
            base_dir=folder,
            data_dir=folder / "data",
            threads=threads,
        )
    )
    job = TrainJob(
        trial=number,
        attempt=1,
        seed=number,
        config=spec.base,
        metric="val/accuracy",
        maximize=True,
        checkpoints=(),
        folder=folder / str(number),
        base_dir=folder,
        threads=threads,
        device=str(device),
    )
    limit = spec.base.train.batches_per_epoch
    steps = n_batches(info.n_train, batch_size=case.batch_size, limit=limit)
    rows = min(steps * case.batch_size, info.n_train)
    seconds = statistics.median([end.seconds for end in _epochs(runner, job)][1:])
    print(f"{case.name:<16} {case.batch_size:>5} {rows:>10} {seconds / steps * 1e3:>8.3f} {rows / seconds:>10.0f}")


def _epochs(runner: Runner, job: TrainJob) -> Iterator[EpochEnd]:
    steps = runner.run(job)
    end = next(steps)
    try:
        while True:
            yield end
            end = steps.send(Decision.CONTINUE)
    except StopIteration as stop:
        if stop.value.outcome is not Outcome.COMPLETED:
            raise SystemExit(f"{stop.value.outcome}: {stop.value.message}") from stop


if __name__ == "__main__":
    main()
