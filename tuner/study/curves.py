"""The curves of a study that schedules look at; like all of the reading side, without Optuna."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import select

from tuner.study import tables
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow
from tuner.study.storage import storage_errors


def curves_of(reader: StudyReader, study: StudyRow) -> dict[int, dict[int, float]]:
    """The objective by epoch, as far as it was finite, of every trial that has an epoch."""
    trials, steps = tables.optuna_trials, tables.optuna_intermediate
    query = (
        select(trials.c.number, steps.c.step, steps.c.intermediate_value)
        .join_from(trials, steps, steps.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study.study_id, steps.c.intermediate_value_type == "FINITE")
    )
    found: dict[int, dict[int, float]] = defaultdict(dict)
    with storage_errors(reader.url), reader.engine.connect() as connection:
        for number, epoch, value in connection.execute(query):
            found[number][epoch] = value
    return found


def epochs_of(reader: StudyReader, study: StudyRow) -> list[tuple[int, int, float, Mapping[str, float | None]]]:
    """Trial, epoch, seconds and metrics of every epoch, in this order; nothing of studies that tuner did not make."""
    if not study.uid or not reader.has(tables.epochs.name):
        return []
    columns = tables.epochs.c
    query = (
        select(columns.trial, columns.epoch, columns.seconds, columns.metrics)
        .where(columns.uid == study.uid)
        .order_by(columns.trial, columns.epoch)
    )
    with storage_errors(reader.url), reader.engine.connect() as connection:
        rows = connection.execute(query)
        return [(trial, epoch, seconds, json.loads(text)) for trial, epoch, seconds, text in rows]
