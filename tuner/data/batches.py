"""Batches for training and evaluation.

Stored rows: whole batches are indexed from one tensor, never a Python call a sample. Rows stay uint8 (images) and are
converted and scaled a batch at a time. Fashion-MNIST, 54 000 rows, one core of a 2-core x86 server, torch 2.15, best of
4 epochs, us a batch of 32 / 64 / 256: this 16 / 24 / 75, a DataLoader over whole batches 30 / 39 / 96, index_select
alone 7 / 11 / 34; rows scaled beforehand would take four times the memory and gain nothing. On a GPU several batches
are made at once, since there each of these small steps costs a launch. Streamed rows: `tuner.data.streams`.

T lanes, B rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from tuner.data.augment import Augmenter, Draws
from tuner.data.flows import FlowLoader, FlowPart, Part, stacked_epochs
from tuner.data.lengths import batch_lengths, bucketed
from tuner.data.loaders import LoaderOptions
from tuner.data.mixing import mates_in
from tuner.data.own_sampler import OwnSampler
from tuner.data.parts import ArrayPart, StreamPart, has_token_targets, is_input
from tuner.data.prefetch import moved
from tuner.data.preprocess import Preprocess
from tuner.data.sampling import weighted_order
from tuner.data.scaling import apply
from tuner.data.streams import Request, StreamLoader

Batch = tuple[Tensor, Tensor]

EVALUATED_ROWS = 256
EVALUATED_VALUES = 2**21
"""Limits of an evaluation batch: it depends on the data alone, so that sums are repeatable."""
IMAGE_BATCH_NDIM = 4
BLOCK_BYTES = 2**26
"""Batches that are made at once on a GPU. On the CPU it is one: the next batch would push this one out of the cache."""
ALIGNED_BYTES = 64
"""Batches share a block only when each begins at such an address, as tensors of their own do."""


def n_batches(n_rows: int, *, batch_size: int, drop_last: bool = False, limit: int | None = None) -> int:
    """Batches in one epoch; 0 when `drop_last` leaves nothing.

    A single row that is left over after full batches makes no batch: batch normalisation has no variance to work with.
    Each epoch leaves another row out.
    """
    full, rest = divmod(n_rows, batch_size)
    has_rest = rest > 1 or (rest == 1 and full == 0)
    count = full + int(has_rest and not drop_last)
    return count if limit is None else min(count, limit)


def train_batches(
    part: Part,
    preprocess: Preprocess,
    *,
    batch_size: int,
    device: torch.device | str,
    epoch_seed: int,
    drop_last: bool = False,
    limit: int | None = None,
    num_workers: int = 0,
    channels_last: bool = False,
    augmenter: Augmenter | None = None,
    bucket: bool = False,
    sampler: OwnSampler | Literal["shuffle", "weighted"] = "shuffle",
    loader: StreamLoader | FlowLoader | None = None,
) -> Iterator[Batch]:
    """One epoch of (x, y) on the device, in an order that depends on `epoch_seed` alone.

    `limit` takes its first batches. x is float32 as the model sees it (int64 for tokens). y is int64 [B] ([B, L] for
    language) or float32 [B, n_targets], which are the flattened inputs themselves for autoencoding. Rows with padding
    are cut to the longest of their batch; with `bucket`, batches are of rows of about one length. What a streamed
    dataset draws from the global generators is seeded from `epoch_seed` and the batch, whichever process reads it; the
    generators of this process are left as they were. `num_workers`, and `loader`, which has its own, matter to streamed
    data alone. `weighted` draws rows with replacement, so that all classes come equally often. Raises DataError when a
    streamed item cannot be read.
    """
    count = n_batches(len(part), batch_size=batch_size, drop_last=drop_last, limit=limit)
    lengths_N = _lengths(part, preprocess)
    order = _Order(bucketed_by=lengths_N if bucket else None, sampler=sampler)
    plan = _plan(part, [epoch_seed], batch_size, count, augmenter, order)
    reader = _Reader(part, preprocess, torch.device(device), channels_last=channels_last, loader=loader)
    return reader.batches(plan, num_workers)


def stacked_batches(
    part: Part,
    preprocess: Preprocess,
    *,
    epoch_seeds: Sequence[int],
    batch_size: int,
    device: torch.device | str,
    drop_last: bool = False,
    limit: int | None = None,
    num_workers: int = 0,
    channels_last: bool = False,
    augmenter: Augmenter | None = None,
    bucket: bool = False,
    sampler: OwnSampler | Literal["shuffle", "weighted"] = "shuffle",
    loader: StreamLoader | FlowLoader | None = None,
) -> Iterator[Batch]:
    """One epoch of x [T, B, ...] and y [T, B, ...] for T lanes, each with the order and the draws of its own seed.

    Equal, bit for bit, to the `train_batches` of each seed stacked, and as cheap as one batch of T * B rows.
    """
    count = n_batches(len(part), batch_size=batch_size, drop_last=drop_last, limit=limit)
    lengths_N = _lengths(part, preprocess)
    order = _Order(bucketed_by=lengths_N if bucket else None, sampler=sampler)
    plan = _plan(part, epoch_seeds, batch_size, count, augmenter, order)
    reader = _Reader(part, preprocess, torch.device(device), channels_last=channels_last, loader=loader)
    n = len(epoch_seeds)
    return ((_lanes(x, n), _lanes(y, n)) for x, y in reader.batches(plan, num_workers))


def _lengths(part: Part, preprocess: Preprocess) -> Tensor | None:
    """The length of each row where they differ; with a target for every token rows stay as long as those."""
    if preprocess.padding is None or not isinstance(part, ArrayPart) or has_token_targets(part.targets):
        return None
    return part.lengths(preprocess.padding)


def _lanes(flat: Tensor, n_lanes: int) -> Tensor:
    return torch.unflatten(flat, 0, (n_lanes, -1))


def eval_batches(
    part: Part,
    preprocess: Preprocess,
    *,
    device: torch.device | str,
    limit: int | None = None,
    num_workers: int = 0,
    channels_last: bool = False,
    loader: StreamLoader | FlowLoader | None = None,
) -> Iterator[Batch]:
    """All rows, or the first `limit` batches, in their fixed order and a batch size that depends on the data alone."""
    batch_size = evaluation_batch_size(preprocess.input_shape)
    order = torch.arange(len(part))[: None if limit is None else limit * batch_size]
    plan = _Plan(order=order, batch_size=batch_size, seeds=(0,))
    reader = _Reader(part, preprocess, torch.device(device), channels_last=channels_last, loader=loader)
    return reader.batches(plan, num_workers)


def evaluation_batch_size(input_shape: Sequence[int]) -> int:
    """The largest power of two within both limits."""
    rows = max(1, EVALUATED_VALUES // max(1, math.prod(input_shape)))
    return min(EVALUATED_ROWS, 1 << (rows.bit_length() - 1))


# ----------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Which rows make up the batches of an epoch, and what happens to them.

    `order` has all rows one after the other: those of the first batch for each lane in turn, then of the second ...
    """

    order: Tensor
    batch_size: int
    """Of one lane."""
    seeds: tuple[int, ...]
    augmenter: Augmenter | None = None
    draws: Draws | None = None
    """As `Augmenter.draw` gives them, in the order of `order`."""

    @property
    def rows(self) -> int:
        """Rows of all lanes in one batch."""
        return self.batch_size * len(self.seeds)


