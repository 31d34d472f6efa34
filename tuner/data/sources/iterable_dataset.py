"""A user's iterable dataset that is not kept in memory: looked at once, then read again in every epoch.

Rows are numbered: what is held out of the training part, in the order in which it comes (validation, then test), what
is left for training, and then the items of a validation part of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from tuner import seeding
from tuner.config.schema import PythonData, Split
from tuner.data.decoded import ArrayRows, Decoded, Request
from tuner.data.encoders import ItemEncoder, encode_item, encoder_of_item
from tuner.data.global_rng import moved_since, seeded, states
from tuner.data.iterated import MAX_COUNTED, Iterated, endless
from tuner.data.named import same_inputs, stored_inputs
from tuner.data.own_targets import labels_of, target_value, targets_of
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.sources.token_range import Range, with_tokens
from tuner.data.splits import Indices, part_size
from tuner.errors import DataError

N_PROBED = 5
EPOCHS_PROBED = (0, 1, 2, 3)
"""Several, as an order of few shards is often the same in two epochs."""
MEASURED_BYTES = 2**27
MEASURED_ROWS = 10_000
"""Training rows from which the scaling is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRows:
    """Implements `tuner.data.decoded.Rows`: rows that are held out are kept, those for training are not."""

    kept: Mapping[int, Array]
    """Encoded rows by their number."""
    measured: Array
    """Training rows, for the scaling."""
    encoder: ItemEncoder
    skip: int
    """How many items are held out at the beginning."""

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:  # noqa: ARG002 - they are not kept
        rows = ArrayRows(array=self.measured, encoder=self.encoder)
        return rows.fit(np.arange(len(self.measured)), normalize=normalize)

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array] | None:  # noqa: ARG002 - as they are
        if any(row not in self.kept for row in rows[:1].tolist()):
            return None
        return (self.kept[row][None] for row in rows.tolist())


