"""What a search is expected to take, as ranges; and where the forecast waits until its study is started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.config.spec import Spec
from tuner.control.rehearsal import Range
from tuner.paths import StudyPaths, write_atomically
from tuner.space.parameters import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """A point of the space that cannot be trained."""

    params: Params
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """From a low that one scenario in forty stays below to a high that one in forty exceeds."""

    study: str
    workers: int
    threads: int
    devices: tuple[str, ...]
    lanes: int
    """Of the base config; 1 for none."""
    n_finished: int
    """Trials that the study has already; the forecast is about the others."""
    start_s: float
    """Until torch and the data are loaded; not in `seconds`, as it is not in the time that `tuner status` shows."""
    seconds: Range
    confirm_s: Range | None
    """The part of `seconds` that confirming the best takes; None when it is off."""
    trials: Range
    epochs: Range
    full_epochs: float
    """What the expected trials would train if none were stopped."""
    epoch_s: Range
    """Of the probes: the fastest and the slowest."""
    n_params: Range
    memory_bytes: Range | None
    """Of one worker."""
    total_bytes: Range | None
    """Of all workers, and what they share."""
    free_bytes: int | None
    gpu_bytes: Range | None
    """Of one worker on its card, with the context that a process has there."""
    infeasible: Range
    """Share of the space."""
    problems: tuple[Infeasible, ...]
    n_probes: int
    busy_share: float
    """Of their time, in which probes waited for cores that other processes had."""
    timeout_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; ranges are `[low, high]`."""
        values = {name: getattr(self, name) for name in self.__slots__}
        plain = {name: value.to_json() if isinstance(value, Range) else value for name, value in values.items()}
        problems = [{"params": dict(item.params), "problem": item.problem} for item in self.problems]
        return {**plain, "devices": list(self.devices), "problems": problems}


def keep(forecast: Forecast, spec: Spec, paths: StudyPaths) -> None:
    """Leave a forecast of a whole study where the search that starts it finds it."""
    if forecast.n_finished == 0:
        kept = {"document": spec.document, "forecast": forecast.to_json()}
        write_atomically(_file(paths), json.dumps(kept).encode())


def kept_for(spec: Spec, paths: StudyPaths) -> Mapping[str, Any] | None:
    """The forecast that was made for exactly this file and its settings; None when there is none."""
    try:
        kept = json.loads(_file(paths).read_bytes())
        return dict(kept["forecast"]) if kept["document"] == json.loads(json.dumps(spec.document)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(paths: StudyPaths) -> Path:
    return paths.root / "plan.json"
