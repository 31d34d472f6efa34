"""Where a study stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tuner.errors import NotFoundError
from tuner.paths import StudyPaths
from tuner.study.queries import StudyReader, StudyRow, TrialDetail, TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Counts by state, the best trial so far and the wall time spent."""

    study: StudyRow
    counts: dict[str, int]
    best: TrialRow | None

    def to_json(self) -> dict[str, Any]:
        best = self.best
        return {
            "study": self.study.name,
            "metric": f"val/{self.study.metric}",
            "direction": self.study.direction,
            "trials": self.counts,
            "best": best and {"trial": best.number, "value": best.value, "params": dict(best.params)},
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


def statuses_of(storage: str) -> list[Status]:
    """The status of every study of a database, the oldest first."""
    reader = StudyReader.open(storage)
    return [_status(reader, study) for study in reader.studies()]


def status_of(storage: str, name: str | None) -> Status:
    """The status of a study; NotFoundError when there is no database or no such study."""
    reader = StudyReader.open(storage)
    return _status(reader, reader.study(name))


def _status(reader: StudyReader, study: StudyRow) -> Status:
    counts, best = reader.outline(study)
    return Status(study=study, counts={state.value: count for state, count in counts.items()}, best=best)


def trials_of(storage: str, name: str | None) -> list[TrialRow]:
    """The trials of a study, in the order of their numbers."""
    reader = StudyReader.open(storage)
    return reader.trials(reader.study(name))


def detail_of(storage: str, name: str | None, number: int) -> TrialDetail:
    """All that is stored of one trial; NotFoundError when there is none of this number."""
    reader = StudyReader.open(storage)
    return reader.trial(reader.study(name), number)


def detail_json(detail: TrialDetail) -> dict[str, Any]:
    """`tuner show N --json`."""
    return {
        **detail.row.to_json(),
        "message": detail.message,
        "curve": [{"epoch": row.epoch, **row.metrics} for row in detail.curve],
        "config": dict(detail.config),
        "seed": detail.seed,
        "attempts": [asdict(attempt) for attempt in detail.attempts],
        "best_epoch": detail.row.best_epoch or None,
    }


def log_of(storage: str, name: str | None, number: int) -> str:
    """The log of one trial; NotFoundError when there is none."""
    reader = StudyReader.open(storage)
    study = reader.study(name)
    detail = reader.trial(study, number)
    path = StudyPaths.of(storage, study.name).log(number)
    if not path.is_file():
        raise NotFoundError(f"trial {number} of study {study.name!r} ({detail.row.state.value}) has no log at {path}")
    return path.read_text(encoding="utf-8", errors="replace")
