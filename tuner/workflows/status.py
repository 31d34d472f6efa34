"""Where a study stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tuner.control.controller import TrialState
from tuner.control.winner import Confirmed
from tuner.errors import NotFoundError
from tuner.paths import StudyPaths
from tuner.study.confirmed import Standing, run_detail, run_of, standing_of
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow, TrialDetail, TrialRow
from tuner.training.kept_details import kept_details
from tuner.workflows.pick import front_rows, pick


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Counts by state, the best trial so far and the wall time spent."""

    study: StudyRow
    counts: dict[str, int]
    best: TrialRow | None
    """By the search's own value, which is optimistic; with several objectives the knee of the front."""
    standing: Standing = field(default_factory=Standing)
    front: tuple[TrialRow, ...] = ()
    """Of several objectives: the trials that no other is better than in everything."""

    @property
    def without_best(self) -> str:
        """Why there is no best trial, where there is none."""
        if self.counts.get("complete"):
            return f"no complete trial of study {self.study.name!r} meets its constraints"
        return f"no trial of study {self.study.name!r} completed"

    @property
    def confirmed(self) -> Confirmed | None:
        """The winner by fresh seeds; None before it is known."""
        return self.standing.confirmed

    def to_json(self) -> dict[str, Any]:
        best = self.best
        if self.study.objectives:
            return {
                "study": self.study.name,
                "objectives": [
                    {"metric": objective.name, "direction": objective.direction} for objective in self.study.objectives
                ],
                "trials": self.counts,
                "best": best and _of_front(best),
                "front": [_of_front(trial) for trial in self.front],
                "seconds": round(self.study.seconds, 3),
            }
        return {
            "study": self.study.name,
            "metric": f"val/{self.study.metric}",
            "direction": self.study.direction,
            "trials": self.counts,
            "best": best and {"trial": best.number, "value": best.value, "params": dict(best.params)},
            "confirmed": self.confirmed and self.confirmed.to_json(),
            "seconds": round(self.study.seconds, 3),
            **({"planned": self.planned} if self.planned else {}),
            **({"stopped": self.study.stopped} if self.study.stopped else {}),
        }

    @property
    def planned(self) -> dict[str, list[float]] | None:
        """The forecast of time and epochs, `[low, high]` each, when there was one before the study was started."""
        found = self.study.planned
        return None if found is None else {name: [*found[name]] for name in ("seconds", "epochs", "trials")}

    @property
    def planned_seconds(self) -> tuple[float, float] | None:
        planned = self.planned
        return None if planned is None else (planned["seconds"][0], planned["seconds"][1])


def _of_front(trial: TrialRow) -> dict[str, Any]:
    return {"trial": trial.number, "values": dict(trial.values or {}), "params": dict(trial.params)}


def statuses_of(storage: str) -> list[Status]:
    """The status of every study of a database, the oldest first."""
    reader = StudyReader.open(storage)
    return [_status(reader, study) for study in reader.studies()]


def status_of(storage: str, name: str | None) -> Status:
    """The status of a study; NotFoundError when there is no database or no such study."""
    reader = StudyReader.open(storage)
    return _status(reader, reader.study(name))


def _status(reader: StudyReader, study: StudyRow) -> Status:
    if study.objectives:
        trials = reader.trials(study)
        front = front_rows(trials)
        by_state = Counter(trial.state for trial in trials)
        counts = {state.value: by_state[state] for state in TrialState}
        return Status(study=study, counts=counts, best=pick(study, trials).trial if front else None, front=front)
    outline, best = reader.outline(study)
    return Status(
        study=study,
        counts={state.value: count for state, count in outline.items()},
        best=best,
        standing=standing_of(reader, study, best),
    )


def trials_of(storage: str, name: str | None) -> list[TrialRow]:
    """The trials of a study, in the order of their numbers."""
    reader = StudyReader.open(storage)
    return reader.trials(reader.study(name))


def detail_of(storage: str, name: str | None, number: int, repeat: int = 0) -> TrialDetail:
    """All that is stored of one trial, or of its run on the fresh seed `repeat`; NotFoundError when there is none."""
    reader = StudyReader.open(storage)
    study = reader.study(name)
    return _run_detail(reader, study, number, repeat) if repeat else reader.trial(study, number)


def _run_detail(reader: StudyReader, study: StudyRow, number: int, repeat: int) -> TrialDetail:
    _, best = reader.outline(study)
    return run_detail(reader, study, run_of(standing_of(reader, study, best), number, repeat))


def classes_of(storage: str, name: str | None, detail: TrialDetail, repeat: int = 0) -> dict[str, Any] | None:
    """What each class of the validation part came to at the best epoch of a trial; None where that was not kept."""
    paths = StudyPaths.of(storage, StudyReader.open(storage).study(name).name)
    number = detail.row.number
    folder = paths.confirm(number, repeat) if repeat else paths.trial(number)
    return kept_details(folder, detail.row.best_epoch)


def detail_json(detail: TrialDetail, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """`tuner show N --json`; `details` as `classes_of` gives them."""
    return {
        **detail.row.to_json(),
        "message": detail.message,
        "curve": [{"epoch": row.epoch, **row.metrics} for row in detail.curve],
        "config": dict(detail.config),
        "seed": detail.seed,
        "attempts": [asdict(attempt) for attempt in detail.attempts],
        "best_epoch": detail.row.best_epoch or None,
        "details": details,
    }


def log_of(storage: str, name: str | None, number: int, repeat: int = 0) -> str:
    """The log of one trial, or of its run on the fresh seed `repeat`; NotFoundError when there is none."""
    reader = StudyReader.open(storage)
    study = reader.study(name)
    detail = detail_of(storage, study.name, number, repeat)
    paths = StudyPaths.of(storage, study.name)
    path = paths.confirm(number, repeat) / "log.txt" if repeat else paths.log(number)
    if not path.is_file():
        raise NotFoundError(f"trial {number} of study {study.name!r} ({detail.row.state.value}) has no log at {path}")
    return path.read_text(encoding="utf-8", errors="replace")
