"""A JSON object a line, appended as it happens."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from tuner.config.schema.trackers import JsonlTracker
from tuner.trackers.base import EpochEnded, ModelExported, StudyBegan, Tracker, TrialBegan, TrialEnded

FILE = "events.jsonl"


class Jsonl(Tracker):
    """Every event by name, with its time in seconds since 1970; what is not finite is null."""

    def __init__(self, section: JsonlTracker, clock: Callable[[], float] = time.time) -> None:
        self._section = section
        self._clock = clock
        self._file: TextIO | None = None

    def study(self, began: StudyBegan) -> None:
        path = Path(self._section.path) if self._section.path else began.folder / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        objectives = dict(began.objectives)
        self._write("study", study=began.study, uid=began.uid, objectives=objectives, space=dict(began.document))

    def trial(self, began: TrialBegan) -> None:
        self._write(
            "trial", trial=began.trial, seed=began.repeat, params=dict(began.params), first_epoch=began.first_epoch
        )

    def epoch(self, ended: EpochEnded) -> None:
        metrics = dict(ended.metrics)
        self._write("epoch", trial=ended.trial, seed=ended.repeat, epoch=ended.epoch, metrics=metrics)

    def end(self, ended: TrialEnded) -> None:
        self._write(
            "end",
            trial=ended.trial,
            seed=ended.repeat,
            state=ended.state,
            value=ended.value,
            values=dict(ended.values),
            epochs=ended.epochs,
            seconds=ended.seconds,
            reason=ended.reason,
            message=ended.message,
            best=ended.is_best,
        )

    def model(self, exported: ModelExported) -> None:
        self._write("model", trial=exported.trial, folder=str(exported.folder), metrics=dict(exported.metrics))

    def _write(self, event: str, **fields: Any) -> None:
        assert self._file is not None, "the study comes first"
        line = {"event": event, "time": round(self._clock(), 3), **_finite(fields)}
        self._file.write(json.dumps(line, allow_nan=False, default=str) + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return value
