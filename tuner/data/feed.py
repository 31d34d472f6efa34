"""The batches of one trial: how its data section says they are read, and what of that was picked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from tuner.config.schema import Data
from tuner.config.schema.audio import AudioData
from tuner.data.augment import Augmenter
from tuner.data.batches import Batch, eval_batches, stacked_batches, train_batches
from tuner.data.flows import FlowLoader, FlowPart, choose_flow_loaders
from tuner.data.loaders import LoaderOptions
from tuner.data.own_sampler import OwnSampler
from tuner.data.parts import ArrayPart, StreamPart
from tuner.data.prepare import Prepared
from tuner.data.sampling import check_weighted
from tuner.data.sound_changes import SoundChanges
from tuner.data.sounds import SoundEncoder
from tuner.data.streams import StreamLoader, choose_loaders
from tuner.errors import ConfigError, Place

FLOWS = "an iterable dataset that is not kept comes in its own order; leave it out, or set data.in_memory: true"


def augmenter_of(prepared: Prepared, data: Data) -> Augmenter | None:
    """What the section does to training rows, if anything; ConfigError when it does not fit the data."""
    encoder = prepared.preprocess.encoder
    augmenter = Augmenter.of(data.augment, prepared.info, is_pixels=encoder.dtype == "uint8")
    if not isinstance(data, AudioData) or not isinstance(encoder, SoundEncoder):
        return augmenter
    sound = SoundChanges.of(data.perturb, encoder)
    return replace(augmenter or Augmenter(height=1, width=1), sound=sound) if sound else augmenter


def check_feed(prepared: Prepared, data: Data) -> None:
    """Refuse, before any trial, what the first epoch would: an augmentation, sampler or loaders that do not fit."""
    feed = Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1)
    if isinstance(feed.sampler, OwnSampler) and not isinstance(prepared.train, FlowPart):
        feed.sampler.order(prepared.train, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Training and validation batches of one trial; its loader processes live as long as it does."""

    prepared: Prepared
    data: Data
    device: torch.device
    channels_last: bool
    augmenter: Augmenter | None
    loader: StreamLoader | FlowLoader | None
    """None for stored rows."""
    sampler: Any
    """shuffle, weighted, or an OwnSampler."""

    @classmethod
    def of(
        cls, prepared: Prepared, data: Data, *, device: torch.device, n_cores: int, channels_last: bool = False
    ) -> Feed:
        """Choose the loader processes; ConfigError when the augmentation does not fit the data."""
        if data.sampler == "weighted":
            check_weighted(prepared.info)
        train, val = prepared.train, prepared.val
        loader: StreamLoader | FlowLoader | None = None
        options = LoaderOptions.of(data, device)
        asked, batch_size = data.num_workers, data.batch_size
        if isinstance(train, StreamPart) and isinstance(val, StreamPart):
            n_loaders = choose_loaders(asked, train, batch_size=batch_size, n_cores=n_cores)
            loader = StreamLoader([train, val], num_workers=n_loaders, options=options)
        elif isinstance(train, FlowPart):
            n_loaders = choose_flow_loaders(asked, train, batch_size=batch_size, n_cores=n_cores)
            loader = FlowLoader(train, num_workers=n_loaders, options=options)
        is_own = data.sampler not in ("shuffle", "weighted")
        sampler = OwnSampler.load(data.sampler, prepared.base_dir) if is_own else data.sampler
        if isinstance(train, FlowPart) and data.sampler != "shuffle":
            raise ConfigError.of([Place(path="data.sampler", message=FLOWS)])
        return cls(
            sampler=sampler,
            prepared=prepared,
            data=data,
            device=device,
            channels_last=channels_last,
            augmenter=augmenter_of(prepared, data),
            loader=loader,
        )

    def train(self, *, epoch_seed: int, limit: int | None = None) -> Iterator[Batch]:
        """One epoch; see `train_batches`."""
        return train_batches(
            self.prepared.train,
            self.prepared.preprocess,
            batch_size=self.data.batch_size,
            drop_last=self.data.drop_last,
            device=self.device,
            epoch_seed=epoch_seed,
            limit=limit,
            channels_last=self.channels_last,
            augmenter=self.augmenter,
            bucket=self.data.is_bucketed,
            sampler=self.sampler,
            loader=self.loader,
        )

    def train_lanes(self, *, epoch_seeds: Sequence[int], limit: int | None = None) -> Iterator[Batch]:
        """One epoch of several lanes; see `stacked_batches`."""
        return stacked_batches(
            self.prepared.train,
            self.prepared.preprocess,
            batch_size=self.data.batch_size,
            drop_last=self.data.drop_last,
            device=self.device,
            epoch_seeds=epoch_seeds,
            limit=limit,
            channels_last=self.channels_last,
            augmenter=self.augmenter,
            bucket=self.data.is_bucketed,
            sampler=self.sampler,
            loader=self.loader,
        )

    def val(self) -> Iterator[Batch]:
        """The validation part, never augmented; see `eval_batches`."""
        return eval_batches(
            self.prepared.val,
            self.prepared.preprocess,
            device=self.device,
            channels_last=self.channels_last,
            loader=self.loader,
        )

    @property
    def picked(self) -> str:
        """How the data is read, for people."""
        augmented = "" if self.augmenter is None else f", augmented ({_named(self.data)})"
        ahead = ", prefetched" if self.device.type == "cuda" else ""
        if self.loader is not None:
            n_loaders = self.loader.num_workers
            plural = "" if n_loaders == 1 else "es"
            who = f"{n_loaders} loader process{plural}" if n_loaders else "no loader processes"
            more = _more(self.data, self.loader, self.device)
            kind = "streamed" if isinstance(self.loader, StreamLoader) else "an iterable's passes"
            return f"{kind}, {who}{more}{ahead}{augmented}"
        train = self.prepared.train
        assert isinstance(train, ArrayPart)
        if self.device.type != "cuda":
            return f"stored rows, memory-mapped{augmented}"
        is_resident = train.on(self.device).is_on(self.device)
        where = "on the device" if is_resident else f"from pinned memory{ahead}"
        return f"stored rows, {where}{augmented}"


def _named(data: Data) -> str:
    augment = data.augment
    names: list[str] = [augment.kind] if augment.kind != "none" else []
    if isinstance(data, AudioData):
        names += [name for name, amount in data.perturb if amount]
    return " and ".join([*names, *(name for name in ("mixup", "cutmix") if getattr(augment, name))])


def _more(data: Data, loader: StreamLoader | FlowLoader, device: torch.device) -> str:
    """What is not as it is by default, of what has an effect."""
    parts = []
    if loader.num_workers and data.prefetch_factor is not None:
        parts.append(f"{data.prefetch_factor} batches ahead each")
    if loader.num_workers and not data.persistent_workers:
        parts.append("anew for every epoch")
    if loader.num_workers and data.timeout:
        parts.append(f"timeout {data.timeout:g} s")
    if device.type == "cuda" and data.pin_memory is False:
        parts.append("memory not pinned")
    return "".join(f", {part}" for part in parts)
