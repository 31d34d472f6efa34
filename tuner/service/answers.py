"""What a model says, as JSON. N rows, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.data.tokens import CharacterEncoder
from tuner.export.loaded import LoadedModel
from tuner.export.predictions import label_names, target_names
from tuner.training.predictions import AS_LIKELY_AS_NOT

N_NEXT = 20
"""Characters that may come next which are told."""


def answers(model: LoadedModel, source: Any) -> list[dict[str, Any]]:
    """One answer a row."""
    task = model.bundle.data.task
    if task == "autoencoding":
        return [{"reconstruction": rebuilt.tolist()} for rebuilt in model.predict(source)]
    scores = model.predict_proba(source)
    if task == "regression":
        return [{"values": _named(target_names(model), row)} for row in scores]
    labels = label_names(model)
    if task == "multilabel":
        return [_labels(labels, row) for row in scores]
    if isinstance(model.preprocess.encoder, CharacterEncoder):
        return [_next(labels, row) for row in scores]
    if task == "language":
        return [{"tokens": row.argmax(axis=-1).tolist()} for row in scores]
    return [_class(labels, row) for row in scores]


def _named(names: Sequence[str], row: np.ndarray) -> dict[str, float]:
    return dict(zip(names, row.ravel().tolist(), strict=True))


def _class(labels: Sequence[str], row_K: np.ndarray) -> dict[str, Any]:
    best = int(row_K.argmax())
    return {"label": labels[best], "probability": float(row_K[best]), "probabilities": _named(labels, row_K)}


def _labels(labels: Sequence[str], row_K: np.ndarray) -> dict[str, Any]:
    there = [name for name, value in zip(labels, row_K.tolist(), strict=True) if value > AS_LIKELY_AS_NOT]
    return {"labels": there, "probabilities": _named(labels, row_K)}


def _next(names: Sequence[str], row_V: np.ndarray) -> dict[str, Any]:
    likeliest = np.argsort(-row_V, kind="stable")[:N_NEXT]
    return {"next": {names[place]: float(row_V[place]) for place in likeliest if names[place]}}
