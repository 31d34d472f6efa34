"""Parts of words: what the package tokenizers learns or reads, kept as the text of its tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from tuner.config.schema.text import Tokenizer
from tuner.errors import DataError, MissingError

PAD, UNK = "[PAD]", "[UNK]"
CONTINUES = "##"
PADDING_NAMES = (PAD, "<pad>", "<|pad|>", "[pad]")
UNKNOWN_NAMES = (UNK, "<unk>", "<|unk|>", "[unk]")
DIGITS_OF_SCORES = 6
"""Unigram sums its scores in an order that changes from run to run, and so in the last bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subwords:
    """A tokenizer of the package tokenizers."""

    definition: str
    """The text of its tokenizer.json."""
    n_tokens: int
    padding: int
    unknown: int

    @classmethod
    def fit(cls, texts: Sequence[str], section: Tokenizer) -> Self:
        """Learn the parts of words in some texts; the same texts give the same tokenizer, to the bit."""
        library = _library(section.kind)
        normalizers = [library.normalizers.NFC(), *([library.normalizers.Lowercase()] if section.lowercase else [])]
        normalizer = library.normalizers.Sequence(normalizers)
        characters = sorted({char for text in texts for char in normalizer.normalize_str(text) if not char.isspace()})
        tokenizer, trainer = _TRAINED[section.kind](library, section, characters)
        tokenizer.normalizer = normalizer
        tokenizer.train_from_iterator(texts, trainer=trainer, length=len(texts))
        return cls.of(_settled(tokenizer.to_str()))

    @classmethod
    def read(cls, path: Path) -> Self:
        """A tokenizer.json; DataError when it is none."""
        try:
            definition = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise _no_tokenizer(path, f"byte {error.start} is not UTF-8") from error
        _library("file")
        try:
            return cls.of(definition)
        except ValueError as error:
            raise _no_tokenizer(path, str(error)) from error

    @classmethod
    def of(cls, definition: str) -> Self:
        """From the text of a tokenizer.json; ValueError when it is none."""
        tokenizer = _loaded(definition)
        size: int = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        if not size:
            raise ValueError("it has no tokens")
        padding = _first_id(tokenizer, PADDING_NAMES)
        unknown = _first_id(tokenizer, UNKNOWN_NAMES)
        return cls(
            definition=definition,
            n_tokens=size + (padding is None),
            padding=size if padding is None else padding,
            unknown=unknown or 0,
        )

    def encode(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """The ids of each text, at most `length` of them."""
        encodings = _cutting(self.definition, length).encode_batch(list(texts))
        return [encoding.ids[:length] for encoding in encodings]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "subwords", "definition": self.definition}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls.of(data["definition"])


def _library(kind: str) -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingError(
            f"data.tokenizer.kind {kind} needs the package tokenizers, which is not installed: pip install"
            " 'tuner[text]', or take kind: word or char, which tuner has itself"
        ) from error
    return tokenizers


def _loaded(definition: str) -> Any:
    tokenizer_class = _library("file").Tokenizer
    try:
        tokenizer = tokenizer_class.from_str(definition)
    except Exception as error:  # the package raises bare Exceptions
        raise ValueError(str(error)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@lru_cache(maxsize=4)
def _cutting(definition: str, length: int) -> Any:
    """A tokenizer that keeps so many tokens, those that it puts at the end included."""
    tokenizer = _loaded(definition)
    n_added = tokenizer.num_special_tokens_to_add(is_pair=False)
    if length > n_added:
        tokenizer.enable_truncation(length)
    return tokenizer


def _first_id(tokenizer: Any, names: Sequence[str]) -> int | None:
    ids = (tokenizer.token_to_id(name) for name in names)
    return next((number for number in ids if number is not None), None)


def _no_tokenizer(path: Path, reason: str) -> DataError:
    return DataError(
        f"data.tokenizer.path: {path}: no tokenizer ({reason}); expected the tokenizer.json that Tokenizer.save of the"
        " package tokenizers writes, or take another data.tokenizer.kind"
    )


def _settled(definition: str) -> str:
    """Without what differs from run to run, or is there for the training alone."""
    content = json.loads(definition)
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in (PAD, UNK)]
    if content["model"]["type"] == "Unigram":
        vocabulary = [[token, round(score, DIGITS_OF_SCORES)] for token, score in content["model"]["vocab"]]
        special, pieces = vocabulary[:2], vocabulary[2:]
        content["model"]["vocab"] = special + sorted(pieces, key=lambda piece: (-piece[1], piece[0]))
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _bpe(library: Any, section: Tokenizer, _characters: Sequence[str]) -> tuple[Any, Any]:
    """Of bytes, as in GPT-2: nothing is unknown."""
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = library.decoders.ByteLevel()
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    return tokenizer, library.trainers.BpeTrainer(initial_alphabet=alphabet, **_limits(section))


def _wordpiece(library: Any, section: Tokenizer, characters: Sequence[str]) -> tuple[Any, Any]:
    tokenizer = library.Tokenizer(library.models.WordPiece(unk_token=UNK))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
    tokenizer.decoder = library.decoders.WordPiece(prefix=CONTINUES)
    # The trainer meets words in an order that changes from run to run, and would number these as it meets them; ties
    # between pairs go by the numbers.
    limits = _limits(section)
    limits["special_tokens"] = [*limits["special_tokens"], *(CONTINUES + char for char in characters)]
    return tokenizer, library.trainers.WordPieceTrainer(continuing_subword_prefix=CONTINUES, **limits)


def _unigram(library: Any, section: Tokenizer, _characters: Sequence[str]) -> tuple[Any, Any]:
    tokenizer = library.Tokenizer(library.models.Unigram())
    tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace()
    tokenizer.decoder = library.decoders.Metaspace()
    limits = {name: value for name, value in _limits(section).items() if name != "min_frequency"}
    return tokenizer, library.trainers.UnigramTrainer(unk_token=UNK, **limits)


def _limits(section: Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": section.vocab_size,
        "min_frequency": section.min_frequency,
        "special_tokens": [PAD, UNK],
        "show_progress": False,
    }


_TRAINED: dict[str, Callable[[Any, Tokenizer, Sequence[str]], tuple[Any, Any]]] = {
    "bpe": _bpe,
    "wordpiece": _wordpiece,
    "unigram": _unigram,
}
