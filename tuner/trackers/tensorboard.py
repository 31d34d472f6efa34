"""Event files for TensorBoard, written by its own package: neither torch nor TensorFlow is needed.

A trial has the folder <folder>/<study>/<trial>: scalars by epoch, and its hyperparameters, of which TensorBoard makes
the table of all trials by itself.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tuner.config.schema.trackers import TensorboardTracker
from tuner.space.parameters import Params
from tuner.trackers.base import EpochEnded, StudyBegan, Tracker, TrialBegan, TrialEnded

STATUS = {"complete": Status.STATUS_SUCCESS, "pruned": Status.STATUS_SUCCESS, "failed": Status.STATUS_FAILURE}


class Tensorboard(Tracker):
    """A writer for each trial that trains; one that goes on later gets another file in its folder."""

    def __init__(self, section: TensorboardTracker) -> None:
        self._section = section
        self._folder = Path(section.folder)
        self._writers: dict[str, EventFileWriter] = {}

    def study(self, began: StudyBegan) -> None:
        self._folder = Path(self._section.folder) / began.study

    def trial(self, began: TrialBegan) -> None:
        self._writer(began.name).add_event(_event(hparams.hparams_pb(_values(began.params), trial_id=began.name)))

    def epoch(self, ended: EpochEnded) -> None:
        values = [
            Summary.Value(tag=name, simple_value=value) for name, value in ended.metrics.items() if math.isfinite(value)
        ]
        self._writer(ended.name).add_event(_event(Summary(value=values), step=ended.epoch))

    def end(self, ended: TrialEnded) -> None:
        writer = self._writers.pop(ended.name, None)
        if writer is None:
            return
        if ended.is_over:
            writer.add_event(_event(_session_end(STATUS[ended.state])))
        writer.close()

    def _writer(self, name: str) -> EventFileWriter:
        if name not in self._writers:
            self._writers[name] = EventFileWriter(str(self._folder / name))
        return self._writers[name]

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _event(summary: Summary, step: int = 0) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _session_end(status: int) -> Summary:
    """What `tensorboard.plugins.hparams.summary` makes, which imports TensorFlow."""
    info = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))
    about = metadata.create_summary_metadata(info)
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])


def _values(params: Params) -> dict[str, bool | int | float | str]:
    return {name: "none" if value is None else value for name, value in params.items()}
