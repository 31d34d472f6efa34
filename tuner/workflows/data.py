"""Look at the data of a space file before a search: sizes, classes, features, twins, samples, and how it is read."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.config.schema import Data, SklearnData, TrialConfig
from tuner.config.spec import Spec, find_file, load
from tuner.data.feed import Feed
from tuner.data.prepare import Prepared, prepare, read_source
from tuner.data.sources import SOURCES
from tuner.data.survey.encoding import encoding_of
from tuner.data.survey.pictures import grid, png
from tuner.data.survey.survey import N_PICTURES, N_SAMPLES, Survey, needs_source, survey
from tuner.device import resolve
from tuner.errors import UsageError
from tuner.paths import DEFAULT_STORAGE, StudyPaths, write_atomically

TIMED_S = 0.5
"""How long batches are read to know what one takes."""
GRID_COLUMNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What `tuner data` has to say."""

    study: str
    file: str
    survey: Survey
    source: str
    """The files that the data is read from, or the target."""
    encoding: str
    """How inputs become what the model sees."""
    loading: str
    """How batches are read, as picked for the base config on this machine."""
    batch_s: float
    """Seconds that a batch of the base config takes to read."""
    batch_size: int
    read_s: float
    """Seconds until the data was ready; decoded data is kept for the search."""
    picture: Path | None = None
    """The grid of samples that was asked for."""

    def to_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "file": self.file,
            "source": self.source,
            **self.survey.to_json(),
            "encoding": self.encoding,
            "loading": self.loading,
            "batch_seconds": self.batch_s,
            "batch_size": self.batch_size,
            "seconds": self.read_s,
            "picture": None if self.picture is None else str(self.picture),
        }


def examine(
    space: str, *, storage: str = DEFAULT_STORAGE, sets: Sequence[str] = (), picture: Path | None = None
) -> DataReport | Spec:
    """Everything about the data of the base config; the spec alone where own training code brings its own.

    The decoded data is kept where the search looks for it. `picture` is a PNG file that gets a grid of samples. Raises
    what a search raises before its first trial, and UsageError for a picture of what are no images.
    """
    spec = load(find_file(space), sets=sets)
    data: Data | None = spec.base.data
    if data is None:
        return spec
    started = time.monotonic()
    prepared = _prepared(spec, data, StudyPaths.of(storage, spec.study).data)
    read_s = time.monotonic() - started
    found = _survey(prepared, spec, data, n_samples=N_SAMPLES)
    if picture is not None:
        _draw(_survey(prepared, spec, data, n_samples=N_PICTURES), picture)
    loading, batch_s = _loading(prepared, spec.base, data)
    return DataReport(
        study=spec.study,
        file=spec.file,
        survey=found,
        source=_source(data, spec.base_dir),
        encoding=encoding_of(prepared.preprocess),
        loading=loading,
        batch_s=batch_s,
        batch_size=data.batch_size,
        read_s=read_s,
        picture=picture,
    )


def _prepared(spec: Spec, data: Data, folder: Path) -> Prepared:
    return prepare(data, metric=spec.objective.metric, seed=spec.seed, base_dir=spec.base_dir, cache_dir=folder)


def _survey(prepared: Prepared, spec: Spec, data: Data, *, n_samples: int) -> Survey:
    if not needs_source(prepared):
        return survey(prepared, None, n_samples=n_samples)
    with tempfile.TemporaryDirectory() as scratch:
        source = read_source(
            data, metric=spec.objective.metric, seed=spec.seed, base_dir=spec.base_dir, scratch=Path(scratch)
        )
        return survey(prepared, source, n_samples=n_samples)


def _draw(found: Survey, path: Path) -> None:
    pictures = [sample.picture for sample in found.samples if sample.picture is not None]
    if not pictures:
        raise UsageError("--out: a grid of samples is for images, and this data has none; leave it out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, png(grid(pictures, GRID_COLUMNS)))


def _source(data: Data, base_dir: Path) -> str:
    files = SOURCES[data.kind].files(data, base_dir)
    names = [os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path) for path in files]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""  # noqa: PLR2004
    target = getattr(data, "target", "") if data.kind == "python" else ""
    without_file = "scikit-learn" if isinstance(data, SklearnData) else "no file"
    return target or ", ".join(names[:2]) + more or without_file


def _loading(prepared: Prepared, base: TrialConfig, data: Data) -> tuple[str, float]:
    feed = Feed.of(prepared, data, device=resolve(base.train.device), n_cores=os.cpu_count() or 1)
    n_batches, started = 0, time.monotonic()
    for _ in feed.train(epoch_seed=0):
        n_batches += 1
        if time.monotonic() - started > TIMED_S:
            break
    return feed.picked, (time.monotonic() - started) / max(1, n_batches)
