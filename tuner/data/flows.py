"""Iterable datasets that are not kept in memory: read from the beginning in every epoch, in their own order.

One process, this one or a loader's, reads the same items whatever its number. Several loader processes share the items
out as the dataset does by `torch.utils.data.get_worker_info()`. What items draw from the global generators is seeded
from the epoch's seed, the process and the batch; `set_epoch`, where a dataset has it, is called with a number from the
epoch's seed. So an epoch can be repeated exactly by every dataset that draws from these alone.

B rows of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tuner import seeding
from tuner.data.encoders import BEYOND, ItemEncoder, encode_item
from tuner.data.global_rng import seeded
from tuner.data.info import DataInfo
from tuner.data.iterated import Iterated
from tuner.data.loaders import LoaderOptions, loaded, start_loader
from tuner.data.own_targets import known_targets, target_value
from tuner.data.parts import ArrayPart, ItemCost, StreamPart
from tuner.data.scaling import Array
from tuner.data.streams import N_MEASURED, Stored, n_loaders
from tuner.data.target_units import TargetUnits
from tuner.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowPart:
    """The training items of an iterable dataset."""

    items: Iterated
    skip: int
    """Items at the beginning that are held out for validation and test."""
    targets: Tensor
    """Those of the pass that was looked at; training reads them again."""
    encoder: ItemEncoder
    info: DataInfo
    units: TargetUnits | None = None
    """Those of the targets in batches; None for those of the data."""
    costs: list[ItemCost] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    def in_units(self, units: TargetUnits) -> FlowPart:
        """The same items with scaled targets."""
        return replace(self, units=units)

    def pieces(self, seed: int, size: int, worker: int = 0) -> Iterator[Stored]:
        """One pass in pieces of `size` rows, the last one fewer; DataError names the item that cannot be read."""
        with seeded(seeding.derive(seed, "flow", worker)):
            passing = self.items.passes(seed)
        number, begins = 0, 0
        while True:
            with seeded(seeding.derive(seed, "flow", worker, number)):
                if not number:
                    begins = sum(1 for _ in islice(passing, self.skip))
                found = [self._row(begins + row, item) for row, item in enumerate(islice(passing, size))]
            if not found:
                return
            yield torch.stack([x for x, _ in found]), self._targets(begins, [y for _, y in found])
            number, begins = number + 1, begins + len(found)

    def _row(self, row: int, item: Any) -> tuple[Tensor, Array]:
        x, y = self.items.pair(row, item)
        try:
            return torch.from_numpy(encode_item(x, self.encoder).copy()), target_value(self.items.name, row, y)
        except ValueError as error:
            remedy = "; say in data.n_tokens how many there are" if str(error).startswith(BEYOND) else ""
            raise DataError(f"{self.items.name(row)}: {error}{remedy}") from error

    def _targets(self, begins: int, values: list[Array]) -> Tensor:
        y = torch.from_numpy(known_targets(lambda row: self.items.name(begins + row), values, self.info))
        return y if self.units is None else self.units.scaled(y)

    def first(self, n_rows: int) -> Tensor:
        """The first training items in stored form, as one pass gives them."""
        return next(self.pieces(0, n_rows))[0]


Part = ArrayPart | StreamPart | FlowPart


class FlowLoader:
    """Reads the epochs of a flow in this process, or in `num_workers` processes that end with this object."""

    def __init__(self, part: FlowPart, *, num_workers: int, options: LoaderOptions) -> None:
        if num_workers > 1 and part.skip:
            raise DataError(
                f"data.num_workers: {num_workers} processes would share out the items of an iterable dataset, and its"
                f" first {part.skip} are held out for validation and test; return val and test as parts of their own,"
                " or take num_workers: 1"
            )
        self.num_workers = num_workers
        self._part = part
        self.options = options
        self._passes = _Passes(part)
        self._loader: DataLoader[Any] | None = None

    def epoch(self, seed: int, batch_size: int, n_rows: int) -> Iterator[Stored]:
        """The first `n_rows` rows of an epoch in batches; DataError when there are fewer."""
        left = n_rows
        held: list[Stored] = []
        for x, y in self._pieces(seed, batch_size):
            held.append((x, y))
            while left and (n_held := sum(len(y) for _, y in held)) >= min(batch_size, left):
                x_B, y_B = (
                    torch.cat(list(tensors)) if len(held) > 1 else tensors[0] for tensors in zip(*held, strict=True)
                )
                size = min(batch_size, left)
                yield x_B[:size], y_B[:size]
                held, left = ([(x_B[size:], y_B[size:])] if n_held > size else []), left - size
            if not left:
                return
        missing = left - sum(len(y) for _, y in held)
        raise DataError(
            f"{self._part.items.title} ended {missing} items before the {n_rows} of an epoch that it had before:"
            " data.epoch_items says how many make up an epoch"
        )

    def _pieces(self, seed: int, size: int) -> Iterator[Stored]:
        if self.num_workers == 0:
            yield from self._part.pieces(seed, size)
            return
        self._passes.begin(seed, size)
        if self._loader is None:
            self._loader = start_loader(self._passes, None, self.num_workers, self.options)
        first: Tensor | None = None
        for number, piece in enumerate(loaded(self._loader, self.options.timeout)):
            if isinstance(piece, DataError):
                raise piece
            if number == 1 and self.num_workers > 1 and first is not None and torch.equal(first, piece[0]):
                raise DataError(
                    f"{self._part.items.title}: every loader process reads the same items; take those of its own by"
                    " torch.utils.data.get_worker_info() in __iter__, or set data.num_workers: 1"
                )
            first = piece[0] if number == 0 else first
            yield piece


class _Passes(IterableDataset[Any]):
    """What a loader's process iterates; the seed and the size of an epoch reach it through shared memory."""

    def __init__(self, part: FlowPart) -> None:
        self._part = part
        self._now = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def begin(self, seed: int, size: int) -> None:
        self._now.copy_(torch.tensor([seed, size]))

    def __iter__(self) -> Iterator[Stored | DataError]:
        seed, size = self._now.tolist()
        worker = get_worker_info()
        try:
            yield from self._part.pieces(seed, size, worker.id if worker else 0)
        except DataError as error:  # raised here, it would come back inside this process' traceback
            yield error


