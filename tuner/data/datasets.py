"""Users' own datasets: opened from their target, read item by item, with errors that name the item."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import IterableDataset

from tuner.config.messages import suggestion
from tuner.config.schema import PythonData
from tuner.data.item_keys import Keys
from tuner.data.splits import PARTS
from tuner.errors import DataError, TunerError
from tuner.registry import load_target

PAIR = 2


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
    parts: Mapping[str, MapStyle]
    sizes: Mapping[str, int]
    keys: Keys = field(default_factory=Keys)

    @classmethod
    def open(cls, data: PythonData, base_dir: Path) -> Items:
        """Call the target; DataError when it fails or gives something else than map-style datasets."""
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
        ordered = {name: _map_style(data.target, name, parts[name]) for name in PARTS if parts.get(name) is not None}
        return cls(
            target=data.target,
            parts=ordered,
            sizes={name: _length(data.target, name, part) for name, part in ordered.items()},
            keys=Keys(target=data.target_key, inputs=data.input_keys),
        )

    def __len__(self) -> int:
        return sum(self.sizes.values())

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the training set calls its classes in `.classes`, as torchvision's data sets do; else empty."""
        names = getattr(self.parts["train"], "classes", ())
        return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()

    def name(self, row: int) -> str:
        part, index = self._locate(row)
        return f"{self.target}: {part + ' ' if len(self.parts) > 1 else ''}item {index}"

    def read(self, row: int) -> tuple[Any, Any]:
        """The input and the target of one item; DataError names the item and what the user's code raised."""
        part, index = self._locate(row)
        try:
            item = self.parts[part][index]
        except Exception as error:  # the user's code can raise anything
            raise DataError(f"{self.name(row)} raised {describe(error)}") from error
        try:
            return self.keys.pair(item)
        except ValueError as error:
            raise DataError(f"{self.name(row)}: {error}") from error

    def _locate(self, row: int) -> tuple[str, int]:
        index = row
        for part, size in self.sizes.items():
            if index < size:
                return part, index
            index -= size
        raise AssertionError(f"row {row} of {len(self)}")


def load(target: str, base_dir: Path) -> Any:
    """What the target names; DataError when the user's own code fails while it is imported."""
    try:
        return load_target(target, base_dir)
    except TunerError:
        raise
    except Exception as error:  # the user's code can raise anything
        raise DataError(f"{target}: importing it raised {describe(error)}") from error


def describe(error: BaseException) -> str:
    """`ValueError: bad pixel (mine.py:31)`, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = str(error).strip()
    return f"{type(error).__name__}{': ' + text if text else ''}{place}"


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


def _map_style(target: str, name: str, part: Any) -> MapStyle:
    if isinstance(part, IterableDataset) or not isinstance(part, MapStyle):
        raise DataError(
            f"{target}: {name} is {type(part).__name__}; expected a map-style Dataset (with __len__ and __getitem__),"
            f" or a tuple or mapping of {', '.join(PARTS)}"
        )
    return part


def _parts(target: str, found: Any) -> dict[Any, Any]:
    """A mapping of parts, two or three of them in a tuple (train, val, test), or the training part alone."""
    if isinstance(found, Mapping):
        return dict(found)
    if not isinstance(found, tuple):
        return {"train": found}
    if len(found) not in (PAIR, len(PARTS)):
        raise DataError(f"{target}: a tuple of {len(found)}; expected (train, val) or (train, val, test)")
    return dict(zip(PARTS, found, strict=False))


def _length(target: str, name: str, part: MapStyle) -> int:
    try:
        return len(part)
    except Exception as error:  # the user's code can raise anything
        raise DataError(f"{target}: the length of {name} raised {describe(error)}") from error
