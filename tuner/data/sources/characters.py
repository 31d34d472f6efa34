"""One long text, cut by position: training first, then validation, the test last.

T characters, N pieces, L characters of one.
"""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path

import numpy as np

from tuner.config.schema.text import CharacterData, Tokenizer
from tuner.data.character_rows import CharacterRows
from tuner.data.decoded import Decoded, Request
from tuner.data.sources.paths import resolve_existing
from tuner.data.sources.text_files import decoded
from tuner.data.splits import PARTS, Indices
from tuner.data.targets import resolve_task
from tuner.data.tokens import Vocabulary
from tuner.errors import DataError, NotFoundError

MIN_CHARACTERS = 2
EVERYTHING = Tokenizer(kind="char", vocab_size=1_000_000, min_frequency=1, lowercase=False)


def files(data: CharacterData, base_dir: Path) -> tuple[Path, ...]:
    path = resolve_existing(data.path, base_dir)
    if path is None or not path.is_file():
        raise NotFoundError(f"data.path {data.path}: no such file; looked in {base_dir} and {Path.cwd()}")
    return (path,)


def read(data: CharacterData, request: Request) -> Decoded:
    """Every piece, and as targets the same one character later: int64 [N, L]."""
    task = resolve_task("characters", own="language", wanted=request.task)
    (path,) = files(data, request.base_dir)
    text = unicodedata.normalize("NFC", decoded(path, data.encoding).replace("\r\n", "\n"))
    text = text.lower() if data.lowercase else text
    ends = _ends(data, len(text), path)
    vocabulary = Vocabulary.fit([text[: ends[0]]], EVERYTHING.model_copy(update={"lowercase": data.lowercase}))
    if len(vocabulary.tokens) < MIN_CHARACTERS:
        raise DataError(
            f"{path}: the training part has one character alone ({vocabulary.tokens[0]!r}); nothing to tell"
        )
    ids = np.array(vocabulary.encode([text], len(text))[0], dtype=np.int32)
    starts = [_starts(data, part, begin, end, path) for part, begin, end in zip(PARTS, (0, *ends), ends, strict=False)]
    all_starts = np.concatenate(starts)
    targets_NL = np.lib.stride_tricks.sliding_window_view(ids, data.context)[all_starts + 1].astype(np.int64)
    return Decoded(
        task=task,
        labels=(),
        rows=CharacterRows(ids=ids, starts=all_starts, length=data.context, vocabulary=vocabulary),
        targets=targets_NL,
        given=_given(starts),
        row_name=lambda row: f"{path}: character {all_starts[row]}",
    )


def _ends(data: CharacterData, n_characters: int, path: Path) -> tuple[int, ...]:
    """Where training, validation and, if there is one, the test end."""
    n_val, n_test = (_count(size, n_characters, data.context) for size in (data.split.val, data.split.test))
    if n_val + n_test >= n_characters:
        raise DataError(
            f"data.split: val takes {n_val} and test {n_test} of the {n_characters} characters of {path}, which leaves"
            " none for training; lower data.split, or give a longer text"
        )
    ends = (n_characters - n_val - n_test, n_characters - n_test, n_characters)
    return ends if n_test else ends[:2]


def _count(size: float, n_characters: int, context: int) -> int:
    """Characters of a part: a fraction of all, or a number of pieces."""
    if isinstance(size, int):
        return size * context + 1 if size else 0
    return math.floor(size * n_characters + 0.5)


def _starts(data: CharacterData, part: str, begin: int, end: int, path: Path) -> Indices:
    """The first character of each piece of a part; those that are scored do not overlap."""
    stride = data.stride if part == "train" and data.stride else data.context
    starts = np.arange(begin, end - data.context, stride)
    if not len(starts):
        remedy = "lower data.context, or give a longer text"
        raise DataError(
            f"{path}: the {part} part has {end - begin} characters; a piece takes {data.context + 1} (data.context"
            f" and the one to be told): {remedy if part == 'train' else f'raise data.split.{part}, {remedy}'}"
        )
    return starts


def _given(starts: list[Indices]) -> dict[str, Indices]:
    ends = np.cumsum([len(part) for part in starts])
    rows = zip(PARTS[1:], ends[:-1], ends[1:], strict=False)
    return {part: np.arange(begin, end) for part, begin, end in rows}
