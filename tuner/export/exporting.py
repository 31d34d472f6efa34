"""Write an export's formats, each of which is loaded again and compared before it counts as done.

B batch, L length of rows that are padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner.data.global_rng import seeded
from tuner.data.lengths import without_padding
from tuner.data.tokens import CharacterEncoder
from tuner.errors import ExportError
from tuner.export.bundle import CODE, WEIGHTS, Bundle
from tuner.export.formats import FORMATS, Format, graph
from tuner.export.loaded import LoadedModel, restored
from tuner.training.evaluate import SEED

TOLERANCE = 1e-5
"""Largest difference of a score, relative to the largest score where that is above 1."""
TOLERANCE_OFF_CPU = 1e-3
"""The same between the evaluation, which may have been on an accelerator, and the exported weights on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the formats."""

    formats: Mapping[str, Mapping[str, Any]]
    """As `Bundle.formats` has them."""
    problems: tuple[str, ...]
    """One for each format that the model cannot be written in."""


def write_formats(folder: Path, bundle: Bundle, names: Sequence[str], sample: Path) -> Written:
    """Write the formats beside the weights, and compare all of them on a batch of the validation part.

    Raises ExportError when the weights themselves do not give what the evaluation gave.
    """
    stored = torch.load(sample, weights_only=True)
    x_B: Tensor = stored["inputs"]
    weights = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    model = restored(bundle, weights, code=folder / CODE)
    formats = {"pt": {"file": WEIGHTS, **_compared_with_training(model, x_B, stored["scores"])}}
    problems = []
    for name in names:
        if name != "pt":
            try:
                formats[name] = _written(FORMATS[name], model, x_B, folder)
            except ExportError as error:
                problems.append(f"{FORMATS[name].file}: {error}; {FORMATS[name].remedy}")
    return Written(formats=formats, problems=tuple(problems))


def _compared_with_training(model: LoadedModel, x_B: Tensor, scores_B: Tensor | None) -> dict[str, Any]:
    if scores_B is None:  # of a language model the evaluation keeps none
        return {}
    with torch.inference_mode(), seeded(SEED):
        difference = _difference(model.score(x_B).reshape(scores_B.shape), scores_B)
    if not difference <= TOLERANCE_OFF_CPU:
        raise ExportError(f"{WEIGHTS}: its scores are {difference:.2g} from the evaluation's; nothing was exported")
    return {"rows": len(x_B), "difference": difference}


def _written(form: Format, model: LoadedModel, x_B: Tensor, folder: Path) -> dict[str, Any]:
    """Write a format in the best way that the model can be written and gives its scores; ExportError for none."""
    problems = []
    for rows, axes in graph.ways(model, x_B):
        try:
            form.write(model, rows, axes, folder / form.file)
            difference = max(_differences(form.open(folder / form.file, True), model, x_B))
            _refuse_other_scores(difference, len(x_B))
        except Exception as error:  # noqa: BLE001 - exporters raise what they like, and the model may be the user's own
            problems.append(error)
        else:
            return {"file": form.file, "rows": len(x_B), "difference": difference}
        for file in folder.glob(f"{form.file}*"):  # weights that are beside it, too
            file.unlink()
    first = problems[0]
    raise first if isinstance(first, ExportError) else ExportError(reason(first)) from first


def _refuse_other_scores(difference: float, n_rows: int) -> None:
    if not difference <= TOLERANCE:  # nor nan
        raise ExportError(f"its scores are {difference:.2g} from those of the weights on {n_rows} rows")


def _differences(read: LoadedModel, model: LoadedModel, x_B: Tensor) -> Iterator[float]:
    """Of a whole batch, of one row, and of a shorter one: without its padding, or of one character."""
    batches = [x_B, x_B[:1]]
    padding = model.preprocess.padding
    if isinstance(model.preprocess.encoder, CharacterEncoder):
        batches.append(x_B[:1, :1])
    elif padding is not None and graph.has_any_length(model) and model.bundle.data.task != "language":
        batches.append(without_padding(x_B[-1:], padding))
    with torch.inference_mode():
        for batch in batches:
            given = graph.padded(read, batch) if read.keeps_padding else batch
            yield _difference(read.score(given), model.score(batch))


def _difference(found: Tensor, expected: Tensor) -> float:
    largest = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) / largest


def reason(error: Exception) -> str:
    """What an exporter says, without its advice to itself: the innermost cause, in a line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
