"""Users' own datasets: opened from their target, read item by item, with errors that name the item."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import Dataset

from tuner.config.messages import suggestion
from tuner.config.schema import PythonData
from tuner.data.describing import describe
from tuner.data.item_keys import Keys
from tuner.data.iterated import InOrder, Iterated, is_iterable
from tuner.data.splits import PARTS
from tuner.errors import DataError, TunerError
from tuner.registry import load_target

PAIR = 2
PART_NAMES = {"validation": "val", "valid": "val", "dev": "val"}
"""Other names of a part, as Hugging Face's data sets have."""


@runtime_checkable
class MapStyle(Protocol):
    """What torch calls a map-style dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class ItemSource(Protocol):
    """Items that are read one by one."""

    def __len__(self) -> int: ...

    def name(self, row: int, /) -> str:
        """What messages call an item."""

    def read(self, row: int, /) -> tuple[Any, Any]:
        """The input and the target of one item; DataError when it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """The items of one or several datasets (train, then val, then test) in one numbering."""

    target: str
    parts: Mapping[str, MapStyle | Iterated]
    sizes: Mapping[str, int]
    keys: Keys = field(default_factory=Keys)

    @classmethod
    def of(cls, data: PythonData, parts: Mapping[str, MapStyle | Iterated]) -> Items:
        """Number the items of all parts; DataError when a part has no length."""
        return cls(
            target=data.target,
            parts=parts,
            sizes={name: _length(data.target, name, part) for name, part in parts.items()},
            keys=_keys(data),
        )

    def __len__(self) -> int:
        return sum(self.sizes.values())

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the training set calls its classes in `.classes`, as torchvision's data sets do; else empty."""
        train = self.parts["train"]
        if isinstance(train, Iterated):
            return train.class_names
        names = getattr(train, "classes", ())
        return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()

    def name(self, row: int) -> str:
        part, index = self._locate(row)
        return f"{self.target}: {part + ' ' if len(self.parts) > 1 else ''}item {index}"

    def read(self, row: int) -> tuple[Any, Any]:
        """The input and the target of one item; DataError names the item and what the user's code raised."""
        item = self.raw(row)
        try:
            return self.keys.pair(item)
        except ValueError as error:
            raise DataError(f"{self.name(row)}: {error}") from error

    def raw(self, row: int) -> Any:
        """The item as the dataset gives it; DataError names it and what the user's code raised."""
        part, index = self._locate(row)
        try:
            return self.parts[part][index]
        except DataError:
            raise
        except Exception as error:  # the user's code can raise anything
            raise DataError(f"{self.name(row)} raised {describe(error)}") from error

    def _locate(self, row: int) -> tuple[str, int]:
        index = row
        for part, size in self.sizes.items():
            if index < size:
                return part, index
            index -= size
        raise AssertionError(f"row {row} of {len(self)}")


def open_parts(data: PythonData, base_dir: Path) -> dict[str, MapStyle | Iterated]:
    """Call the target; DataError when it fails or gives something else than datasets."""
    found = load(data.target, base_dir)
    if callable(found):
        found = _call(data.target, found, data.options)
    elif data.options:
        raise DataError(f"{data.target}: takes no data.options, since it is not a class or function")
    parts = _parts(data.target, found)
    for name in parts:
        if name not in PARTS:
            raise DataError(
                f"{data.target}: unknown part {name!r}{suggestion(str(name), PARTS)}; expected {', '.join(PARTS)}"
            )
    if "train" not in parts:
        raise DataError(f"{data.target}: the mapping has no 'train'; got {', '.join(parts) or 'nothing'}")
    there = [name for name in PARTS if parts.get(name) is not None]
    return {name: _dataset(data, name, parts[name], is_alone=len(there) == 1) for name in there}


def in_order(data: PythonData, parts: Mapping[str, MapStyle | Iterated]) -> dict[str, Iterated]:
    """All parts as iterables."""
    return {
        name: part
        if isinstance(part, Iterated)
        else Iterated(target=data.target, part=name, dataset=InOrder(part), keys=_keys(data))
        for name, part in parts.items()
    }


def _keys(data: PythonData) -> Keys:
    return Keys(target=data.target_key, inputs=data.input_keys)


def load(target: str, base_dir: Path) -> Any:
    """What the target names; DataError when the user's own code fails while it is imported."""
    try:
        return load_target(target, base_dir)
    except TunerError:
        raise
    except Exception as error:  # the user's code can raise anything
        raise DataError(f"{target}: importing it raised {describe(error)}") from error


def _call(target: str, function: Any, options: dict[str, Any]) -> Any:
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise DataError(f"{target}: data.options do not fit {inspect.signature(function)}: {error}") from error
    except ValueError:  # built-in callables have no signature
        pass
    try:
        return function(**options)
    except Exception as error:  # the user's code can raise anything
        raise DataError(f"{target} raised {describe(error)}") from error


def _dataset(data: PythonData, name: str, part: Any, *, is_alone: bool) -> MapStyle | Iterated:
    if is_iterable(part):
        return Iterated(target=data.target, part=name, dataset=part, keys=_keys(data), is_alone=is_alone)
    if not isinstance(part, MapStyle):
        raise DataError(
            f"{data.target}: {name} is {type(part).__name__}; expected a map-style Dataset (with __len__ and"
            f" __getitem__), an IterableDataset, or a tuple or mapping of {', '.join(PARTS)}"
        )
    return part


def _parts(target: str, found: Any) -> dict[Any, Any]:
    """A mapping of parts, two or three of them in a tuple (train, val, test), or the training part alone."""
    if isinstance(found, Mapping):
        return {PART_NAMES.get(name, name): part for name, part in found.items()}
    is_split = isinstance(found, list) and bool(found) and all(isinstance(part, Dataset) for part in found)
    if not isinstance(found, tuple) and not is_split:  # torch's random_split gives a list
        return {"train": found}
    if len(found) not in (PAIR, len(PARTS)):
        raise DataError(
            f"{target}: a {type(found).__name__} of {len(found)}; expected (train, val) or (train, val, test)"
        )
    return dict(zip(PARTS, found, strict=False))


def _length(target: str, name: str, part: MapStyle | Iterated) -> int:
    try:
        return len(part)
    except DataError:
        raise
    except Exception as error:  # the user's code can raise anything
        raise DataError(f"{target}: the length of {name} raised {describe(error)}") from error
