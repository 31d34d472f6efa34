"""What a batch costs before the model sees it: microseconds, on one thread.

Stored rows (54 000 images of 28 by 28 in uint8, as Fashion-MNIST's training part): tuner's batches, a bare
`index_select` of images and labels, which is the least that anybody pays, and torch's DataLoader over a TensorDataset,
one Python call a sample with torch's own collation. All three end with float32 images that are scaled, but for the
bare one. Then a lane's share of a batch that is stacked for 8 lanes, and batches that are augmented.

Streamed rows: a Python dataset whose items take about 0.2 ms of arithmetic each, read by 0, 1 and 2 loader processes
that stay over the epochs. The consumer does nothing, so this is the most that loaders can deliver.

Every line is the best of some epochs in which the candidates alternate (A B C A B C ...).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from _machine import header
from torch.utils.data import DataLoader, TensorDataset

from tuner.config.schema import Augment, PythonData
from tuner.data.augment import Augmenter
from tuner.data.batches import stacked_batches, train_batches
from tuner.data.encoders import ImageEncoder
from tuner.data.feed import Feed
from tuner.data.info import DataInfo
from tuner.data.parts import ArrayPart
from tuner.data.prepare import prepare
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Scaling

SHAPE = (1, 28, 28)
BATCH_SIZES = (32, 64, 256)
N_LANES = 8
KINDS = ("light", "standard", "full", "randaugment", "trivialaugment")
INFO = DataInfo(
    kind="noise",
    task="classification",
    input_shape=SHAPE,
    n_targets=10,
    labels=tuple("0123456789"),
    n_train=0,
    n_val=0,
    n_test=0,
    fingerprint="",
    in_memory=True,
)
LANES = f"tuner, a lane of {N_LANES} stacked"
STREAMED = """
import torch

class Items:
    def __len__(self):
        return 2000
    def __getitem__(self, i):
        x = torch.full((1, 28, 28), float(i))
        for _ in range(40):
            x = x * 0.5 + 1.0
        return x, i % 2
"""


def main() -> None:
    """Print the tables."""
    options = _options()
    torch.set_num_threads(1)
    print(header())
    print(f"n         best of {options.epochs} epochs, alternating; {options.rows} stored rows, 1 thread\n")
    part = _part(options.rows)
    print(f"{'stored rows, us a batch':<34}" + "".join(f"{size:>9}" for size in BATCH_SIZES))
    columns = [_stored(part, size, options.epochs) for size in BATCH_SIZES]
    for name in columns[0]:
        print(f"{name:<34}" + "".join(f"{column[name]:>9.1f}" for column in columns))
    ratios = [column["DataLoader, a call a sample"] / column["tuner"] for column in columns]
    print(f"{'DataLoader over tuner':<34}" + "".join(f"{ratio:>9.1f}" for ratio in ratios))
    print(f"\n{'streamed rows, batch 64':<34}{'us a batch':>12}{'ratio':>8}")
    streamed = _streamed(options.epochs)
    for n_loaders, cost in streamed.items():
        print(f"{f'{n_loaders} loader processes':<34}{cost:>12.0f}{streamed[0] / cost:>8.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=54_000, help="stored rows (default: 54000)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each candidate (default: 3)")
    return parser.parse_args()


def _part(n_rows: int) -> ArrayPart:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (n_rows, *SHAPE), generator=generator, dtype=torch.uint8)
    return ArrayPart(inputs=inputs, targets=torch.randint(0, 10, (n_rows,), generator=generator))


def _stored(part: ArrayPart, batch_size: int, epochs: int) -> dict[str, float]:
    scaling = Scaling(mean=(73.0,), std=(90.0,), n_trailing=2)
    preprocess = Preprocess(encoder=ImageEncoder(shape=SHAPE), scaling=scaling)

    def ours(augmenter: Augmenter | None = None) -> Iterable[object]:
        return train_batches(part, preprocess, batch_size=batch_size, device="cpu", epoch_seed=0, augmenter=augmenter)

    def lanes() -> Iterable[object]:
        return stacked_batches(
            part,
            preprocess,
            batch_size=batch_size,
            device="cpu",
            epoch_seeds=range(N_LANES),
            limit=len(part) // batch_size // 2,
        )

    def augmented(**options: object) -> Callable[[], Iterable[object]]:
        augmenter = Augmenter.of(Augment.model_validate(options), INFO)
        return lambda: ours(augmenter)

    candidates: dict[str, Callable[[], Iterable[object]]] = {
        "bare index_select": lambda: _bare(part, batch_size),
        "tuner": ours,
        LANES: lanes,
        **{f"tuner, augment {kind}": augmented(kind=kind) for kind in KINDS},
        "tuner, mixup": augmented(mixup=0.2),
        "tuner, cutmix": augmented(cutmix=1.0),
        "DataLoader, a call a sample": lambda: _per_sample(part, scaling, batch_size),
    }
    best = _best(candidates, epochs)
    return {name: cost / N_LANES if name == LANES else cost for name, cost in best.items()}


def _bare(part: ArrayPart, batch_size: int) -> Iterator[object]:
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
    for indices in order.split(batch_size):
        yield part.inputs.index_select(0, indices), part.targets.index_select(0, indices)


def _per_sample(part: ArrayPart, scaling: Scaling, batch_size: int) -> Iterator[object]:
    mean, inverse = scaling.constants(torch.device("cpu"))
    loader = DataLoader(TensorDataset(part.inputs, part.targets), batch_size=batch_size, shuffle=True)
    for stored, targets in loader:
        yield stored.float().sub_(mean).mul_(inverse), targets


def _streamed(epochs: int) -> dict[int, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "items.py").write_text(STREAMED)
        data = PythonData(target="items.py:Items", in_memory=False, normalize=False)
        prepared = prepare(data, metric="accuracy", seed=0, base_dir=folder, cache_dir=folder / "cache")
        feeds = {
            n: Feed.of(prepared, data.model_copy(update={"num_workers": n}), device=torch.device("cpu"), n_cores=1)
            for n in (0, 1, 2)
        }
        for feed in feeds.values():
            next(iter(feed.train(epoch_seed=9)))  # processes start
        costs = _best({str(n): lambda feed=feed: feed.train(epoch_seed=0) for n, feed in feeds.items()}, epochs)
        return {int(n): cost for n, cost in costs.items()}


def _best(candidates: dict[str, Callable[[], Iterable[object]]], epochs: int) -> dict[str, float]:
    """Microseconds a batch of each candidate."""
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(epochs):
        for name, batches in candidates.items():
            started = time.perf_counter()
            count = sum(1 for _ in batches())
            best[name] = min(best[name], (time.perf_counter() - started) / count * 1e6)
    return best


if __name__ == "__main__":
    sys.exit(main())
