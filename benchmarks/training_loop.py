"""Samples per second of one trial in tuner's loop, against two loops by hand and against matrix products alone.

    python benchmarks/training_loop.py [--rounds 10] [--seconds 0.2] [--quick]

One thread, float32, Adam, Fashion-MNIST; networks 784-h-h-10, and a small convolutional one. In each case these take
turns, round by round, and a ratio is the median of those of the rounds (many short ones: what disturbs the machine then
disturbs all of a round, or one round of many). Two minutes:

  tuner       execution.runner.Runner, as a worker drives it. Validation (10 rows) and checkpoint of an epoch are
              measured by an epoch of a single batch, and subtracted; `other` is their share of the epoch.
  per sample  a DataLoader over torchvision's FashionMNIST with ToTensor, the usual loop. Its iterator goes on from
              round to round, so that the shuffle of an epoch is not in the clock.
  bare        rows as one uint8 tensor, a permutation an epoch, index_select, float and scale a batch, zero_grad,
              cross_entropy, backward, Adam(fused=True), the loss accumulated without .item().
  products    the matrix products of a step alone, forward and backward, in their own shapes, with out=.
  sgemm       the floating-point operations of those products at the rate of one 1024 x 1024 x 1024 torch.mm.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from _fashion import ABSENT, Images, images, torchvision_root
from _machine import header, out_option, save
from torch import Tensor, nn
from torch.nn import functional

from tuner.config.spec import Spec, load
from tuner.execution.protocol import PrepareRequest
from tuner.execution.runner import Runner
from tuner.training.events import Decision
from tuner.training.job import TrainJob

WIDTHS, BATCH_SIZES = (32, 128, 512), (32, 64, 256)
CNN_BATCH_SIZES = (64, 256)
CNN_WIDTHS = (16, 32)
N_VAL = 10
N_SGEMM = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table; width None is the convolutional network."""

    width: int | None
    batch_size: int

    @property
    def name(self) -> str:
        return "cnn 16-32-128-10" if self.width is None else f"mlp 784-{self.width}-{self.width}-10"

    @property
    def model(self) -> str:
        if self.width is None:
            return f"{{kind: convnet, depth: 2, width: {list(CNN_WIDTHS)}, norm: none, head_width: 128}}"
        return f"{{kind: mlp, depth: 2, width: {self.width}}}"

    def network(self) -> nn.Module:
        """The same network, by hand."""
        if self.width is None:
            a, b = CNN_WIDTHS
            blocks = [nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            blocks += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(b * 49, 128), nn.ReLU(), nn.Linear(128, 10))
        h = self.width
        return nn.Sequential(nn.Flatten(), nn.Linear(784, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 10))

    def products(self) -> list[tuple[int, int, int]]:
        """(rows, n_in, n_out) of each layer's forward product for one sample; a convolution as one over patches."""
        if self.width is None:
            a, b = CNN_WIDTHS
            return [(784, 9, a), (196, 9 * a, b), (1, b * 49, 128), (1, 128, 10)]
        return [(1, n_in, n_out) for n_in, n_out in pairwise((784, self.width, self.width, 10))]


