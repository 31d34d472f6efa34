"""A user's own dataset with a collate function: its batches are made anew each time, and are not scaled.

Every item is read once, as a batch of one row, to know its target and how long rows can be.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tuner import seeding
from tuner.config.schema import PythonData
from tuner.data.collating import Collate, Inputs, named
from tuner.data.datasets import Items
from tuner.data.decoded import Decoded, Request
from tuner.data.encoders import ItemEncoder, TensorEncoder
from tuner.data.global_rng import seeded
from tuner.data.info import InputField
from tuner.data.named import NamedEncoder, packed
from tuner.data.own_targets import labels_of, target_value, targets_of
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.sources.token_range import Range, with_tokens
from tuner.data.splits import Indices
from tuner.errors import DataError

N_TOGETHER = 8
"""Rows of one batch that is tried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollatedRows:
    """Implements `tuner.data.decoded.Rows`."""

    items: Items
    encoder: ItemEncoder

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:  # noqa: ARG002 - batches are used as they are made
        return Preprocess(encoder=self.encoder)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> None:
        """None: nothing is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReader:
    """Makes batches of items for `StreamPart.batched`."""

    items: Items
    collate: Collate

    def __call__(self, rows: list[int], targets: Tensor) -> tuple[Tensor, Tensor]:
        where = named([self.items.name(row) for row in rows])
        return self.collate.stored([self.items.raw(row) for row in rows], where, targets)


def read_collated(
    data: PythonData, request: Request, items: Items, collate: Collate, given: dict[str, Indices]
) -> Decoded:
    """Look at every item but those of a test part of its own; DataError names what is wrong with one."""
    if data.in_memory is True:
        raise DataError(f"data.in_memory: {collate.name} makes batches anew; leave it out, or collate in the dataset")
    n_open = len(items) - items.sizes.get("test", 0)
    if not n_open:
        raise DataError(f"{data.target}: the dataset has no items")
    with seeded(seeding.derive(request.seed, "decode")):
        collate.batch([items.raw(row) for row in range(min(n_open, N_TOGETHER))], f"the first {N_TOGETHER} items")
        is_random = not _equal(*(collate.batch([items.raw(0)], items.name(0))[0] for _ in range(2)))
        looked = look(items, range(n_open), collate)
    task, targets = targets_of(items, looked.values, request.task, items.sizes["train"])
    encoder = with_tokens(looked.encoder, data, looked.tokens)
    return Decoded(
        task=task,
        labels=labels_of(items, task, targets[: items.sizes["train"]]),
        rows=CollatedRows(items=items, encoder=encoder),
        targets=targets,
        given=given,
        n_sealed=len(items) - n_open,
        content="" if is_random else looked.content,
        row_name=items.name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    encoder: ItemEncoder
    values: list[Array]
    tokens: Range
    content: str


def look(items: Items, rows: range, collate: Collate) -> _Looked:
    """Read items as batches of one row."""
    hashed = hashlib.sha256()
    encoder: ItemEncoder | None = None
    values: list[Array] = []
    tokens = Range()
    for row in rows:
        x, y = collate.batch([items.raw(row)], items.name(row))
        encoder = _widened(encoder, x, items.name(row), collate.name)
        stored = packed(x) if isinstance(x, dict) else x
        hashed.update(np.ascontiguousarray(stored.numpy()).data)
        tokens.add(stored.numpy())
        values.append(target_value(items.name, row, None if y is None else y[0]))
    assert encoder is not None
    return _Looked(encoder=encoder, values=values, tokens=tokens, content=hashed.hexdigest())


def _widened(encoder: ItemEncoder | None, x: Inputs, where: str, name: str) -> ItemEncoder:
    """The encoder of batches that are as large as this one, or as those before."""
    if isinstance(x, dict):
        found = NamedEncoder(fields=tuple(_field(key, tensor) for key, tensor in x.items()))
        if encoder is not None and encoder != found:
            raise DataError(f"{where}: {name} makes several inputs of another shape or type; pad them to one length")
        return found
    shape, dtype = tuple(x.shape[1:]), "int64" if x.dtype == torch.int64 else "float32"
    if encoder is None:
        return TensorEncoder(shape=shape, dtype=dtype, any_length=True)  # type: ignore[arg-type]
    if not isinstance(encoder, TensorEncoder) or len(shape) != len(encoder.shape) or dtype != encoder.dtype:
        raise DataError(f"{where}: {name} makes {dtype} {shape}; the items before gave {encoder.dtype} {encoder.shape}")
    return replace(encoder, shape=tuple(map(max, shape, encoder.shape)))


def _field(name: str, tensor: Tensor) -> InputField:
    return InputField(
        name=name, shape=tuple(tensor.shape[1:]) or (1,), dtype="int64" if tensor.dtype == torch.int64 else "float32"
    )


def _equal(one: Inputs, other: Inputs) -> bool:
    first, second = (packed(x) if isinstance(x, dict) else x for x in (one, other))
    return torch.equal(first, second)
