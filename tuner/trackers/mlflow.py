"""Runs of MLflow: one for the study, and inside it one for each trial and each run on a fresh seed.

They are found again by their tags, so that a search that goes on, `tuner best` and `tuner sync` add to the same runs.
MLflow's client is used and not its fluent interface, which keeps the active run in the process.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from tuner.config.schema.trackers import MlflowTracker
from tuner.trackers.base import EpochEnded, ModelExported, StudyBegan, Tracker, TrialBegan, TrialEnded

UID = "tuner.uid"
TRIAL = "tuner.trial"
PARENT = "mlflow.parentRunId"
STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
MAX_BATCH = 1000
"""Metrics that one request of MLflow may have."""
MAX_VALUE = 500
"""Characters of a param's value, in every kind of its stores."""


class Mlflow(Tracker):
    """Metrics are kept back until nothing more happens, or there is a request full of them."""

    def __init__(self, section: MlflowTracker) -> None:
        for noisy in ("mlflow", "alembic"):  # they tell how a new database is made, on the terminal of the search
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._section = section
        self._client = MlflowClient(tracking_uri=section.uri or mlflow.get_tracking_uri())
        self._experiment = ""
        self._parent = ""
        self._uid = ""
        self._objective = ""
        self._runs: dict[str, str] = {}
        """By trial, as `name_of` has it."""
        self._open: set[str] = set()
        self._over: set[str] = set()
        """Trials that MLflow had whole before: `tuner sync` may tell them again."""
        self._kept: dict[str, list[Metric]] = defaultdict(list)

    def study(self, began: StudyBegan) -> None:
        self._uid = began.uid
        self._objective = next(iter(began.objectives))
        self._experiment = self._experiment_of(self._section.experiment or began.study)
        found = self._client.search_runs([self._experiment], f"tags.`{UID}` = '{began.uid}'", max_results=50_000)
        for run in found:
            name = run.data.tags.get(TRIAL, "")
            self._runs[name] = run.info.run_id
            if name and run.info.status in STATUS.values():
                self._over.add(name)
        self._parent = self._runs.pop("", "") or self._begin(began.study, {})
        self._client.update_run(self._parent, status="RUNNING")
        objectives = ", ".join(f"{direction} {name}" for name, direction in began.objectives.items())
        self._client.set_tag(self._parent, "tuner.objectives", objectives)
        self._client.log_dict(self._parent, dict(began.document), "space.json")

    def _experiment_of(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    def _begin(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, tags={UID: self._uid, **tags}, run_name=name)
        return str(run.info.run_id)

    def trial(self, began: TrialBegan) -> None:
        if began.name in self._over:
            return
        if began.name not in self._runs:
            tags = {TRIAL: began.name, PARENT: self._parent}
            self._runs[began.name] = self._begin(f"trial {began.name}", tags)
            params = [Param(name, str(value)[:MAX_VALUE]) for name, value in began.params.items()]
            self._client.log_batch(self._runs[began.name], params=params)
        else:
            self._client.update_run(self._runs[began.name], status="RUNNING")
        self._open.add(began.name)

    def epoch(self, ended: EpochEnded) -> None:
        if ended.name in self._over:
            return
        run, now = self._runs[ended.name], int(1000 * time.time())
        kept = self._kept[run]
        kept += [Metric(name, value, now, ended.epoch) for name, value in ended.metrics.items() if math.isfinite(value)]
        if len(kept) >= MAX_BATCH // 2:
            self._send(run)

    def end(self, ended: TrialEnded) -> None:
        run = self._runs.get(ended.name)
        if run is None or ended.name in self._over:  # its params were refused before it began
            return
        self._kept[run] += self._best_of(ended)
        self._send(run)
        self._client.log_batch(run, tags=[RunTag("tuner.state", ended.state), RunTag("tuner.reason", ended.reason)])
        if ended.is_over:
            self._client.set_terminated(run, STATUS[ended.state])
            self._open.discard(ended.name)
        if ended.is_best:
            self._client.log_batch(self._parent, metrics=self._best_of(ended), tags=[RunTag("tuner.best", ended.name)])

    def _best_of(self, ended: TrialEnded) -> list[Metric]:
        """What a complete trial is worth, beside the curves of which it is one epoch."""
        values = ended.values or ({} if ended.value is None else {self._objective: ended.value})
        now = int(1000 * time.time())
        return [Metric(f"best/{name}", value, now, ended.trial) for name, value in values.items()]

    def model(self, exported: ModelExported) -> None:
        self._client.log_artifacts(self._parent, str(exported.folder), "model")
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, 0) for name, value in exported.metrics.items() if math.isfinite(value)]
        self._client.log_batch(self._parent, metrics=metrics, tags=[RunTag("tuner.exported", str(exported.trial))])

    def flush(self) -> None:
        for run in list(self._kept):
            self._send(run)

    def _send(self, run: str) -> None:
        kept = self._kept.pop(run, [])
        for first in range(0, len(kept), MAX_BATCH):
            self._client.log_batch(run, metrics=kept[first : first + MAX_BATCH])

    def close(self) -> None:
        self.flush()
        for name in self._open:  # paused: a search that goes on takes them up
            self._client.update_run(self._runs[name], status="SCHEDULED")
        if self._parent:
            self._client.set_terminated(self._parent)
