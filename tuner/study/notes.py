"""What is kept about a study as a whole, besides its header: user attributes of Optuna's study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from tuner.study.storage import storage_errors
from tuner.study.takeover import TAKEN_ATTR

PLAN_ATTR = "tuner:plan"
STOPPED_ATTR = "tuner:stopped"


@dataclass(frozen=True, slots=True)
class StudyNotes:
    """Reads and writes them; each write is a transaction of its own."""

    study: optuna.Study
    url: str

    def keep_plan(self, planned: Mapping[str, Any] | None) -> None:
        """The forecast that was made before the study was started, if there was one."""
        if planned is not None:
            self._set(PLAN_ATTR, dict(planned))

    def keep_stopped(self, why: str, n_trials: int | None) -> None:
        """Why the search is over before its budget; an empty text takes back what was kept."""
        if why or self._get(STOPPED_ATTR):
            self._set(STOPPED_ATTR, {"why": why, "trials": n_trials})

    def stopped_at(self, n_trials: int | None) -> str:
        """Why an earlier session ended the search with this very budget; empty when none did."""
        kept = self._get(STOPPED_ATTR) or {}
        return str(kept.get("why", "")) if kept.get("trials") == n_trials else ""

    @property
    def taken(self) -> tuple[str, int] | None:
        """The study that trials were taken over from, and how many; None when none was asked for."""
        kept = self._get(TAKEN_ATTR)
        return None if kept is None else (str(kept["study"]), int(kept["trials"]))

    def _get(self, name: str) -> Any:
        with storage_errors(self.url):
            return self.study.user_attrs.get(name)

    def _set(self, name: str, value: Any) -> None:
        with storage_errors(self.url):
            self.study.set_user_attr(name, value)
