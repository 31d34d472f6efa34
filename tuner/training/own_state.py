"""What own training code yields to be resumed from, in the form in which a checkpoint holds it.

A checkpoint is loaded without pickled code (`torch.load(weights_only=True)`), which takes tensors and plain containers.
NumPy's arrays and scalars, which it does not take, are kept as tensors and given back as they were. Everything else is
refused when it is yielded, not when it is needed.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Path = tuple[str | int, ...]
"""Keys and indices from the state down to a value; of a mapping the position of its key."""

ACCEPTED = "tensors, NumPy arrays, numbers, text, bytes, None, and dicts, lists, tuples of them"
_CONTAINERS = (dict, OrderedDict, list, tuple)


class UnstorableError(TypeError):
    """A state that could not be loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A state without anything of NumPy's."""

    state: Any
    arrays: tuple[Path, ...]
    """Where tensors stand for arrays."""
    scalars: tuple[Path, ...]
    """Where tensors stand for NumPy's scalars."""

    @classmethod
    def of(cls, state: object) -> Packed:
        """UnstorableError names the first value that would not load again."""
        arrays: list[Path] = []
        scalars: list[Path] = []

        def leaf(value: object, path: Path) -> object:
            if not isinstance(value, (np.ndarray, np.generic)):
                return value
            (arrays if isinstance(value, np.ndarray) else scalars).append(path)
            try:
                return torch.from_numpy(np.array(value))  # a copy: it may be a view, or read-only
            except (TypeError, ValueError):
                raise _refusal(f"{_shown(path, state)}: a NumPy array of {value.dtype}") from None

        try:
            packed = _mapped(state, leaf)
            if not _loads(_mapped(packed, _emptied)):
                raise _refusal(_culprit(packed))
        except RecursionError:
            raise UnstorableError(f"state is nested too deeply, or holds itself; it may hold {ACCEPTED}") from None
        return cls(state=packed, arrays=tuple(arrays), scalars=tuple(scalars))

    def to_plain(self) -> dict[str, Any]:
        return {"state": self.state, "arrays": list(self.arrays), "scalars": list(self.scalars)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Packed:
        return cls(
            state=plain["state"], arrays=tuple(map(tuple, plain["arrays"])), scalars=tuple(map(tuple, plain["scalars"]))
        )

    def unpacked(self) -> Any:
        """The state as it was yielded."""
        arrays, scalars = set(self.arrays), set(self.scalars)

        def leaf(value: Any, path: Path) -> object:
            if path in arrays:
                return value.numpy()
            return value.numpy()[()] if path in scalars else value

        return _mapped(self.state, leaf)


def _mapped(value: object, leaf: Callable[[Any, Path], object], path: Path = ()) -> object:
    """A state with every value that is no container replaced; containers in which nothing changes stay themselves."""
    if type(value) not in _CONTAINERS:
        return leaf(value, path)
    if isinstance(value, dict):
        items = {key: _mapped(item, leaf, (*path, index)) for index, (key, item) in enumerate(value.items())}
        same = all(items[key] is item for key, item in value.items())
        return value if same else type(value)(items)
    assert isinstance(value, Sequence)
    found = [_mapped(item, leaf, (*path, index)) for index, item in enumerate(value)]
    same = all(new is old for new, old in zip(found, value, strict=True))
    return value if same else type(value)(found)  # type: ignore[call-arg]


def _emptied(value: object, _: Path) -> object:
    """Tensors always load again; without their numbers to find out about the rest costs nothing."""
    return torch.empty(0) if type(value) is Tensor else value


def _loads(value: object) -> bool:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except (RuntimeError, TypeError, AttributeError, ValueError, pickle.PickleError) as error:
        if isinstance(error, RecursionError):
            raise
        return False
    return True


def _refusal(what: str) -> UnstorableError:
    return UnstorableError(
        f"{what} would not load again; a state may hold {ACCEPTED}: give its numbers, or pickle.dumps(...) of it"
    )


def _culprit(state: object) -> str:
    """The first value that does not load by itself; the whole state where it is a key, say."""
    found: list[str] = []

    def leaf(value: object, path: Path) -> object:
        if not found and not _loads(_emptied(value, path)):
            found.append(f"{_shown(path, state)}: a {type(value).__name__}")
        return value

    _mapped(state, leaf)
    return found[0] if found else f"state: a {type(state).__name__} with such keys"


def _shown(path: Path, state: Any) -> str:
    """`state['model']['weight']`."""
    parts = ["state"]
    for index in path:
        if isinstance(state, dict):
            key = list(state)[int(index)]
            parts.append(f"[{key!r}]")
            state = state[key]
        else:
            parts.append(f"[{index}]")
            state = state[index]
    return "".join(parts)