def _plan(
    part: Part,
    seeds: Sequence[int],
    batch_size: int,
    count: int,
    augmenter: Augmenter | None,
    order: _Order,
) -> _Plan:
    n_rows = len(part)
    n_used = min(n_rows, count * batch_size)
    orders = [order.of(part, seed, batch_size)[:n_used] for seed in seeds]
    # Drawn for the whole epoch, however many batches are taken: a limited one begins like a whole one.
    draws = [augmenter.draw(seed, n_rows).first(n_used) for seed in seeds] if augmenter else []
    if augmenter and augmenter.mixing:
        draws = [replace(lane, mates=mates_in(n_used, batch_size)) for lane in draws]
    return _Plan(
        order=_interleaved(orders, batch_size),
        batch_size=batch_size,
        seeds=tuple(seeds),
        augmenter=augmenter,
        draws=Draws.together(draws, lambda lanes: _interleaved(lanes, batch_size)) if draws else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """How the rows of an epoch are ordered."""

    bucketed_by: Tensor | None
    """The lengths of rows, where those of about one length make up a batch."""
    sampler: OwnSampler | Literal["shuffle", "weighted"]

    def of(self, part: Part, seed: int, batch_size: int) -> Tensor:
        if isinstance(part, FlowPart):  # they come in an order of their own
            return torch.arange(len(part))
        generator = torch.Generator().manual_seed(seed)
        if isinstance(self.sampler, OwnSampler):
            order = self.sampler.order(part, seed)
        elif self.sampler == "weighted":
            order = weighted_order(part.targets, generator)
        else:
            order = torch.randperm(len(part), generator=generator)
        return order if self.bucketed_by is None else bucketed(order, self.bucketed_by, batch_size, generator)


def _interleaved(lanes: Sequence[Tensor], batch_size: int) -> Tensor:
    """The first batch of every lane, the second of every lane ..."""
    if len(lanes) == 1:
        return lanes[0]
    chunks = torch.split(torch.stack(list(lanes)), batch_size, dim=1)
    return torch.cat([chunk.flatten(0, 1) for chunk in chunks])


# ------------------------------------------------------------------------------------------------------------- read


class _Reader:
    """Carries a plan out on one part and device."""

    def __init__(
        self,
        part: Part,
        preprocess: Preprocess,
        device: torch.device,
        *,
        channels_last: bool,
        loader: StreamLoader | FlowLoader | None,
    ) -> None:
        self._part = part
        self._device = device
        self._constants = None if preprocess.scaling is None else preprocess.scaling.constants(device)
        self._values = max(1, math.prod(preprocess.input_shape))
        self._is_image = len(preprocess.input_shape) == IMAGE_BATCH_NDIM - 1
        self._channels_last = channels_last and self._is_image
        self._loader = loader
        self._pins = loader is None or loader.options.pin_memory
        self._lengths_N = _lengths(part, preprocess)

    def batches(self, plan: _Plan, num_workers: int) -> Iterator[Batch]:
        if not len(plan.order):
            return iter(())
        if isinstance(self._part, ArrayPart):
            part = self._part.on(self._device)
            n_rows = plan.rows * self._batches_at_once(plan) if part.is_on(self._device) else plan.rows
            stored = _stored(part, plan, n_rows, self._cuts(part, plan, n_rows))
            blocks = stored if part.is_on(self._device) else moved(stored, self._device)
            return self._made(blocks, plan, n_rows, self._cuts(part, plan, plan.rows))
        read = (
            self._flowing(plan, num_workers) if isinstance(self._part, FlowPart) else self._streaming(plan, num_workers)
        )
        return self._made(moved(read, self._device, pins=self._pins), plan, plan.rows)

    def _streaming(self, plan: _Plan, num_workers: int) -> Iterator[Batch]:
        part, loader = self._part, self._loader
        assert isinstance(part, StreamPart)
        if not isinstance(loader, StreamLoader):
            options = LoaderOptions(pin_memory=self._device.type == "cuda")
            loader = StreamLoader([part], num_workers=num_workers, options=options)
        return _streamed(loader, part, plan)

    def _flowing(self, plan: _Plan, num_workers: int) -> Iterator[Batch]:
        part, loader = self._part, self._loader
        assert isinstance(part, FlowPart)
        n_rows = len(plan.order) // len(plan.seeds)
        if len(plan.seeds) > 1:
            return stacked_epochs(part, plan.seeds, plan.batch_size, n_rows)
        if not isinstance(loader, FlowLoader):
            options = LoaderOptions(pin_memory=self._device.type == "cuda")
            loader = FlowLoader(part, num_workers=num_workers, options=options)
        return loader.epoch(plan.seeds[0], plan.batch_size, n_rows)

    def _cuts(self, part: ArrayPart, plan: _Plan, n_rows: int) -> list[int] | None:
        """How long each piece of `n_rows` rows is; None where all rows have one length. Needs no look at the device."""
        if self._lengths_N is None:
            return None
        return batch_lengths(self._lengths_N, plan.order, n_rows, part.inputs.shape[1])

    def _batches_at_once(self, plan: _Plan) -> int:
        batch_bytes = 4 * self._values * plan.rows
        if self._device.type == "cpu" or batch_bytes % ALIGNED_BYTES:
            return 1
        return max(1, BLOCK_BYTES // batch_bytes)

    def _made(
        self, blocks: Iterator[Batch], plan: _Plan, n_rows: int, cuts: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """The batches of blocks that have `n_rows` rows each, the last one fewer; `cuts` are their lengths."""
        lengths = iter(cuts or ())
        # To the device once an epoch: those of every batch would be a synchronisation a step.
        draws = None if plan.draws is None else plan.draws.on(self._device).split(n_rows)
        for number, (stored, given) in enumerate(blocks):
            x, targets = self._made_block(stored, given, plan.augmenter, draws[number] if draws else None)
            y = x.flatten(1) if is_input(targets) else targets
            if n_rows == plan.rows:
                yield x, _cut(y, x.shape[1]) if cuts else y
            else:
                for x_B, y_B in zip(torch.split(x, plan.rows), torch.split(y, plan.rows), strict=True):
                    length = next(lengths, None)
                    yield (x_B, y_B) if length is None else (x_B[:, :length].contiguous(), _cut(y_B, length))

    def _made_block(self, stored: Tensor, targets: Tensor, augmenter: Augmenter | None, draws: Draws | None) -> Batch:
        if augmenter is None or draws is None:
            x = apply(stored, self._constants)
        else:
            x = augmenter.change_scaled_(apply(augmenter.change(stored, draws), self._constants), draws)
            if augmenter.mixing and draws.mixes is not None and draws.mates is not None:
                mates = torch.arange(len(x), device=x.device) + draws.mates
                x, targets = augmenter.mixing(x, targets, draws.mixes, mates)
        return (x.contiguous(memory_format=torch.channels_last) if self._channels_last else x), targets


def _cut(y: Tensor, length: int) -> Tensor:
    """Targets of a batch that was cut to `length` positions: those of language have as many."""
    return y[:, :length].contiguous() if y.dim() > 1 and not y.is_floating_point() else y


def _stored(part: ArrayPart, plan: _Plan, n_rows: int, cuts: Sequence[int] | None) -> Iterator[Batch]:
    for number, indices in enumerate(torch.split(plan.order.to(part.targets.device), n_rows)):
        yield part.take(indices, None if cuts is None else cuts[number]), part.targets.index_select(0, indices)


def _streamed(loader: StreamLoader, part: StreamPart, plan: _Plan) -> Iterator[Batch]:
    number = loader.number_of(part)
    requests = (
        Request.of(number, seed, rows)
        for batch in torch.split(plan.order, plan.rows)
        for seed, rows in zip(plan.seeds, batch.chunk(len(plan.seeds)), strict=True)
    )
    read = loader.read(requests)
    if len(plan.seeds) == 1:
        yield from read
        return
    while lanes := list(islice(read, len(plan.seeds))):
        yield torch.cat([x for x, _ in lanes]), torch.cat([y for _, y in lanes])
