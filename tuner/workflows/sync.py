"""`tuner sync`: send what is stored of a study to a tracker, as if it had listened all the time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner.config.edits import apply, read_sets
from tuner.config.messages import Problems, suggestion
from tuner.config.schema.trackers import TRACKER_KINDS, TrackerSection
from tuner.config.spec import Spec
from tuner.config.tracking import NAME, label, read_trackers
from tuner.control.controller import TrialState
from tuner.errors import MissingError, TunerError, UsageError
from tuner.export.bundle import Bundle
from tuner.space.document import Mark, located
from tuner.space.parameters import Params
from tuner.study.confirmations import ConfirmRun, confirm_uid, runs_of
from tuner.study.curves import epochs_of
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow, TrialRow, best_of
from tuner.study.storage import storage_errors
from tuner.study.tables import confirmations
from tuner.trackers import base
from tuner.trackers.kinds import build
from tuner.workflows.best import Export
from tuner.workflows.progress import Note, Progress
from tuner.workflows.tracking import Tracking, began, tracked

_OVER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What was sent."""

    study: str
    tracker: str
    n_trials: int
    """Runs on fresh seeds are counted too."""
    n_epochs: int


def sync(
    tracker: str, *, storage: str, study: str | None = None, sets: Sequence[str] = (), model: Path | None = None
) -> Synced:
    """Send a study to a tracker: a kind, one of the space file's by its name, or `file.py:Class`.

    Options are those of the space file, changed by `sets` (`folder=logs`); `model` is an export to send, too. Raises
    NotFoundError, UsageError, ConfigError; MissingError when the tracker is not installed, or fails.
    """
    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    spec = Spec.from_json(reader.header(row)["spec"])
    section = _section(tracker, spec, sets)
    n_trials = n_epochs = 0
    name = label(section)
    try:
        told = build(section, spec.base_dir)
        for event in [*_events(reader, row, spec, storage), *([_exported(model, row)] if model else [])]:
            base.tell(told, event)
            n_trials += isinstance(event, base.TrialBegan)
            n_epochs += isinstance(event, base.EpochEnded)
        told.flush()
        told.close()
    except TunerError:
        raise
    except Exception as error:  # other people's code: told in a line
        raise MissingError(f"tracker {name} failed: {type(error).__name__}: {error}") from error
    return Synced(study=row.name, tracker=name, n_trials=n_trials, n_epochs=n_epochs)


def _section(tracker: str, spec: Spec, sets: Sequence[str]) -> TrackerSection:
    """The space file's tracker of this name or kind, else one with the defaults of its kind."""
    found = next((item for item in spec.trackers if tracker in (label(item), item.kind)), None)
    if found is not None:
        data: dict[str, Any] = found.model_dump(exclude_defaults=True) | {"kind": found.kind}
    elif ":" in tracker:
        data = {"kind": "python", "target": tracker}
    elif tracker in TRACKER_KINDS and tracker != "python":
        data = {"kind": tracker}
    else:
        kinds = [kind for kind in TRACKER_KINDS if kind != "python"]
        raise UsageError(
            f"unknown tracker {tracker!r}{suggestion(tracker, kinds)}; one of {', '.join(kinds)}, or file.py:Class"
        )
    problems = Problems()
    root = located({NAME: data}, Mark(file="tuner sync"))
    root, _ = apply(root, read_sets([f"{NAME}.{text}" for text in sets], problems), problems)
    sections = read_trackers(root, problems)
    problems.raise_if_any()
    return sections[0]


# -------------------------------------------------------------------------------------------------------------- events


def _events(reader: StudyReader, study: StudyRow, spec: Spec, storage: str) -> Iterator[base.Event]:
    """Everything that is stored, trial by trial, in the order of their numbers."""
    yield began(spec, storage)
    trials = reader.trials(study)
    best = best_of(trials, maximize=study.maximize) if not study.objectives else None
    epochs = _epochs_by_trial(reader, study)
    for trial in trials:
        yield from _of_trial(trial, epochs.get(trial.number, []), is_best=trial is best or bool(trial.is_on_front))
    if not reader.has(confirmations.name):
        return
    with storage_errors(reader.url), reader.engine.connect() as connection:
        runs = runs_of(connection, study.uid)
    params = {trial.number: trial.params for trial in trials}
    epochs = _epochs_by_trial(reader, replace(study, uid=confirm_uid(study.uid)))
    for run in runs:
        yield from _of_run(run, params[run.trial], epochs.get(run.run, []))


_Epochs = list[tuple[int, float, dict[str, float]]]
"""Epoch, seconds and metrics."""


def _epochs_by_trial(reader: StudyReader, study: StudyRow) -> dict[int, _Epochs]:
    found: dict[int, _Epochs] = defaultdict(list)
    for trial, epoch, seconds, metrics in epochs_of(reader, study):
        known = {name: math.nan if value is None else value for name, value in metrics.items()}
        found[trial].append((epoch, seconds, known))
    return found


def _of_trial(trial: TrialRow, epochs: _Epochs, *, is_best: bool) -> Iterator[base.Event]:
    if epochs:
        yield base.TrialBegan(trial=trial.number, params=trial.params)
    for epoch, seconds, metrics in epochs:
        yield base.EpochEnded(trial=trial.number, epoch=epoch, seconds=seconds, metrics=metrics)
    if trial.state in (*_OVER, TrialState.PAUSED):
        yield base.TrialEnded(
            trial=trial.number,
            state=trial.state.value,
            value=trial.value if trial.state is TrialState.COMPLETE else None,  # Optuna's pruned trials have one too
            values=trial.values or {},
            epochs=trial.epochs,
            seconds=trial.seconds,
            reason=trial.reason,
            is_best=is_best,
            params=trial.params,
        )


def _of_run(run: ConfirmRun, params: Params, epochs: _Epochs) -> Iterator[base.Event]:
    if not epochs:
        return
    yield base.TrialBegan(trial=run.trial, repeat=run.repeat, params=params)
    for epoch, seconds, metrics in epochs:
        yield base.EpochEnded(trial=run.trial, repeat=run.repeat, epoch=epoch, seconds=seconds, metrics=metrics)
    if run.is_over:
        yield base.TrialEnded(
            trial=run.trial,
            repeat=run.repeat,
            state=run.state.value,
            value=run.value,
            epochs=len(epochs),
            seconds=sum(seconds for _, seconds, _ in epochs),
            reason=run.reason,
            params=params,
        )


def _exported(folder: Path, study: StudyRow) -> base.ModelExported:
    bundle = Bundle.read(folder)
    if bundle.study != study.name:
        raise UsageError(f"{folder}: an export of study {bundle.study!r}, not of {study.name!r}")
    return _model(bundle, folder)


def _model(bundle: Bundle, folder: Path) -> base.ModelExported:
    metrics = {name: value for name, value in bundle.metrics.items() if value is not None}
    return base.ModelExported(trial=bundle.trial, folder=folder, metrics=metrics)


# -------------------------------------------------------------------------------------------------------------- models


def tell_exports(storage: str, exports: Sequence[Export]) -> list[str]:
    """Tell the trackers of a study's space file about exports; what went wrong, a line for each of them."""
    reader = StudyReader.open(storage)
    spec = Spec.from_json(reader.header(reader.own_study(exports[0].bundle.study))["spec"])
    notes = _Notes()
    with tracked(spec, storage, notes) as told:
        if isinstance(told, Tracking):
            told.tell([began(spec, storage), *(_model(export.bundle, export.path) for export in exports)])
    return notes.messages


class _Notes:
    """Keeps what is to be said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.messages.append(progress.message)
