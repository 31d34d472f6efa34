"""How inputs become what a model sees, in words."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.data.encoders import ImageEncoder
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Scaling
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.windows import WindowEncoder

N_SHOWN = 3


def encoding_of(preprocess: Preprocess) -> str:
    """One line: what rows are encoded as, and how they are scaled."""
    encoder = preprocess.encoder
    parts: list[str] = []
    if isinstance(encoder, (TableEncoder, WindowEncoder)):
        table = encoder.table if isinstance(encoder, WindowEncoder) else encoder
        parts.append(f"{len(table.columns)} columns as {table.shape[0]} features")
    elif isinstance(encoder, TextEncoder):
        parts.append(f"tokens of a vocabulary of {encoder.tokens.n_tokens}, at most {encoder.length} of a text")
    elif isinstance(encoder, CharacterEncoder):
        parts.append(f"{encoder.tokens.n_tokens} characters, {encoder.length} at a time")
    elif isinstance(encoder, ImageEncoder):
        parts.append("images, kept as 8-bit pixels")
    elif isinstance(encoder, NamedEncoder):
        parts.append("inputs by name: " + ", ".join(f"{field.name} {list(field.shape)}" for field in encoder.fields))
    elif preprocess.input_dtype == "int64":
        parts.append("whole numbers, as they are")
    if preprocess.scaling is not None:
        parts.append(_scaled(preprocess.scaling))
    elif not parts:
        parts.append("numbers, as they are")
    return "; ".join(parts)


def _scaled(scaling: Scaling) -> str:
    if not any(scaling.mean) and len(set(scaling.std)) == 1:
        return f"divided by {scaling.std[0]:g}"
    return f"scaled: mean {_listed(scaling.mean)}, deviation {_listed(scaling.std)}"


def _listed(values: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:N_SHOWN])
    return f"{shown} ..." if len(values) > N_SHOWN else shown
