"""The rows of one part of the data, stored or streamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tuner.data.datasets import ItemSource
from tuner.data.encoders import ItemEncoder, encode_item
from tuner.data.info import DataInfo
from tuner.data.lengths import row_lengths
from tuner.data.own_targets import known_targets, target_value
from tuner.data.target_units import TargetUnits
from tuner.errors import DataError

SHARE_OF_DEVICE = 0.5
"""Of the free memory of a CUDA device, the part that stored rows may take."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayPart:
    """Stored rows.

    Inputs [N, ...] are memory-mapped and shared by all processes; targets are int64 [N] or float32 [N, n_targets].
    Of overlapping windows `inputs` has the rows that they are cut from, each once.
    """

    inputs: Tensor
    targets: Tensor
    starts: Tensor | None = None
    """The first row of each window, int64 [N]; None where inputs are no windows."""
    window: int = 0
    """Rows of a window."""
    _on_device: dict[torch.device, ArrayPart] = field(default_factory=dict, repr=False)
    _lengths: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: Tensor, length: int | None = None) -> Tensor:
        """The inputs of some rows, in stored form; of sequences with padding the first `length` tokens."""
        if self.starts is None:
            inputs = self.inputs if length is None else self.inputs[:, :length]
            return inputs.index_select(0, indices)
        rows = self.starts.index_select(0, indices)[:, None] + torch.arange(self.window, device=indices.device)
        return self.inputs.index_select(0, rows.flatten()).view(len(indices), self.window, *self.inputs.shape[1:])

    def in_units(self, units: TargetUnits) -> ArrayPart:
        """The same inputs with scaled targets."""
        return replace(self, targets=units.scaled(self.targets), _on_device={})

    def on(self, device: torch.device) -> ArrayPart:
        """The part with its rows on a CUDA device that has room for them, copied once; else the part itself."""
        if device.type != "cuda":
            return self
        if device not in self._on_device:
            self._on_device[device] = self._copy_to(device)
        return self._on_device[device]

    def lengths(self, padding: int) -> Tensor:
        """How long each row is without padding, [N] on the CPU; measured once in a process."""
        if padding not in self._lengths:
            self._lengths[padding] = row_lengths(self.inputs, padding)
        return self._lengths[padding]

    def is_on(self, device: torch.device) -> bool:
        """Whether its rows lie where they are used; true on the CPU."""
        return self.inputs.device.type == device.type

    def _copy_to(self, device: torch.device) -> ArrayPart:
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if self.inputs.nbytes + self.targets.nbytes > SHARE_OF_DEVICE * free_bytes:
            return self
        starts = None if self.starts is None else self.starts.to(device)
        return ArrayPart(
            inputs=self.inputs.to(device), targets=self.targets.to(device), starts=starts, window=self.window
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCost:
    """Seconds that reading one item takes, and those of them in which a core was busy."""

    wall_s: float
    cpu_s: float


BatchMaker = Callable[[list[int], Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _InUnits:
    """Batches whose targets, which are made with them, are scaled."""

    batched: BatchMaker
    units: TargetUnits

    def __call__(self, rows: list[int], targets: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.batched(rows, targets)
        return x, self.units.scaled(y)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamPart:
    """Items that are read when they are needed; `targets` are those of the first reading."""

    items: ItemSource
    rows: Tensor
    """The number of each row among all items."""
    targets: Tensor
    encoder: ItemEncoder
    batched: BatchMaker | None = None
    """Makes a batch of the items of some rows, whose targets are given; None where rows are stacked."""
    info: DataInfo | None = None
    """What targets are checked by that are read anew with their inputs; None where items say nothing new of them."""
    units: TargetUnits | None = None
    """Those of targets that are read anew; None for those of the data."""
    costs: list[ItemCost] = field(default_factory=list, repr=False)
    """What an item takes, once it was measured in this process."""

    def __len__(self) -> int:
        return len(self.targets)

    def in_units(self, units: TargetUnits) -> StreamPart:
        """The same items with scaled targets."""
        batched = None if self.batched is None else _InUnits(batched=self.batched, units=units)
        return replace(self, targets=units.scaled(self.targets), batched=batched, units=units)

    def read(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs in stored form and targets of some rows of this part; DataError names the item that cannot be read."""
        if self.batched is not None:
            return self.batched(self.rows[list(indices)].tolist(), self.targets[list(indices)])
        inputs, found = [], []
        rows = self.rows[list(indices)].tolist()
        for row in rows:
            x, y = self.items.read(row)
            try:
                inputs.append(torch.from_numpy(encode_item(x, self.encoder).copy()))
            except ValueError as error:
                raise DataError(f"{self.items.name(row)}: {error}") from error
            found.append(y)
        return torch.stack(inputs), self._targets(rows, found, list(indices))

    def _targets(self, rows: list[int], found: list[Any], indices: list[int]) -> Tensor:
        """Those that came with the inputs: what an item draws can change both."""
        if self.info is None:
            return self.targets[indices]
        values = [target_value(self.items.name, row, y) for row, y in zip(rows, found, strict=True)]
        y = torch.from_numpy(known_targets(lambda place: self.items.name(rows[place]), values, self.info))
        return y if self.units is None else self.units.scaled(y)


StoredPart = ArrayPart | StreamPart
"""A part whose rows can be read in any order."""


def is_input(targets: Tensor) -> bool:
    """Whether the inputs are the targets, as for autoencoding: there are none beside them, [N, 0]."""
    return targets.dim() > 1 and targets.shape[1] == 0


def has_token_targets(targets: Tensor) -> bool:
    """Whether every token of a row has a target, [N, L], as for language."""
    return targets.dim() > 1 and targets.dtype == torch.int64
