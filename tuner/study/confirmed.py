"""The reading side of confirmation runs: who won, and what is stored of one run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import func, select

from tuner.control.winner import Confirmed, choose
from tuner.errors import NotFoundError
from tuner.study import tables
from tuner.study.confirmations import ConfirmRun, candidates_of, confirm_uid, runs_of
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow, TrialDetail, TrialRow
from tuner.study.storage import storage_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the confirmation of a study is."""

    runs: tuple[ConfirmRun, ...] = ()
    confirmed: Confirmed | None = None
    """None before all planned runs are over, and when the search has found a better trial since."""

    @property
    def n_open(self) -> int:
        return sum(not run.is_over for run in self.runs)


def standing_of(reader: StudyReader, study: StudyRow, best: TrialRow | None) -> Standing:
    """What has been confirmed; `best` is the best trial of the search."""
    if not study.uid or best is None or not reader.has(tables.confirmations.name):
        return Standing()
    with storage_errors(reader.url), reader.engine.connect() as connection:
        runs = runs_of(connection, study.uid)
    values = {trial: reader.trials(study, trial)[0].value for trial in {run.trial for run in runs}}
    confirmed = None
    if best.number in values and all(run.is_over for run in runs):
        candidates = candidates_of(runs, {trial: value for trial, value in values.items() if value is not None})
        confirmed = choose(candidates, maximize=study.maximize)
    return Standing(runs=tuple(runs), confirmed=confirmed)


def best_run(standing: Standing, own: TrialDetail, *, maximize: bool) -> ConfirmRun | None:
    """Of a trial's own run and its complete confirmation runs the best one; None for its own.

    Runs of one config differ by their seeds alone, so the best value is the best guess whichever run was selected for
    it before. Of equal ones the first; the own run counts as long as its weights are kept.
    """
    trial, value = own.row.number, own.row.value
    sign = -1.0 if maximize else 1.0
    runs = [
        (sign * run.value, run.repeat, run) for run in standing.runs if run.trial == trial and run.value is not None
    ]
    found = min(runs)
    is_kept = any(item.epoch == own.row.best_epoch for item in own.checkpoints)
    return None if is_kept and value is not None and sign * value <= found[0] else found[2]


def run_of(standing: Standing, trial: int, repeat: int) -> ConfirmRun:
    """The run of a trial on the fresh seed of this number; NotFoundError when there is none."""
    found = [run for run in standing.runs if run.trial == trial]
    for run in found:
        if run.repeat == repeat:
            return run
    there = f"1 to {len(found)}" if found else "none: it was not confirmed"
    raise NotFoundError(f"trial {trial} has no confirmation run {repeat}; there are {there}")


def run_detail(reader: StudyReader, study: StudyRow, run: ConfirmRun) -> TrialDetail:
    """All that is stored of a run, shown as the trial whose config it has."""
    uid = confirm_uid(study.uid)
    columns = tables.epochs.c
    query = select(func.max(columns.epoch), func.sum(columns.seconds)).where(
        columns.uid == uid, columns.trial == run.run
    )
    with storage_errors(reader.url), reader.engine.connect() as connection:
        epochs, seconds = connection.execute(query).one()
    row = replace(
        reader.trials(study, run.trial)[0],
        state=run.state,
        value=run.value,
        epochs=epochs or 0,
        seconds=seconds or 0.0,
        reason=run.reason,
        best_epoch=run.best_epoch,
    )
    return reader.detail(row, uid, run.run)
