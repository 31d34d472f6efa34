"""Items with several inputs by name, such as an image and what else is known of it: one float32 row each.

The row has the inputs flattened, one after the other. So they are stored, streamed, shuffled, moved and stacked into
lanes as any other row is, and models of tuner's own take them as one vector; `unpacked` gives a user's model its inputs
by name again. Whole numbers stay exact below 2**24.

N rows, F values of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from tuner.data.info import InputField
from tuner.data.items import stored_form
from tuner.data.scaling import Array, Scaling, float_scaling
from tuner.errors import DataError, RowError

LARGEST_EXACT = 2**24
"""Above it not every whole number is a float32."""
PEAK = 255.0
"""The largest pixel."""
REMEDY = "; name the keys that are inputs in data.input_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEncoder:
    """Packs the inputs of an item; rows are stored as float32 [F]."""

    fields: tuple[InputField, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(field.size for field in self.fields),)

    @property
    def dtype(self) -> Literal["float32"]:
        return "float32"

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """The encoder of items like this one; ValueError when an input is not a number, tensor, array or image."""
        stored = {name: stored_input(name, x) for name, x in item.items()}
        dtypes: dict[str, Any] = {name: str(array.dtype) for name, array in stored.items()}
        fields = (InputField(name=name, shape=array.shape, dtype=dtypes[name]) for name, array in stored.items())
        return cls(fields=tuple(fields))

    def encode_item(self, item: Any) -> Array:
        """One row; ValueError when an input is missing or not as in the first item."""
        if not isinstance(item, Mapping):
            raise ValueError(f"a {type(item).__name__}; expected a dict of {self._names}")  # noqa: TRY004 - of the item
        return np.concatenate([self._encode_field(field, item) for field in self.fields])

    def _encode_field(self, field: InputField, item: Mapping[str, Any]) -> Array:
        if field.name not in item:
            raise ValueError(
                f"no {field.name!r} among {', '.join(map(str, item)) or 'nothing'}; expected {self._names}"
            )
        array = stored_input(field.name, item[field.name])
        if array.shape != field.shape or array.dtype != field.dtype:
            raise ValueError(
                f"{field.name!r} is {array.dtype} {array.shape}; expected {field.dtype} {field.shape}, as the first"
                " item's is; resize or pad to one shape and type"
            )
        return array.ravel().astype(np.float32)

    def encode(self, source: Any) -> Array:
        """Take a dict of batches, a dict with the inputs of one item, or a list of such dicts."""
        if isinstance(source, Mapping):
            items = self._items_of(source)
        elif isinstance(source, Sequence) and not isinstance(source, str):
            items = list(source)
        else:
            raise DataError(f"input: a {type(source).__name__}; expected a dict of {self._names}, or a list of them")
        rows = []
        for number, item in enumerate(items):
            try:
                rows.append(self.encode_item(item))
            except ValueError as error:
                raise RowError(number, str(error)) from error
        return np.stack(rows) if rows else np.empty((0, *self.shape), np.float32)

    def _items_of(self, source: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        missing = [field.name for field in self.fields if field.name not in source]
        if missing:
            raise DataError(f"input: no {missing[0]!r}; expected a dict of {self._names}")
        if all(_is_single(source[field.name], field) for field in self.fields):
            return [source]
        sizes = {field.name: len(source[field.name]) for field in self.fields}
        if len(set(sizes.values())) > 1:
            raise DataError(f"input: {sizes}: expected as many rows of each")
        n_rows = next(iter(sizes.values()))
        return [{name: source[name][row] for name in sizes} for row in range(n_rows)]

    @property
    def _names(self) -> str:
        return ", ".join(field.name for field in self.fields)

    def fit(self, chunks: Callable[[], Iterator[Array]], *, normalize: bool) -> Scaling:
        """Scale each input as it would be alone: floats and pixels by channel, whole numbers not at all."""
        parts = [self._fit_field(*place, chunks, normalize=normalize) for place in self._places()]
        return Scaling(
            mean=tuple(mean for part in parts for mean in part.mean),
            std=tuple(std for part in parts for std in part.std),
            n_trailing=0,
            repeats=tuple(n for part in parts for n in part.repeats),
        )

    def _places(self) -> Iterator[tuple[InputField, slice]]:
        begin = 0
        for field in self.fields:
            yield field, slice(begin, begin + field.size)
            begin += field.size

    def _fit_field(
        self, field: InputField, place: slice, chunks: Callable[[], Iterator[Array]], *, normalize: bool
    ) -> Scaling:
        if field.dtype == "int64" or not normalize:
            std = PEAK if field.dtype == "uint8" else 1.0
            return Scaling(mean=(0.0,), std=(std,), n_trailing=0, repeats=(field.size,))
        scaling = float_scaling(lambda: (chunk[:, place].reshape(-1, *field.shape) for chunk in chunks()), field.shape)
        if scaling.n_trailing:  # channels first
            n_values = field.size // len(scaling.mean)
            return Scaling(mean=scaling.mean, std=scaling.std, n_trailing=0, repeats=(n_values,) * len(scaling.mean))
        n_times = field.size // len(scaling.mean)
        return Scaling(mean=scaling.mean * n_times, std=scaling.std * n_times, n_trailing=0, repeats=(1,) * field.size)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "named", "fields": [asdict(field) for field in self.fields]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(fields=tuple(InputField.from_json(field) for field in data["fields"]))


def unpacked(x_BF: Tensor, fields: Sequence[InputField]) -> dict[str, Tensor]:
    """The inputs of a batch by name, [B, *shape] each; whole numbers as int64."""
    pieces = torch.split(x_BF, [field.size for field in fields], dim=-1)
    return {
        field.name: _restored(torch.unflatten(piece, -1, field.shape), field)
        for field, piece in zip(fields, pieces, strict=True)
    }


def _restored(x: Tensor, field: InputField) -> Tensor:
    return x.long() if field.dtype == "int64" else x


def stored_input(name: str, x: Any) -> Array:
    """One of several inputs in stored form; ValueError names it."""
    try:
        array = stored_form(x)
    except ValueError as error:
        remedy = "" if isinstance(x, (np.ndarray, torch.Tensor, int, float)) else REMEDY
        raise ValueError(f"{name!r}: {error}{remedy}") from error
    if array.dtype == np.int64 and array.size and int(np.abs(array).max()) > LARGEST_EXACT:
        raise ValueError(f"{name!r} has the whole number {np.abs(array).max()}; named inputs take them up to 2**24")
    return array


def _is_single(x: Any, field: InputField) -> bool:
    """Whether this is the input of one item, not of a batch."""
    try:
        return stored_form(x).shape == field.shape
    except ValueError:
        return False


def stored_inputs(x: Any) -> dict[str, Array]:
    """The inputs of an item by name, each of whatever shape; one input has none. ValueError as `stored_form`."""
    if isinstance(x, Mapping):
        return {name: stored_input(name, value) for name, value in x.items()}
    return {"": stored_form(x)}


def same_inputs(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two readings gave the same."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def packed(inputs: Mapping[str, Tensor]) -> Tensor:
    """The rows [B, F] of named inputs [B, ...], in their order."""
    for name, x in inputs.items():
        if x.dtype == torch.int64 and x.numel() and int(x.abs().max()) > LARGEST_EXACT:
            raise DataError(f"{name!r} has the whole number {int(x.abs().max())}; named inputs take them up to 2**24")
    return torch.cat([x.reshape(len(x), -1).float() for x in inputs.values()], dim=1)
