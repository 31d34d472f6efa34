"""What a language model of characters says comes next.

N texts, L characters of one, V characters that are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuner.data.preprocess import Preprocess
from tuner.data.tokens import N_SPECIAL, texts_of
from tuner.errors import UsageError

Score = Callable[[Tensor], Tensor]


def next_probabilities(score: Score, preprocess: Preprocess, source: Any) -> np.ndarray:
    """The probabilities [N, V] of the character after each text, whatever their lengths."""
    rows = [_next(score, preprocess, text) for text in texts_of(source, "text")]
    probabilities: np.ndarray = torch.stack(rows).numpy()
    return probabilities


def continuation(
    score: Score,
    preprocess: Preprocess,
    prompt: str,
    n: int,
    *,
    temperature: float,
    seed: int,
) -> str:
    """`n` characters, each drawn from what the model says of all before it."""
    if temperature < 0:
        raise UsageError(f"temperature: expected 0 or more, got {temperature}")
    generator = torch.Generator().manual_seed(seed)
    names: Any = preprocess.encoder
    text = prompt
    for _ in range(n):
        known_V = _next(score, preprocess, text)[N_SPECIAL:]
        text += names.tokens.tokens[_drawn(known_V, temperature, generator)]
    return text[len(prompt) :]


def _next(score: Score, preprocess: Preprocess, text: str) -> Tensor:
    with torch.inference_mode():
        return score(preprocess([text]))[0, -1]


def _drawn(probabilities_V: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(probabilities_V.argmax())
    weights_V = (probabilities_V.double().log() / temperature).softmax(dim=0)
    return int(torch.multinomial(weights_V, 1, generator=generator))
