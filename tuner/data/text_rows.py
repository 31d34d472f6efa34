"""All texts of a source, and the tokenizer that is learned from those of the training part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.config.schema.text import TextSection, Tokenizer
from tuner.data.lengths import MULTIPLE
from tuner.data.preprocess import Preprocess
from tuner.data.scaling import Array
from tuner.data.splits import Indices
from tuner.data.subwords import Subwords
from tuner.data.tokens import TextEncoder, Tokens, Vocabulary

TEXTS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRows:
    """Implements `tuner.data.decoded.Rows`."""

    texts: Sequence[str]
    section: TextSection
    column: str
    tokenizer_file: Path | None
    """Of kind: file."""

    def fit(self, train: Indices, *, normalize: bool) -> Preprocess:  # noqa: ARG002 - tokens are not scaled
        """Rows are as long as the longest text for training; longer ones of the other parts are cut."""
        texts = [self.texts[row] for row in train.tolist()]
        tokens = self._tokens(texts)
        longest = max(
            len(ids)
            for start in range(0, len(texts), TEXTS_AT_ONCE)
            for ids in tokens.encode(texts[start : start + TEXTS_AT_ONCE], self.section.max_length)
        )
        length = min(self.section.max_length, max(1, -(-longest // MULTIPLE)) * MULTIPLE)
        return Preprocess(encoder=TextEncoder(tokens=tokens, length=length, column=self.column))

    def chunks(self, rows: Indices, preprocess: Preprocess) -> Iterator[Array]:
        encoder = preprocess.encoder
        assert isinstance(encoder, TextEncoder)
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            piece = rows[start : start + TEXTS_AT_ONCE].tolist()
            yield encoder.encode_texts([self.texts[row] for row in piece])

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        section: Tokenizer = self.section.tokenizer
        if section.kind in ("word", "char"):
            return Vocabulary.fit(texts, section)
        if section.kind == "file":
            assert self.tokenizer_file is not None
            return Subwords.read(self.tokenizer_file)
        return Subwords.fit(texts, section)
