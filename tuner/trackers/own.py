"""A class of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuner.config.schema.trackers import PythonTracker
from tuner.registry import load_target
from tuner.trackers.base import EpochEnded, ModelExported, StudyBegan, Tracker, TrialBegan, TrialEnded


class Own(Tracker):
    """Calls the methods that the user's object has, whatever its class."""

    def __init__(self, section: PythonTracker, base_dir: Path) -> None:
        made: Any = load_target(section.target, base_dir)(**section.options)
        self._study = _method(made, "study")
        self._trial = _method(made, "trial")
        self._epoch = _method(made, "epoch")
        self._end = _method(made, "end")
        self._model = _method(made, "model")
        self._flush = _method(made, "flush")
        self._close = _method(made, "close")

    def study(self, began: StudyBegan) -> None:
        self._study(began)

    def trial(self, began: TrialBegan) -> None:
        self._trial(began)

    def epoch(self, ended: EpochEnded) -> None:
        self._epoch(ended)

    def end(self, ended: TrialEnded) -> None:
        self._end(ended)

    def model(self, exported: ModelExported) -> None:
        self._model(exported)

    def flush(self) -> None:
        self._flush()

    def close(self) -> None:
        self._close()


def _method(made: Any, name: str) -> Callable[..., object]:
    """The edge to the user's code: what it does not have is not called."""
    found = getattr(made, name, None)
    return found if callable(found) else _nothing


def _nothing(*_: object) -> None:
    return
