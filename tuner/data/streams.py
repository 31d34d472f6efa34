"""Streamed rows: batches that a user's dataset reads item by item, here or in loader processes.

A loader's processes are asked for whole batches, and each request carries its own seed: so they can live for the
whole of a trial, serve its training and its validation part, and still give the same items as one process does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tuner import seeding
from tuner.data.global_rng import seeded
from tuner.data.loaders import LoaderOptions, loaded, start_loader
from tuner.data.parts import ItemCost, StoredPart, StreamPart
from tuner.errors import DataError

Stored = tuple[Tensor, Tensor]
"""Inputs in stored form, and targets."""

MAX_LOADERS = 8
CHEAP_BATCH_S = 2e-3
"""A batch that is read faster is read where it is needed: handing it over takes some 0.3 ms, and a core."""
N_MEASURED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One batch: rows of one part, and the seed of what their items draw."""

    part: int
    seed: int
    rows: tuple[int, ...]

    @classmethod
    def of(cls, part: int, epoch_seed: int, rows: Tensor) -> Request:
        numbers = tuple(rows.tolist())
        return cls(part=part, seed=seeding.derive(epoch_seed, "items", numbers[0]), rows=numbers)


class StreamLoader:
    """Reads batches of some parts in this process, or in `num_workers` processes that end with this object."""

    def __init__(self, parts: Sequence[StreamPart], *, num_workers: int, options: LoaderOptions | None = None) -> None:
        self.num_workers = num_workers
        self._parts = tuple(parts)
        self._dataset = _Batches(self._parts)
        self._requests = _Requests()
        self.options = options or LoaderOptions()
        self._loader: DataLoader[Any] | None = None

    def number_of(self, part: StreamPart) -> int:
        """What a Request calls the part."""
        return next(number for number, known in enumerate(self._parts) if known is part)

    def read(self, requests: Iterable[Request]) -> Iterator[Stored]:
        """The batches in the order of their requests; DataError when an item cannot be read."""
        for batch in self._read(requests):
            if isinstance(batch, DataError):
                raise batch
            yield batch

    def _read(self, requests: Iterable[Request]) -> Iterator[Stored | DataError]:
        if self.num_workers == 0:
            return (self._dataset[request] for request in requests)
        self._requests.now = requests
        if self._loader is None:
            self._loader = start_loader(self._dataset, self._requests, self.num_workers, self.options)
        return loaded(self._loader, self.options.timeout)


class _Requests(Sampler[Request]):
    """What the loader is to read now: another list each epoch, while its processes stay."""

    def __init__(self) -> None:
        self.now: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.now)


class _Batches(Dataset[Any]):
    """A dataset whose items are whole batches, so that their random draws can be seeded by batch."""

    def __init__(self, parts: Sequence[StreamPart]) -> None:
        self._parts = parts

    def __getitem__(self, request: Request) -> Stored | DataError:
        """A batch, or the error: raised in a loader's process, it would come back inside that process' traceback."""
        try:
            with seeded(request.seed):
                return self._parts[request.part].read(request.rows)
        except DataError as error:
            return error


# ------------------------------------------------------------------------------------------------------------ how many


def choose_loaders(setting: int | Literal["auto"], part: StoredPart, *, batch_size: int, n_cores: int) -> int:
    """Loader processes for a part: none for stored rows, what the user set, or what `n_loaders` finds.

    `n_cores` are those that this process may keep busy, itself included.
    """
    if not isinstance(part, StreamPart):
        return 0
    if isinstance(setting, int):
        return setting
    if not part.costs:
        part.costs.append(item_cost(part))
    return n_loaders(part.costs[0], batch_size=batch_size, n_cores=n_cores)


def n_loaders(cost: ItemCost, *, batch_size: int, n_cores: int) -> int:
    """None for cheap items; one for every core that is free; more where items wait for a disk or a network."""
    if cost.wall_s * batch_size < CHEAP_BATCH_S:
        return 0
    waiting = cost.wall_s / max(cost.cpu_s, 1e-3 * cost.wall_s)
    for_waiting = math.floor(waiting) if waiting >= 2.0 else 0  # noqa: PLR2004 - at least half of the time
    return min(MAX_LOADERS, max(n_cores - 1, for_waiting))


def item_cost(part: StreamPart) -> ItemCost:
    """Read a few items; one that cannot be read costs nothing here, training will say it."""
    rows = range(0, len(part), max(1, len(part) // N_MEASURED))[:N_MEASURED]
    try:
        with seeded(0):
            part.read([rows[0]])  # opens files, fills caches
            costs = [_cost_of(part, row) for row in rows]
    except DataError:
        return ItemCost(wall_s=0.0, cpu_s=0.0)
    return min(costs, key=lambda cost: cost.wall_s)  # the others may have waited for a core, not for a disk


def _cost_of(part: StreamPart, row: int) -> ItemCost:
    wall, cpu = time.perf_counter(), time.process_time()
    part.read([row])
    return ItemCost(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)
