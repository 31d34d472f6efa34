"""Batches that a user's own collate function makes of items.

B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuner.config.schema import PythonData
from tuner.data.datasets import load
from tuner.data.describing import describe
from tuner.data.item_keys import Keys
from tuner.data.named import packed
from tuner.errors import DataError

Inputs = Tensor | dict[str, Tensor]
N_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collate:
    """A function from a list of items to a batch: (x, y), or a dict of inputs and a target."""

    name: str
    function: Callable[[list[Any]], Any]
    keys: Keys

    @classmethod
    def of(cls, data: PythonData, train: Any, base_dir: Path) -> Collate | None:
        """What `data.collate` names, or the `collate_fn` of the training dataset; None where there is neither."""
        name, found = f"{data.target}: collate_fn", getattr(train, "collate_fn", None)
        if data.collate is not None:
            name, found = f"data.collate {data.collate}", load(data.collate, base_dir)
        if found is None:
            return None
        if not callable(found):
            raise DataError(f"{name} is a {type(found).__name__}; expected a function of a list of items")
        return cls(name=name, function=found, keys=Keys(target=data.target_key, inputs=data.input_keys))

    def batch(self, items: list[Any], where: str) -> tuple[Inputs, Tensor | None]:
        """Inputs (float32 or int64) and targets of so many rows; DataError says of which items it cannot make one."""
        try:
            made = self.function(items)
        except Exception as error:  # the user's code can raise anything
            raise DataError(f"{self.name} raised {describe(error)} for {where}") from error
        try:
            x, y = self.keys.pair(made)
            inputs = {name: _inputs(value) for name, value in x.items()} if isinstance(x, Mapping) else _inputs(x)
            targets = None if y is None else _tensor(y, "the target")
        except ValueError as error:
            raise DataError(f"{self.name}, for {where}: {error}") from error
        for tensor in (*(inputs.values() if isinstance(inputs, dict) else (inputs,)), targets):
            if tensor is not None and (tensor.dim() == 0 or len(tensor) != len(items)):
                raise DataError(
                    f"{self.name}, for {where}: made a tensor of shape {tuple(tensor.shape)} of {len(items)} items;"
                    " expected as many rows"
                )
        return inputs, targets

    def stored(self, items: list[Any], where: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as it is trained on; named inputs are packed, targets are as those of all rows, `like`."""
        inputs, targets = self.batch(items, where)
        x = packed(inputs) if isinstance(inputs, dict) else inputs
        if targets is None or not like.shape[1:].numel():
            return x, like[: len(items)]
        if not like.is_floating_point() and like.dim() > 1:  # a token for every position, however many there are
            return x, targets.long()
        return x, targets.to(like.dtype).reshape(len(items), *like.shape[1:])


def _inputs(x: Any) -> Tensor:
    if isinstance(x, (tuple, list)) and any(isinstance(value, (torch.Tensor, np.ndarray)) for value in x):
        raise ValueError("the input is a tuple of tensors; give several inputs by name, as a dict")
    tensor = _tensor(x, "the input")
    if tensor.is_floating_point():
        if not torch.isfinite(tensor).all():
            raise ValueError("the input is not finite; mask or fill what is missing")
        return tensor.float()
    return tensor.float() if tensor.dtype in (torch.uint8, torch.bool) else tensor.long()


def _tensor(x: Any, what: str) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach().cpu()
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} has values of type {array.dtype}; expected a tensor or an array")
    return torch.from_numpy(np.ascontiguousarray(array))


def named(names: Sequence[str]) -> str:
    """The items of a batch, for a message."""
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return ", ".join([names[0], *(name.rpartition(" ")[2] for name in names[1:N_NAMED])]) + more
