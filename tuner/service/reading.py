"""Bodies of requests as what a model's `predict` takes."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.data.encoders import ImageEncoder
from tuner.data.fitting import fitted, opened, shape_in_file
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Encoder
from tuner.data.sounds import SoundEncoder
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.wav import read_wav
from tuner.data.windows import WindowEncoder
from tuner.errors import DataError, UsageError

MAX_PIXELS = 50_000_000
"""Of an uploaded image: a small file can hold a picture that fills the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of a request."""

    name: str
    content: bytes


def object_of(body: bytes) -> dict[str, Any]:
    """The object that a JSON body holds; UsageError says what is wrong with it."""
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON ({error}); send an object in UTF-8") from error
    if not isinstance(plain, dict):
        raise UsageError(f"the body is a JSON {type(plain).__name__}; send an object")
    return plain


def inputs_of_json(body: bytes, encoder: Encoder) -> Any:
    """The `inputs` of a JSON body; UsageError says what is wrong with it."""
    plain = object_of(body)
    if "inputs" not in plain:
        raise UsageError('the body has no "inputs"; send {"inputs": ...}, see /model for what the model takes')
    return _from_plain(plain["inputs"], encoder)


def _from_plain(inputs: Any, encoder: Encoder) -> Any:
    if isinstance(encoder, ImageEncoder | SoundEncoder) and _is_base64(inputs):
        return inputs_of_files([_decoded(text) for text in _as_list(inputs)], encoder)
    if isinstance(encoder, TextEncoder | CharacterEncoder):
        return inputs if isinstance(inputs, str) else _listed(inputs, "texts")
    if isinstance(encoder, NamedEncoder):
        return [_arrays(item) for item in _rows(inputs)]
    is_of_objects = isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], Mapping)
    if isinstance(encoder, TableEncoder) or (isinstance(encoder, WindowEncoder) and is_of_objects):
        return _rows(inputs)
    return _array(inputs)


def _rows(inputs: Any) -> list[Mapping[str, Any]]:
    rows = [inputs] if isinstance(inputs, Mapping) else _listed(inputs, "objects, one a row")
    wrong = next((number for number, row in enumerate(rows) if not isinstance(row, Mapping)), None)
    if wrong is not None:
        raise UsageError(f"inputs: row {wrong}: expected an object of values by column")
    return rows


def _listed(inputs: Any, what: str) -> list[Any]:
    if not isinstance(inputs, list):
        raise UsageError(f"inputs: expected a list of {what}, got {type(inputs).__name__}")
    return inputs


def _as_list(inputs: Any) -> list[str]:
    return [inputs] if isinstance(inputs, str) else inputs


def _is_base64(inputs: Any) -> bool:
    return isinstance(inputs, str) or (isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], str))


def _arrays(item: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: _array(value) for name, value in item.items()}


def _array(inputs: Any) -> np.ndarray:
    try:
        array = np.asarray(inputs)
    except (ValueError, TypeError) as error:
        raise UsageError("inputs: lists of different lengths; expected an array") from error
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise UsageError("inputs: expected an array of numbers, as nested lists")
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _decoded(text: Any) -> Upload:
    """A file in base64, bare or as a data URL."""
    content = text.partition("base64,")[2] or text if isinstance(text, str) else ""
    try:
        return Upload(name="base64", content=base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError) as error:
        raise UsageError("inputs: a text that is no base64; send files as base64, or as the body itself") from error


def inputs_of_files(files: Sequence[Upload], encoder: Encoder) -> Any:
    """What uploaded files hold; DataError names the file that cannot be read."""
    if not files:
        raise UsageError("no file in the request")
    if isinstance(encoder, ImageEncoder):
        return np.stack([_pixels(file, encoder) for file in files])
    if isinstance(encoder, SoundEncoder):
        return [_sound(file) for file in files]
    if isinstance(encoder, TextEncoder | CharacterEncoder):
        return [_text(file) for file in files]
    raise UsageError('this model takes no files; send JSON, {"inputs": ...}')


def _pixels(file: Upload, encoder: ImageEncoder) -> np.ndarray:
    """The image [C, H, W] as training would have stored it; where training had one size, brought to that size."""
    content = io.BytesIO(file.content)
    try:
        _, height, width = shape_in_file(content)
        if height * width > MAX_PIXELS:
            most = MAX_PIXELS // 1_000_000
            raise DataError(f"{file.name}: {height * width / 1e6:.0f} million pixels; expected at most {most}")
        stored = fitted(opened(content), encoder.shape, encoder.fit or "pad")
    except ValueError as error:
        raise DataError(f"{file.name}: {error}; send a PNG or JPEG file") from error
    return encoder.scaled(stored)


def _sound(file: Upload) -> tuple[int, np.ndarray]:
    try:
        sound = read_wav(io.BytesIO(file.content))
    except ValueError as error:
        raise DataError(f"{file.name}: {error}") from error
    return sound.rate, sound.samples


def _text(file: Upload) -> str:
    try:
        return file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: no UTF-8 text (byte {error.start})") from error