CASES = (
    *(Case(width=width, batch_size=size) for width in WIDTHS for size in BATCH_SIZES),
    *(Case(width=None, batch_size=size) for size in CNN_BATCH_SIZES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Samples per second of each, measured one after the other."""

    tuner: float
    per_sample: float
    bare: float
    products: float | None
    sgemm: float
    other: float


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = torchvision_root(Path(folder) / "data")
        if root is None:
            print(ABSENT)
            return
        print(f"{header()}\nn         {options.rounds} rounds of {options.seconds} s each, one thread\n")
        print(f"{'':<25} {'samples/s':>9}   {'of tuner':<6} ratio of tuner to")
        print(f"{'model':<19} {'batch':>5} {'tuner':>9} {'other %':>9} per sample   bare  products  sgemm", flush=True)
        data = images(root)
        runner = Runner(lambda: False)
        rows = [_shown(_measure(case, runner, data, root, Path(folder), options)) for case in CASES]
    summary = summarize(rows)
    print("\n" + "\n".join(f"{name:<32} {value:.2f}" for name, value in summary.items()))
    save(options.out, rows=rows, summary=summary)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of a case (default: 10)")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each loop in a round (default: 0.2)")
    parser.add_argument("--quick", action="store_true", help="one round of 0.1 s: does it run")
    out_option(parser)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.1
    return options


def _measure(
    case: Case, runner: Runner, data: Images, root: Path, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Warm everything up, then take turns."""
    bare = BareLoop(case, data)
    step_s = _seconds(partial(bare.run, 20)) / 20
    n_rows = len(data.train_x) - N_VAL
    n_steps = max(4, min(n_rows // case.batch_size, round(options.seconds / step_s)))
    n_epochs = max(1, round(options.seconds / step_s / n_steps))
    tuner = TunerLoop(case, runner, root, folder, n_steps)
    per_sample = PerSampleLoop(case, root)
    per_sample.run(2)
    n_sampled = max(2, round(options.seconds / (_seconds(partial(per_sample.run, 4)) / 4)))
    products = None if case.width is None else Products(case)
    rounds = []
    for _ in range(options.rounds):
        tuner_rate, other = tuner.rate(n_epochs)
        rounds.append(
            Round(
                tuner=tuner_rate,
                other=other,
                per_sample=n_sampled * case.batch_size / _seconds(partial(per_sample.run, n_sampled)),
                bare=n_epochs * n_steps * case.batch_size / _seconds(partial(bare.run, n_epochs * n_steps)),
                products=products and products.rate(options.seconds / 3),
                sgemm=_sgemm_flops() / flops(case),
            )
        )
    return _row(case, rounds)


def _row(case: Case, rounds: Sequence[Round]) -> dict[str, Any]:
    def median(value: Callable[[Round], float | None]) -> float | None:
        values = [number for one in rounds if (number := value(one)) is not None]
        return statistics.median(values) if values else None

    return {
        "model": case.name,
        "width": case.width,
        "batch_size": case.batch_size,
        "n": len(rounds),
        "other_share": median(lambda one: one.other),
        **{name: median(partial(_get, name=name)) for name in ("tuner", "per_sample", "bare", "products", "sgemm")},
        "to_per_sample": median(lambda one: one.tuner / one.per_sample),
        "to_bare": median(lambda one: one.tuner / one.bare),
        "to_products": median(lambda one: one.products and one.tuner / one.products),
        "to_sgemm": median(lambda one: one.tuner / one.sgemm),
    }


def _get(one: Round, *, name: str) -> float | None:
    value: float | None = getattr(one, name)
    return value


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    products = "" if row["to_products"] is None else f"{row['to_products']:.2f}"
    left = f"{row['model']:<19} {row['batch_size']:>5} {row['tuner']:>9.0f} {100 * row['other_share']:>9.1f}"
    print(
        f"{left} {row['to_per_sample']:>10.1f} {row['to_bare']:>6.2f} {products:>9} {row['to_sgemm']:>6.2f}", flush=True
    )
    return row


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the claims are about."""
    by_case = {(row["width"], row["batch_size"]): row for row in rows}
    summary = {
        "per_sample_128_64": by_case[128, 64]["to_per_sample"],
        "bare_worst": min(row["to_bare"] for row in rows),
        "bare_worst_mlp": min(row["to_bare"] for row in rows if row["width"]),
    }
    for width in (128, 512):
        summary[f"products_{width}_worst"] = min(by_case[width, size]["to_products"] for size in BATCH_SIZES)
        summary[f"sgemm_{width}_64"] = by_case[width, 64]["to_sgemm"]
    return summary


def _seconds(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


# ------------------------------------------------------------------------------------------------------------ the loops


class TunerLoop:
    """Two endless trials of one case: one of long epochs, one of epochs of a single batch."""

    def __init__(self, case: Case, runner: Runner, root: Path, folder: Path, n_steps: int) -> None:
        self._n_steps, self._batch_size = n_steps, case.batch_size
        name = f"{case.width}-{case.batch_size}"
        self._long = _epochs(runner, _spec(case, root, folder / f"{name}.yaml", n_steps))
        self._short = _epochs(runner, _spec(case, root, folder / f"{name}-1.yaml", 1))
        for epochs in (self._long, self._short):
            next(epochs)  # the first epoch builds, imports and warms up
            next(epochs)

    def rate(self, n_epochs: int) -> tuple[float, float]:
        """Samples per second of the training steps, and the share of an epoch that is not training steps."""
        step_s = 0.0
        while step_s <= 0.0:  # a short epoch beside something else took longer than a long one: that measured nothing
            long_s = sum(next(self._long) for _ in range(n_epochs)) / n_epochs
            short_s = statistics.median(next(self._short) for _ in range(3))
            step_s = (long_s - short_s) / (self._n_steps - 1)
        return self._batch_size / step_s, (short_s - step_s) / long_s


def _spec(case: Case, root: Path, path: Path, n_steps: int) -> Spec:
    path.write_text(
        "objective: {metric: loss}\n"
        f"data: {{kind: fashion_mnist, root: '{root}', batch_size: {case.batch_size},"
        f" split: {{val: {N_VAL}, stratify: false}}}}\n"
        f"model: {case.model}\noptimizer: {{kind: adam}}\n"
        f"train: {{epochs: 100000, batches_per_epoch: {n_steps}, device: cpu}}\n",
        encoding="utf-8",
    )
    return load(path)


def _epochs(runner: Runner, spec: Spec) -> Iterator[float]:
    """Seconds of one epoch after another of a trial that never ends."""
    folder = spec.base_dir
    runner.prepare(
        PrepareRequest(
            config=spec.base,
            metric=spec.objective.metric,
            seed=spec.seed,
            base_dir=folder,
            data_dir=folder / "decoded",
            threads=1,
        )
    )
    steps = runner.run(
        TrainJob(
            trial=0,
            attempt=1,
            seed=0,
            config=spec.base,
            metric="val/loss",
            maximize=False,
            checkpoints=(),
            folder=folder / f"{spec.study}",
            base_dir=folder,
            threads=1,
            device="cpu",
        )
    )
    end = next(steps)
    try:
        while True:
            yield end.seconds
            end = steps.send(Decision.CONTINUE)
    except StopIteration as stop:
        raise SystemExit(f"the trial ended: {stop.value.outcome} {stop.value.message}") from stop


class PerSampleLoop:
    """The loop of most tutorials."""

    def __init__(self, case: Case, root: Path) -> None:
        from torch.utils.data import DataLoader
        from torchvision import datasets, transforms

        dataset = datasets.FashionMNIST(str(root), train=True, transform=transforms.ToTensor())
        self._loader = DataLoader(dataset, batch_size=case.batch_size, shuffle=True)
        self._batches = iter(self._loader)
        self._model = case.network()
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3)

    def run(self, n_steps: int) -> None:
        total = 0.0
        self._model.train()
        for _ in range(n_steps):
            x, y = self._next()
            self._optimizer.zero_grad()
            loss = functional.cross_entropy(self._model(x), y)
            loss.backward()
            self._optimizer.step()
            total += loss.item()

    def _next(self) -> tuple[Tensor, Tensor]:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self._loader)
            batch = next(self._batches)
        x, y = batch
        return x, y


class BareLoop:
    """What is left when everything that can be is taken out of the loop."""

    def __init__(self, case: Case, data: Images) -> None:
        self._x = data.train_x if case.width else data.train_x.reshape(-1, 1, 28, 28)
        self._y = data.train_y
        self._batch_size = case.batch_size
        self._model = case.network()
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3, fused=True)
        self._order: Iterator[Tensor] = iter(())

    def run(self, n_steps: int) -> None:
        total = torch.zeros(())
        self._model.train()
        for _ in range(n_steps):
            rows = self._rows()
            x = self._x.index_select(0, rows).float().mul_(1 / 255)
            y = self._y.index_select(0, rows)
            self._optimizer.zero_grad()
            loss = functional.cross_entropy(self._model(x), y)
            loss.backward()
            self._optimizer.step()
            total += loss.detach()

    def _rows(self) -> Tensor:
        rows = next(self._order, None)
        if rows is None or len(rows) < self._batch_size:
            self._order = iter(torch.randperm(len(self._x)).split(self._batch_size))
            rows = next(self._order)
        return rows


class Products:
    """The matrix products of one step of a network of linear layers, into tensors that are there already."""

    def __init__(self, case: Case) -> None:
        self._batch_size = b = case.batch_size
        self._calls: list[tuple[Tensor, Tensor, Tensor]] = []
        for number, (_, n_in, n_out) in enumerate(case.products()):
            x, weight, grad = torch.randn(b, n_in), torch.randn(n_out, n_in), torch.randn(b, n_out)
            self._calls.append((x, weight.t(), torch.empty(b, n_out)))
            self._calls.append((grad.t(), x, torch.empty(n_out, n_in)))
            if number:  # nobody asks for the gradient of the images
                self._calls.append((grad, weight, torch.empty(b, n_in)))

    def rate(self, seconds: float) -> float:
        """Samples per second."""
        n_steps, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds or not n_steps:
            for left, right, out in self._calls:
                torch.mm(left, right, out=out)
            n_steps += 1
        return n_steps * self._batch_size / passed


def flops(case: Case) -> int:
    """Floating-point operations of the products of one sample: forward, weights' gradients, inputs' gradients."""
    sizes = [2 * rows * n_in * n_out for rows, n_in, n_out in case.products()]
    return 3 * sum(sizes) - sizes[0]


def _sgemm_flops() -> float:
    a, b, out = (torch.randn(N_SGEMM, N_SGEMM) for _ in range(3))
    torch.mm(a, b, out=out)
    n = 3
    started = time.perf_counter()
    for _ in range(n):
        torch.mm(a, b, out=out)
    return n * 2 * N_SGEMM**3 / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