def choose_flow_loaders(setting: int | str, part: FlowPart, *, batch_size: int, n_cores: int) -> int:
    """What the user set; else one process where items cost time, since not every dataset shares its items out."""
    if isinstance(setting, int):
        return setting
    if not part.costs:
        part.costs.append(_cost(part))
    return min(1, n_loaders(part.costs[0], batch_size=batch_size, n_cores=n_cores))


def _cost(part: FlowPart) -> ItemCost:
    """Of one item of a pass that has begun; one that cannot be read costs nothing here, training will say it."""
    costs = []
    try:
        pieces = part.pieces(0, 1)
        next(pieces)  # opens files, fills buffers
        for _ in range(N_MEASURED):
            wall, cpu = time.perf_counter(), time.process_time()
            next(pieces)
            costs.append(ItemCost(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu))
    except (DataError, StopIteration):
        pass
    return min(costs, key=lambda cost: cost.wall_s, default=ItemCost(wall_s=0.0, cpu_s=0.0))


def stacked_epochs(part: FlowPart, seeds: tuple[int, ...], batch_size: int, n_rows: int) -> Iterator[Stored]:
    """The batches of several lanes beside each other, each lane with a pass of its own."""
    loaders = [FlowLoader(part, num_workers=0, options=LoaderOptions()) for _ in seeds]
    passes = [loader.epoch(seed, batch_size, n_rows) for loader, seed in zip(loaders, seeds, strict=True)]
    for lanes in zip(*passes, strict=True):
        yield torch.cat([x for x, _ in lanes]), torch.cat([y for _, y in lanes])
