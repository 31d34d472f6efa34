"""Predict files with an export."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tuner.config.messages import suggestion
from tuner.errors import DataError, RowError, UsageError
from tuner.export.inputs import Asked, Rows, rows_of
from tuner.export.loaded import LoadedModel, load
from tuner.export.predictions import WRITERS, Piece, mean_squares, write_csv, write_json
from tuner.paths import written_atomically

STDIN = "-"
IN_MEMORY_BYTES = 2**26
AT_ONCE = 8
"""Batches that are encoded at once: those of the evaluation are small, and a slice of a table has its cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What to predict with which export."""

    export: Path
    """The folder, or a file in a format that stands for itself."""
    inputs: tuple[str, ...]
    """Files, folders, or `-` for the standard input."""
    array: str | None = None
    """Which array of a file that has several."""
    allow_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A file of predictions that was written."""

    path: Path
    n_rows: int
    task: str
    study: str
    trial: int

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "rows": self.n_rows,
            "task": self.task,
            "study": self.study,
            "trial": self.trial,
        }


def predict_to_file(request: PredictRequest, out: Path) -> Predicted:
    """Write predictions in the form that the suffix of `out` names; a file that is there is replaced as a whole.

    Raises what `tuner.load` raises, UsageError for a suffix that is not known, NotFoundError and DataError for inputs.
    """
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        raise UsageError(f"--out {out}: unknown format {out.suffix!r}{suggestion(out.suffix, WRITERS)}")
    if any(Path(name).resolve() == out.resolve() for name in request.inputs):
        raise UsageError(f"--out {out}: is one of the inputs; write to another file")
    model, rows = _opened(request)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(out) as file:
        writer(file, model, _pieces(model, rows))
    bundle = model.bundle
    n_rows = sum(part.n_rows for part in rows)
    return Predicted(path=out, n_rows=n_rows, task=bundle.data.task, study=bundle.study, trial=bundle.trial)


def predict_to_stream(request: PredictRequest, stream: IO[bytes], *, as_json: bool) -> None:
    """Write predictions as csv or JSON once all are there: where one row cannot be predicted, nothing is written."""
    model, rows = _opened(request)
    write = write_json if as_json else write_csv
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        write(file, model, _pieces(model, rows))
        file.seek(0)
        while chunk := file.read(IN_MEMORY_BYTES):
            stream.write(chunk)
    stream.flush()


def _opened(request: PredictRequest) -> tuple[LoadedModel, list[Rows]]:
    model = load(request.export, allow_code=request.allow_code)
    asked = Asked(
        encoder=model.preprocess.encoder,
        data=model.bundle.config.data,
        paths=tuple(Path("/dev/stdin" if name == STDIN else name) for name in request.inputs),
        array=request.array,
    )
    rows = rows_of(asked)
    if not any(part.n_rows for part in rows):
        raise DataError(f"{', '.join(request.inputs)}: no rows to predict")
    return model, rows


def _pieces(model: LoadedModel, rows: list[Rows]) -> Iterator[Piece]:
    """The predictions of some batches of the evaluation at a time: memory does not grow with the input."""
    step = AT_ONCE * model.batch_size
    for part in rows:
        for start in range(0, part.n_rows, step):
            stop = min(start + step, part.n_rows)
            yield _piece(model, part, start, stop)


def _piece(model: LoadedModel, rows: Rows, start: int, stop: int) -> Piece:
    try:
        source = rows.take(start, stop)
        scores = model.predict_proba(source)
        is_rebuilt = model.bundle.data.task == "autoencoding"
        errors = mean_squares(model.preprocess(source).numpy(), scores) if is_rebuilt else None
    except RowError as error:
        place = rows.name(start + error.row)
        problem = error.problem if error.problem.startswith(place) else f"{place}: {error.problem}"
        raise DataError(problem) from error
    except DataError as error:
        raise DataError(f"{rows.path}: {error.message.removeprefix('input: ')}") from error
    return Piece(
        names=tuple(rows.name(row) for row in range(start, stop)),
        scores=scores,
        predictions=model.decided(scores),
        errors=errors,
    )
