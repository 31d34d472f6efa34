"""What arrays ask for: they are decoded as a search would, which tells their shape and task."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tuner.config.schema.arrays import ArrayData
from tuner.data.decoded import ArrayRows, Decoded, Request
from tuner.data.encoders import ImageEncoder
from tuner.data.sources import array_files
from tuner.errors import DataError
from tuner.workflows.looking import draft as drafts
from tuner.workflows.looking.draft import Asked, Draft, line, option
from tuner.workflows.looking.tables import SIZES
from tuner.workflows.looking.targets import CLASSIFICATION, REGRESSION

TOKENS = "text-classification"
IMAGES = "image-classification"


def look(asked: Asked, kind: str) -> Draft:
    """Images, tokens or numbers with classes, labels or quantities; DataError where they cannot be trained on."""
    data = ArrayData.model_validate({"kind": kind, "path": str(asked.path.resolve())})
    with tempfile.TemporaryDirectory() as scratch:
        request = Request(base_dir=Path(), task="auto", tasks=frozenset(), seed=0, scratch=Path(scratch))
        return _draft(asked, kind, _read(data, request))


def _read(data: ArrayData, request: Request) -> Decoded:
    try:
        return array_files.read(data, request)
    except DataError as error:
        try:
            return array_files.read(data, replace(request, task="multilabel"))
        except DataError:
            raise error from None


def _draft(asked: Asked, kind: str, decoded: Decoded) -> Draft:
    template, what = _template(decoded)
    counts = _counts(decoded)
    lines = [
        "data:",
        f"  kind: {kind}",
        option("path", asked.written),
        *([f"  task: {decoded.task}"] if decoded.task != "classification" else []),
        "  batch_size: 64",
        *(["  augment: {kind: light, shift: 2}"] if template == IMAGES else []),
        _split(decoded, counts),
    ]
    return Draft(
        template=template,
        about=f"Arrays: {what}, with {_targets(decoded)}.",
        sections={"data": tuple(lines), "objective": (_objective(decoded, counts),)},
        found=(f"{asked.path}: {len(decoded.targets)} rows of {what}", f"predicts {_targets(decoded)}"),
    )


def _template(decoded: Decoded) -> tuple[str, str]:
    assert isinstance(decoded.rows, ArrayRows)
    encoder = decoded.rows.encoder
    shape = " x ".join(map(str, encoder.shape))
    is_classes = decoded.task == "classification"
    if isinstance(encoder, ImageEncoder) and is_classes:
        return IMAGES, f"images of {shape}"
    if encoder.dtype == "int64" and is_classes:
        return TOKENS, f"{shape} tokens"
    return (REGRESSION if decoded.task == "regression" else CLASSIFICATION), f"{shape} numbers"


def _counts(decoded: Decoded) -> dict[str, int]:
    if decoded.task != "classification":
        return {}
    found = np.bincount(decoded.targets[decoded.pool], minlength=len(decoded.labels))
    return dict(zip(decoded.labels, found.tolist(), strict=True))


def _targets(decoded: Decoded) -> str:
    if decoded.task == "classification":
        return drafts.shares(_counts(decoded))
    n_targets = decoded.targets.shape[1]
    return f"{n_targets} labels" if decoded.task == "multilabel" else f"{n_targets} number{'s' * (n_targets > 1)}"


def _objective(decoded: Decoded, counts: dict[str, int]) -> str:
    if decoded.task == "multilabel":
        return line("objective: {metric: f1_macro}", "the mean over the labels")
    return drafts.objective(counts) if counts else "objective: {metric: rmse}"


def _split(decoded: Decoded, counts: dict[str, int]) -> str:
    given = f"not used for {' and '.join(decoded.given)}, of which there are arrays" if decoded.given else ""
    if counts:
        return drafts.split(0.2, 0.2, counts, given)
    labels = "by chance: rows with several labels cannot be stratified by them" * (decoded.task == "multilabel")
    return line(f"  split: {{{SIZES}}}", given or labels)
