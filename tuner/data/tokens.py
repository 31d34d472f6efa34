"""Texts as tokens: whole numbers, of which one fills short texts up.

Tokenizers are told apart by how they are made: a `Vocabulary` is our own, of words or characters; `Subwords` are those
of the package tokenizers, which is imported only where they are used.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.text import Tokenizer
from tuner.data.scaling import Array
from tuner.data.subwords import Subwords
from tuner.errors import DataError, RowError

PADDING, UNKNOWN = 0, 1
N_SPECIAL = 2
WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
"""Words, with what follows an apostrophe, and every other mark by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words or characters of the training part, the most frequent first; ids begin with padding and unknown."""

    unit: Literal["word", "char"]
    tokens: tuple[str, ...]
    lowercase: bool

    @classmethod
    def fit(cls, texts: Iterable[str], section: Tokenizer) -> Self:
        unit: Literal["word", "char"] = "char" if section.kind == "char" else "word"
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_pieces(text, unit, lowercase=section.lowercase))
        frequent = sorted(
            (token for token, count in counts.items() if count >= section.min_frequency),
            key=lambda token: (-counts[token], token),
        )
        return cls(unit=unit, tokens=tuple(frequent[: section.vocab_size - N_SPECIAL]), lowercase=section.lowercase)

    @property
    def n_tokens(self) -> int:
        return N_SPECIAL + len(self.tokens)

    @property
    def names(self) -> tuple[str, ...]:
        """What each id stands for; nothing, and the replacement character, for the special ones."""
        return ("", "\N{REPLACEMENT CHARACTER}", *self.tokens)

    @property
    def padding(self) -> int:
        return PADDING

    @property
    def unknown(self) -> int:
        return UNKNOWN

    def encode(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """The ids of each text, at most `length` of them."""
        id_of = {token: N_SPECIAL + number for number, token in enumerate(self.tokens)}
        return [
            [id_of.get(piece, UNKNOWN) for piece in _pieces(text, self.unit, lowercase=self.lowercase)[:length]]
            for text in texts
        ]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "vocabulary", "unit": self.unit, "tokens": list(self.tokens), "lowercase": self.lowercase}


def _pieces(text: str, unit: Literal["word", "char"], *, lowercase: bool) -> Sequence[str]:
    text = unicodedata.normalize("NFC", text)
    text = text.lower() if lowercase else text
    return text if unit == "char" else WORD.findall(text)


Tokens = Vocabulary | Subwords


def tokens_from_json(data: Mapping[str, Any]) -> Tokens:
    if data["kind"] == "subwords":
        return Subwords.from_json(data)
    return Vocabulary(unit=data["unit"], tokens=tuple(data["tokens"]), lowercase=data["lowercase"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRows:
    """Rows that are stored as int32 [L]."""

    length: int
    """Tokens of a row: of a text those that are kept, of characters those that the model looks back on at most."""

    @property
    def shape(self) -> tuple[int]:
        return (self.length,)

    @property
    def dtype(self) -> Literal["int32"]:
        return "int32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder(TokenRows):
    """Texts, filled up with padding."""

    tokens: Tokens
    column: str
    """What the column of the texts is called in a table."""

    def encode(self, source: Any) -> Array:
        """Take a text, a list or array of texts, or a table (DataFrame, mapping, list of mappings) with the column."""
        return self.encode_texts(texts_of(source, self.column))

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """The ids [N, L]; a text without a token is an unknown one, since nothing can be said of no token at all."""
        rows = np.full((len(texts), self.length), self.tokens.padding, dtype=np.int32)
        for row, ids in zip(rows, self.tokens.encode(texts, self.length), strict=True):
            row[: max(1, len(ids))] = ids or self.tokens.unknown
        return rows

    def to_json(self) -> dict[str, Any]:
        return {"kind": "text", "tokens": self.tokens.to_json(), "length": self.length, "column": self.column}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(tokens=tokens_from_json(data["tokens"]), length=data["length"], column=data["column"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterEncoder(TokenRows):
    """What comes before the character that is to be told."""

    tokens: Vocabulary

    def encode(self, source: Any) -> Array:
        """Take a text, or several of one length, of whose last L characters the ids are given."""
        texts = [text.replace("\r\n", "\n") for text in texts_of(source, "text")]
        longest = max(map(len, texts), default=0)
        rows = [ids[-self.length :] for ids in self.tokens.encode(texts, longest + 1)]
        lengths = {len(row) for row in rows}
        if len(lengths) != 1 or lengths == {0}:
            raise DataError(f"input: texts of {sorted(lengths)} characters; expected one length, of 1 or more")
        return np.array(rows, dtype=np.int32)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "characters", "tokens": self.tokens.to_json(), "length": self.length}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        tokens = tokens_from_json(data["tokens"])
        assert isinstance(tokens, Vocabulary)
        return cls(tokens=tokens, length=data["length"])


def texts_of(source: Any, column: str) -> list[str]:
    """The texts that a person gives; DataError when there is something else among them."""
    if isinstance(source, str):
        return [source]
    pandas = sys.modules.get("pandas")  # whoever holds a DataFrame has imported it
    if isinstance(source, Mapping) or (pandas is not None and isinstance(source, pandas.DataFrame)):
        source = source[_present(column, [str(name) for name in source])]
    if isinstance(source, str):
        return [source]
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise DataError(
            f"input: a {type(source).__name__}; expected a text, a list of texts, or a table with their column"
            f" {column!r}"
        )
    texts = [item[_present(column, list(item))] if isinstance(item, Mapping) else item for item in source]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise RowError(row, f"expected a text, got {type(text).__name__}")
    return [str(text) for text in texts]


def _present(name: str, present: Sequence[str]) -> str:
    if name not in present:
        raise DataError(f"input: no column {name!r}{suggestion(name, present)}")
    return name