def read_flow(data: PythonData, request: Request, train: Iterated, parts: Mapping[str, Iterated]) -> Decoded:
    """Look at the items of one pass, or at as many as make up an epoch; DataError says what is wrong with one."""
    with seeded(seeding.derive(request.seed, "decode")):
        shuffles = is_random(train)
        is_held_out = "val" not in parts or ("test" not in parts and bool(data.split.test))
        if shuffles and is_held_out:
            raise DataError(
                f"{train.title}: its items differ from pass to pass, so those held out for validation might come back"
                " in training, and those held out for the test too; return val and test as parts of their own (or val,"
                " with data.split.test: 0), or, where it ends, set data.in_memory: true and leave data.epoch_items out"
            )
        seen = _look(train, _wanted(data, parts))
        n_val, n_test = _held_out(data.split, parts, data.epoch_items or seen.n_rows)
        skip = n_val + n_test
        if skip >= seen.n_rows:
            raise DataError(f"{train.title}: {seen.n_rows} items, of which {skip} are held out; none are left to train")
        begin = _beginning(train, skip, seen.n_rows - skip, seen.encoder)
        own_val = _own_val(parts, seen.encoder)
    encoder = _with_tokens(data, seen, own_val)
    values = [*begin.values, *seen.values[skip:], *own_val.values]
    numbered = _Numbered(train=train, val=parts.get("val"), n_train=seen.n_rows)
    task, targets = targets_of(numbered, values, request.task, seen.n_rows)
    val = np.arange(seen.n_rows, len(values)) if "val" in parts else np.arange(n_val)
    return Decoded(
        task=task,
        labels=labels_of(train, task, targets[skip : seen.n_rows]),
        rows=FlowRows(
            kept=dict(enumerate(begin.rows[:skip])) | dict(enumerate(own_val.rows, seen.n_rows)),
            measured=np.stack(begin.rows[skip:]),
            encoder=encoder,
            skip=skip,
        ),
        targets=targets,
        given={"val": val, "test": np.arange(n_val, skip)},
        n_sealed=len(parts["test"]) if "test" in parts else 0,
        content="" if shuffles else seen.content,
        row_name=numbered.name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbered:
    """What rows are called: those of the training part, then those of a validation part."""

    train: Iterated
    val: Iterated | None
    n_train: int

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    def name(self, row: int) -> str:
        return self.train.name(row) if self.val is None or row < self.n_train else self.val.name(row - self.n_train)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a pass over items gave."""

    encoder: ItemEncoder
    values: list[Array]
    """The targets."""
    rows: list[Array]
    """The inputs, encoded, where they are kept."""
    tokens: Range = field(default_factory=Range)
    """Of all inputs, where they are whole numbers."""
    content: str = ""

    @property
    def n_rows(self) -> int:
        return len(self.values)


def _wanted(data: PythonData, parts: Mapping[str, Iterated]) -> int | None:
    """How many items are looked at: an epoch's and what is held out; None for a whole pass."""
    if data.epoch_items is None:
        return None
    return data.epoch_items + sum(_held_out(data.split, parts, data.epoch_items))


def _held_out(split: Split, parts: Mapping[str, Iterated], n_rows: int) -> tuple[int, int]:
    """Rows held out for validation and for the test, where these are no parts of their own."""
    n_val = 0 if "val" in parts else part_size(split.val, n_rows)
    return n_val, 0 if "test" in parts else part_size(split.test, n_rows)


def _look(train: Iterated, wanted: int | None) -> _Seen:
    hashed = hashlib.sha256()
    encoder: ItemEncoder | None = None
    values: list[Array] = []
    tokens = Range()
    for number, item in enumerate(islice(train.passes(), wanted)):
        if number >= MAX_COUNTED:
            raise endless(train.title)
        encoder = encoder or _encoder(train, number, item)
        row, value = encoded(train, number, item, encoder)
        hashed.update(np.ascontiguousarray(row).data)
        tokens.add(row)
        values.append(value)
    if encoder is None:
        raise DataError(f"{train.title}: the dataset has no items")
    if wanted is not None and len(values) < wanted:
        raise DataError(
            f"{train.title} ended after {len(values)} items; data.epoch_items and what is held out want {wanted}:"
            " lower it, or leave it out, which makes an epoch one pass"
        )
    return _Seen(encoder=encoder, values=values, rows=[], tokens=tokens, content=hashed.hexdigest())


def _with_tokens(data: PythonData, train: _Seen, val: _Seen) -> ItemEncoder:
    """The vocabulary of what is known: later passes may have other items, whose tokens must be in it too."""
    for row in val.rows:
        train.tokens.add(row)
    return with_tokens(train.encoder, data, train.tokens)


def _beginning(train: Iterated, skip: int, n_train: int, encoder: ItemEncoder) -> _Seen:
    """The items that are held out, and as many more as the scaling is measured from."""
    row_bytes = int(np.prod(encoder.shape)) * np.dtype(encoder.dtype).itemsize
    n_measured = max(1, min(n_train, MEASURED_ROWS, MEASURED_BYTES // row_bytes))
    found = [encoded(train, row, item, encoder) for row, item in enumerate(islice(train.passes(), skip + n_measured))]
    return _Seen(encoder=encoder, values=[value for _, value in found[:skip]], rows=[row for row, _ in found])


def _own_val(parts: Mapping[str, Iterated], encoder: ItemEncoder) -> _Seen:
    """All items of a validation part of its own, map-style or iterable."""
    part = parts.get("val")
    if part is None:
        return _Seen(encoder=encoder, values=[], rows=[])
    found = [encoded(part, row, part[row], encoder) for row in range(len(part))]
    return _Seen(encoder=encoder, values=[value for _, value in found], rows=[row for row, _ in found])


def _encoder(items: Iterated, row: int, item: Any) -> ItemEncoder:
    try:
        return encoder_of_item(items.pair(row, item)[0])
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def encoded(items: Iterated, row: int, item: Any, encoder: ItemEncoder) -> tuple[Array, Array]:
    """The input in stored form, and the target as a vector."""
    x, y = items.pair(row, item)
    try:
        return encode_item(x, encoder), target_value(items.name, row, y)
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def is_random(items: Iterated) -> bool:
    """Whether the first items differ between passes, or epochs by `set_epoch`, or draw from a global generator."""
    before = states()
    numbers: tuple[int | None, ...] = EPOCHS_PROBED if items.has_epochs else (None, None)
    first, *others = ([_plain(items, *item) for item in enumerate(islice(items.passes(n), N_PROBED))] for n in numbers)
    return any(not _are_equal(first, other) for other in others) or moved_since(before)


def _plain(items: Iterated, row: int, item: Any) -> dict[str, Array]:
    x, _ = items.pair(row, item)
    try:
        return stored_inputs(x)
    except ValueError as error:
        raise DataError(f"{items.name(row)}: {error}") from error


def _are_equal(first: list[dict[str, Array]], other: list[dict[str, Array]]) -> bool:
    return len(first) == len(other) and all(same_inputs(one, two) for one, two in zip(first, other, strict=True))
