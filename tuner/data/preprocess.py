"""From the source's form to a model's input, as plain values that an export can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch

from tuner.data.encoders import ImageEncoder, TensorEncoder
from tuner.data.info import InputField
from tuner.data.named import NamedEncoder
from tuner.data.scaling import Scaling, apply
from tuner.data.sounds import SoundEncoder
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.windows import WindowEncoder

Tokenized = TextEncoder | CharacterEncoder
Encoder = ImageEncoder | NamedEncoder | TableEncoder | TensorEncoder | WindowEncoder | Tokenized | SoundEncoder
ENCODER_KINDS: dict[str, type[Encoder]] = {
    "image": ImageEncoder,
    "named": NamedEncoder,
    "table": TableEncoder,
    "tensor": TensorEncoder,
    "sound": SoundEncoder,
    "window": WindowEncoder,
    "text": TextEncoder,
    "characters": CharacterEncoder,
}
TOKENS = ("int64", "int32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """What was fitted on the training part.

    `encoder` gives rows in the form in which they are stored; `scaling` makes them the model's input. Training applies
    only the second step to stored rows, prediction both: the numbers are the same to the bit.
    """

    encoder: Encoder
    scaling: Scaling | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.encoder.shape

    @property
    def input_dtype(self) -> Literal["float32", "int64"]:
        return "int64" if self.encoder.dtype in TOKENS else "float32"

    @property
    def n_tokens(self) -> int | None:
        """Size of the vocabulary where inputs are tokens."""
        if isinstance(self.encoder, TextEncoder | CharacterEncoder):
            return self.encoder.tokens.n_tokens
        return self.encoder.n_tokens if isinstance(self.encoder, TensorEncoder) else None

    @property
    def padding(self) -> int | None:
        """The token that fills short rows up."""
        if isinstance(self.encoder, TextEncoder):
            return self.encoder.tokens.padding
        return self.encoder.padding if isinstance(self.encoder, TensorEncoder) else None

    @property
    def inputs(self) -> tuple[InputField, ...]:
        """The inputs that a row holds by name; empty where it is one input."""
        return self.encoder.fields if isinstance(self.encoder, NamedEncoder) else ()

    def __call__(self, source: Any) -> torch.Tensor:
        """The inputs [B, *input_shape] of a batch, on the CPU.

        Images: uint8 arrays, or a list of them or of PIL images. Tables: a DataFrame, a list of mappings, or an array
        of numbers. Texts: a list of them, or a table with their column. A user's own dataset: a batch, or a list of
        what its items hold (dicts, or a dict of batches, where they have several inputs). Raises DataError when
        `source` is not of the trained form.
        """
        stored = torch.from_numpy(np.ascontiguousarray(self.encoder.encode(source)))
        return apply(stored, None if self.scaling is None else self.scaling.constants(torch.device("cpu")))

    def to_json(self) -> dict[str, Any]:
        scaling = self.scaling and {
            "mean": list(self.scaling.mean),
            "std": list(self.scaling.std),
            "n_trailing": self.scaling.n_trailing,
            **({"repeats": list(self.scaling.repeats)} if self.scaling.repeats else {}),
        }
        return {"encoder": self.encoder.to_json(), "scaling": scaling}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        encoder = ENCODER_KINDS[data["encoder"]["kind"]].from_json(data["encoder"])
        scaling = data["scaling"]
        if scaling is None:
            return cls(encoder=encoder)
        lists = {name: tuple(scaling[name]) for name in ("mean", "std", "repeats") if name in scaling}
        return cls(encoder=encoder, scaling=Scaling(**lists, n_trailing=scaling["n_trailing"]))
