"""The Python API: the same engine and the same files as the command line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.paths import DEFAULT_STORAGE

if TYPE_CHECKING:
    import pandas as pd

    from tuner.export.loaded import LoadedModel
    from tuner.workflows.status import Status

__all__ = ["Study", "best", "load", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study in a database."""

    name: str
    storage: str = DEFAULT_STORAGE

    @property
    def status(self) -> Status:
        """Counts by state, the best trial and the time spent, as of now."""
        from tuner.workflows.status import status_of

        return status_of(self.storage, self.name)

    def trials_frame(self) -> pd.DataFrame:
        """A row a trial, by its number.

        `state`, `value` (or several objectives by name), the params by dotted name, `epochs`, `best_epoch`, `seconds`
        and `reason`, each in its type, which can be missing where a trial has none.
        """
        from tuner.workflows.frames import trials_frame

        return trials_frame(self.storage, self.name)

    def epochs_frame(self) -> pd.DataFrame:
        """A row an epoch, by trial and epoch: every metric by `<split>/<metric>`, and `seconds`."""
        from tuner.workflows.frames import epochs_frame

        return epochs_frame(self.storage, self.name)


def search(
    space: str | Path,
    *,
    trials: int | None = None,
    timeout: float | str | None = None,
    workers: int | None = None,
    device: str | None = None,
    seed: int | None = None,
    study: str | None = None,
    storage: str = DEFAULT_STORAGE,
    set: Mapping[str, Any] | None = None,  # noqa: A002  as --set
    from_study: str | None = None,
    show: bool | None = None,
) -> Study:
    """Search, or go on with a search, until the budget is spent; blocks.

    `trials` and `timeout` (seconds, or text such as "30m") are totals of the study. `set` overrides values of the
    space file by dotted name. A new study takes over the trials of `from_study` that are inside its space.
    `show` draws a live screen, in a notebook's cell or on a terminal, and prints lines on stderr where there is
    neither; unless it is given, that is done in notebooks.
    Raises what `tuner.errors` lists; KeyboardInterrupt after Ctrl-C, with everything kept.
    """
    from tuner.errors import NoTrialError
    from tuner.screen import here
    from tuner.workflows.result import Ended
    from tuner.workflows.search import SearchRequest
    from tuner.workflows.search import search as run

    options = {
        "search.trials": trials,
        "search.timeout": timeout,
        "search.workers": workers,
        "train.device": device,
        "seed": seed,
        "study": study,
    }
    overrides = {**(set or {}), **{path: value for path, value in options.items() if value is not None}}
    is_shown = here.is_notebook() if show is None else show
    request = SearchRequest(space=str(space), storage=storage, overrides=overrides, source=from_study)
    with here.shown(storage) if is_shown else nullcontext() as reporter:
        result = run(request, reporter)
    if result.ended is Ended.INTERRUPTED:
        raise KeyboardInterrupt
    if result.status.best is None:
        raise NoTrialError(result.status.without_best)
    return Study(name=result.status.study.name, storage=storage)


def best(
    study: Study | str | None = None,
    *,
    trial: int | None = None,
    out: str | Path | None = None,
    pick: str | None = None,
    formats: Sequence[str] = ("pt",),
) -> Path:
    """Export the best trial (or `trial`), after re-evaluating its weights; returns the folder.

    `formats` are written beside the weights: "safetensors", "onnx", "pt2". With several objectives `pick` says which
    one of the front: "knee" (the default) or "accuracy=0.7,params=0.3".
    """
    from tuner.workflows.best import best as export
    from tuner.workflows.sync import tell_exports

    found = study if isinstance(study, Study) else Study(name=study) if study else None
    storage = found.storage if found else DEFAULT_STORAGE
    exported = export(
        storage=storage,
        study=found.name if found else None,
        trial=trial,
        out=Path(out) if out is not None else None,
        rule=pick,
        formats=formats,
    )
    for line in tell_exports(storage, [exported]):
        warnings.warn(line, stacklevel=2)
    return exported.path


def load(path: str | Path, *, allow_code: bool = False) -> LoadedModel:
    """Load an export: `.module` (evaluation mode), `.predict(x)`, `.predict_proba(x)`, `.labels`.

    `path` is its folder, or a .safetensors, .onnx or .pt2 file of it, which needs nothing beside it.
    `allow_code=True` is needed when the config names python targets: their files are imported and run. .onnx and .pt2
    hold the model itself, and need no code.
    """
    from tuner.export.loaded import load as read

    return read(path, allow_code=allow_code)
