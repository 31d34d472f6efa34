"""A user's iterable dataset: its items in the order in which they come, with errors that number them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from tuner.data.describing import describe
from tuner.data.item_keys import Keys
from tuner.data.named import stored_inputs
from tuner.errors import DataError

MAX_COUNTED = 2_000_000
"""Items after which an iterable is taken for endless."""
OBJECT_BYTES = 1000
"""What an item takes as Python's objects, besides its numbers."""
MAX_EPOCH_NUMBER = 2**31


def is_iterable(part: Any) -> bool:
    """Whether this is what torch calls an iterable-style dataset."""
    return isinstance(part, IterableDataset) or (hasattr(part, "__iter__") and not hasattr(part, "__getitem__"))


class Iterated:
    """Reads passes; as a sequence it keeps the items of one pass, which it reads when it is first asked."""

    def __init__(self, *, target: str, part: str, dataset: Any, keys: Keys, is_alone: bool = False) -> None:
        self.title = target if is_alone else f"{target}: {part}"
        self._target, self._part, self._dataset, self._keys = target, part, dataset, keys
        self._is_alone = is_alone
        self._items: list[Any] | None = None
        if iter_once(dataset):
            raise DataError(
                f"{self.title} is a {type(dataset).__name__}, which can be read once; return an object whose __iter__"
                " begins anew, such as a torch.utils.data.IterableDataset"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        names = getattr(self._dataset, "classes", ())
        return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()

    @property
    def collate_fn(self) -> Any:
        return getattr(self._dataset, "collate_fn", None)

    @property
    def has_epochs(self) -> bool:
        """Whether the dataset is told the number of an epoch."""
        return callable(getattr(self._dataset, "set_epoch", None))

    def name(self, row: int) -> str:
        return f"{self._target}: {'' if self._is_alone else self._part + ' '}item {row}"

    def pair(self, row: int, item: Any) -> tuple[Any, Any]:
        """The input and the target of an item."""
        try:
            return self._keys.pair(item)
        except ValueError as error:
            raise DataError(f"{self.name(row)}: {error}") from error

    def passes(self, seed: int | None = None) -> Iterator[Any]:
        """The items of one pass; DataError numbers the one at which the user's code raised."""
        number = 0
        try:
            if seed is not None and self.has_epochs:
                self._dataset.set_epoch(seed % MAX_EPOCH_NUMBER)
            for item in self._dataset:
                yield item
                number += 1
        except DataError:
            raise
        except Exception as error:  # the user's code can raise anything
            raise DataError(f"{self.name(number)} raised {describe(error)}") from error

    def __len__(self) -> int:
        if self._items is None and self._part == "test":  # sealed: counted, and not looked at
            length = getattr(self._dataset, "__len__", None)
            return int(length()) if callable(length) else sum(1 for _ in self._counted())
        return len(self._kept())

    def __getitem__(self, index: int) -> Any:
        return self._kept()[index]

    def fits(self, most_bytes: float) -> bool:
        """Read and keep the items, unless they take more; DataError for one that is no number, tensor or image."""
        kept: list[Any] = []
        item_bytes = 0
        for item in self._counted():
            if not kept:
                x, _ = self.pair(0, item)
                item_bytes = OBJECT_BYTES + self._size_bytes(x)
            kept.append(item)
            if len(kept) * item_bytes > most_bytes:
                return False
        self._items = kept
        return True

    def _size_bytes(self, x: Any) -> int:
        try:
            return sum(array.nbytes for array in stored_inputs(x).values())
        except ValueError as error:
            raise DataError(f"{self.name(0)}: {error}") from error

    def _kept(self) -> list[Any]:
        if self._items is None:
            self._items = list(self._counted())
        return self._items

    def _counted(self) -> Iterator[Any]:
        for number, item in enumerate(self.passes()):
            if number >= MAX_COUNTED:
                raise endless(self.title)
            yield item


class InOrder:
    """A map-style dataset as an iterable one."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[Any]:
        return (self._dataset[index] for index in range(len(self._dataset)))


def iter_once(dataset: Any) -> bool:
    """Whether an object is its own iterator, which is used up after one pass."""
    return not isinstance(dataset, IterableDataset) and isinstance(dataset, Iterator)


def endless(title: str) -> DataError:
    """What to say of a dataset that goes on and on."""
    return DataError(
        f"{title} goes on after {MAX_COUNTED} items; say in data.epoch_items how many of them make up an epoch"
    )
