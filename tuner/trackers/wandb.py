"""Runs of Weights & Biases, one for each trial, in a group for the study; offline too."""

from __future__ import annotations

import math
from typing import Any

import wandb

from tuner.config.schema.trackers import WandbTracker
from tuner.trackers.base import EpochEnded, ModelExported, StudyBegan, Tracker, TrialBegan, TrialEnded


class Wandb(Tracker):
    """A trial that goes on later goes on in its run, which is found by its id; offline it gets another folder."""

    def __init__(self, section: WandbTracker) -> None:
        self._section = section
        self._began: StudyBegan | None = None
        self._runs: dict[str, Any] = {}

    def study(self, began: StudyBegan) -> None:
        self._began = began

    def trial(self, began: TrialBegan) -> None:
        if began.name not in self._runs:
            self._runs[began.name] = self._begin(began.name, f"trial {began.name}", config=dict(began.params))

    def _begin(self, key: str, name: str, **options: Any) -> Any:
        assert self._began is not None, "the study comes first"
        study, section = self._began, self._section
        return wandb.init(
            project=section.project or study.study,
            entity=section.entity,
            group=study.study,
            id=f"{study.uid[:12]}-{key}",
            name=name,
            dir=section.folder,
            mode=section.mode,
            resume="allow",
            reinit="create_new",  # several at once in this process
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
            **options,
        )

    def epoch(self, ended: EpochEnded) -> None:
        metrics = {name: value for name, value in ended.metrics.items() if math.isfinite(value)}
        self._runs[ended.name].log({**metrics, "epoch": ended.epoch}, step=ended.epoch)

    def end(self, ended: TrialEnded) -> None:
        run = self._runs.pop(ended.name, None)
        if run is None:  # its params were refused before it began
            return
        run.summary["tuner/state"] = ended.state
        if ended.reason:
            run.summary["tuner/reason"] = ended.reason
        if ended.value is not None:
            run.summary.update(dict(ended.values) or {"tuner/value": ended.value})
        run.finish(exit_code=int(ended.state == "failed"))

    def model(self, exported: ModelExported) -> None:
        run = self._begin("model", f"model of trial {exported.trial}", job_type="export")
        run.summary.update(dict(exported.metrics))
        artifact = wandb.Artifact("model", type="model")
        artifact.add_dir(str(exported.folder))
        run.log_artifact(artifact)
        run.finish()

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
        self._runs.clear()
