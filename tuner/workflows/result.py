"""How a session of a search ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tuner.paths import StudyPaths
from tuner.workflows.status import Status


class Ended(StrEnum):
    """Why a search stopped."""

    BUDGET = "budget"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    """Going on was not worth it: see `search.stop`."""
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """How a session ended, and where the study stands."""

    status: Status
    ended: Ended
    signal: int | None
    storage: str
    paths: StudyPaths
    is_exported: bool = False
    """Whether the winner is exported too, which is the next step else."""

    @property
    def has_winner(self) -> bool:
        """Whether the search came to its end, and found something."""
        return self.ended is not Ended.INTERRUPTED and self.status.best is not None
