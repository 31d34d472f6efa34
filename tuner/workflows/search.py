"""Run a search, or go on with one: the space file's study, to the end of its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.config.edits import Given
from tuner.config.spec import find_file, load
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Executor
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.workflows.progress import Reporter, SilentReporter
from tuner.workflows.result import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What a person asked for. `overrides` are config paths with values (`search.trials`), `sets` texts of --set."""

    space: str
    storage: str = DEFAULT_STORAGE
    sets: Sequence[str | Given] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    """The study whose trials a new one takes over, as far as they are inside its space."""


def search(request: SearchRequest, reporter: Reporter | None = None, executor: Executor | None = None) -> SearchResult:
    """Search until the budget is spent, or until interrupted; the same request goes on where it stopped.

    Raises ConfigError, DataError, ChangedError, OwnedError, StorageError, SearchFailedError. Nothing is created
    before the space file is valid and the data is readable.
    """
    executor = executor or ProcessExecutor()
    executor.start()  # torch is loaded while the space file is read
    try:
        spec = load(find_file(request.space), sets=request.sets, overrides=request.overrides)
        paths = StudyPaths.of(request.storage, spec.study)
        from tuner.workflows.session import Session
        from tuner.workflows.tracking import tracked

        with tracked(spec, request.storage, reporter or SilentReporter()) as told:
            return Session(request.storage, spec, paths, executor, told, request.source).run()
    finally:
        executor.close()
