"""Prepared data for own training code: `run(config, state, data)`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from tuner.data.flows import FlowPart, Part
from tuner.data.info import DataInfo
from tuner.data.parts import ArrayPart, StreamPart, is_input
from tuner.data.prepare import Prepared
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import apply

Rows = Dataset[tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedData:
    """The training and the validation part, split and preprocessed as for every trial; the test part stays sealed.

    A part that fits in memory is a TensorDataset: `x, y = data.train.tensors`. Other parts are read an item at a time.
    """

    train: Rows
    val: Rows
    info: DataInfo
    """input_shape, n_targets, labels, task, and the sizes of the parts."""

    @classmethod
    def of(cls, prepared: Prepared) -> OfferedData:
        train, val = (_rows(part, prepared.preprocess) for part in (prepared.train, prepared.val))
        return cls(train=train, val=val, info=prepared.info)


def _rows(part: Part, preprocess: Preprocess) -> Rows:
    if isinstance(part, ArrayPart) and part.starts is not None:
        return _Windows(part, preprocess)
    if isinstance(part, ArrayPart):
        x = _scaled(part.inputs, preprocess)
        return TensorDataset(x, x.flatten(1) if is_input(part.targets) else part.targets.clone())
    if isinstance(part, FlowPart):
        return _Flowing(part, preprocess)
    return _Streamed(part, preprocess)


def _scaled(stored: Tensor, preprocess: Preprocess) -> Tensor:
    """Inputs of their own: what one trial does to them is no other's affair."""
    x = apply(stored, preprocess.scaling.constants(torch.device("cpu")) if preprocess.scaling else None)
    return x.clone() if x is stored else x


class _Windows(Rows):
    """Gathered when they are asked for: all of them would take a multiple of the memory of the table."""

    def __init__(self, part: ArrayPart, preprocess: Preprocess) -> None:
        self._part, self._preprocess = part, preprocess

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row = torch.tensor([index % len(self._part)])
        return _scaled(self._part.take(row), self._preprocess)[0], self._part.targets[index]


class _Streamed(Rows):
    def __init__(self, part: StreamPart, preprocess: Preprocess) -> None:
        self._part, self._preprocess = part, preprocess

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        x, y = self._part.read([index])
        x = _scaled(x, self._preprocess)
        return x[0], (x.flatten(1) if is_input(y) else y)[0]


class _Flowing(IterableDataset[tuple[Tensor, ...]]):
    """Passes of an iterable dataset, each drawing other numbers."""

    def __init__(self, part: FlowPart, preprocess: Preprocess) -> None:
        self._part, self._preprocess, self._n_passes = part, preprocess, 0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        self._n_passes += 1
        for x, y in self._part.pieces(self._n_passes, 1):
            x_1F = _scaled(x, self._preprocess)
            yield x_1F[0], (x_1F.flatten(1) if is_input(y) else y)[0]
