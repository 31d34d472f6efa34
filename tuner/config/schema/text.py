"""Texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Section, Task, check_delimiter, check_encoding
from tuner.config.schema.sources import DataSection
from tuner.config.schema.tables import ColumnNames

MaxLength = Annotated[int, Field(ge=1, le=65536)]


class Tokenizer(Section):
    """How a text becomes tokens; what has to be learned for that is learned from the training part alone."""

    kind: Literal["word", "char", "bpe", "wordpiece", "unigram", "file"] = "word"
    """word and char are tuner's own; bpe, wordpiece and unigram are learned by the package tokenizers, which also reads
    a file."""
    path: str | None = None
    """file: a tokenizer.json of the package tokenizers; nothing of the other options but its tokens is used then."""
    vocab_size: Annotated[int, Field(ge=4, le=1_000_000)] = 8000
    """Most tokens, with those for padding and for what is unknown."""
    min_frequency: Annotated[int, Field(ge=1)] = 2
    """Rarer tokens are unknown ones; unigram has no such limit."""
    lowercase: bool = True

    @model_validator(mode="after")
    def _file_has_a_path(self) -> Tokenizer:
        if self.kind == "file" and self.path is None:
            raise ValueError("path: missing; the tokenizer.json that kind: file reads")
        return self


class TextSection(DataSection):
    """What every source of texts takes."""

    tokenizer: Tokenizer = Tokenizer()
    max_length: MaxLength = 256
    """Tokens of a text that are kept, from its beginning."""
    bucket: bool = False
    """Put texts of about one length into one batch, which has less padding then; the order of batches stays random."""

    @property
    def is_padded(self) -> bool:
        return True

    @property
    def is_bucketed(self) -> bool:
        return self.bucket


class TextData(TextSection):
    """Texts with a class or a number: columns of a file, or text files in a folder a class."""

    kind: Literal["text"] = "text"
    path: str
    """A csv, tsv, jsonl or parquet file, or a folder with a folder a class, or with train, val and test around them."""
    text: str = "text"
    """Name of the column that has the texts."""
    target: ColumnNames | None = None
    """Name of the column to predict, or a list of several; of a folder the folders' names are what is predicted."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """null is a tab for .tsv, and a comma for other files."""
    encoding: str = "utf-8"

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    @model_validator(mode="after")
    def _can_be_read(self) -> TextData:
        self.refuse_augment("texts")
        if len(self.targets) != len(set(self.targets)):
            raise ValueError("target: a column is named twice")
        check_encoding(self.encoding)
        check_delimiter(self.delimiter)
        return self


class CharacterData(DataSection):
    """One long text, of which a model learns to tell the next character: the plainest language model."""

    kind: Literal["characters"] = "characters"
    path: str
    """A text file. Its beginning is for training, then comes what validates, and the end is for the test."""
    context: MaxLength = 128
    """Characters that the model sees at most."""
    stride: Annotated[int, Field(ge=1)] | None = None
    """Characters from one piece for training to the next; null puts one behind the other."""
    lowercase: bool = False
    encoding: str = "utf-8"

    @property
    def own_task(self) -> Task:
        return "language"

    @model_validator(mode="after")
    def _can_be_read(self) -> CharacterData:
        self.refuse_augment("characters")
        check_encoding(self.encoding)
        return self
