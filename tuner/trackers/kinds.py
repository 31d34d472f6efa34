"""Which class tracks for each section; their packages are imported when one is built."""

from __future__ import annotations

from pathlib import Path

from tuner.config.schema import trackers as sections
from tuner.errors import MissingError
from tuner.trackers.base import Tracker

EXTRAS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""The extra of the project, and the package, by kind."""


def build(section: sections.TrackerSection, base_dir: Path) -> Tracker:
    """The tracker of a section; MissingError when its package is not installed, ConfigError for a wrong target."""
    try:
        return _build(section, base_dir)
    except ModuleNotFoundError as error:
        package = EXTRAS.get(section.kind)
        if package is None or (error.name or "").partition(".")[0] != package:
            raise
        raise MissingError(
            f"the package {package} is not installed: pip install 'tuner[{EXTRAS[section.kind]}]'"
        ) from error


def _build(section: sections.TrackerSection, base_dir: Path) -> Tracker:
    match section:
        case sections.JsonlTracker():
            from tuner.trackers.jsonl import Jsonl

            return Jsonl(section)
        case sections.TensorboardTracker():
            from tuner.trackers.tensorboard import Tensorboard

            return Tensorboard(section)
        case sections.MlflowTracker():
            from tuner.trackers.mlflow import Mlflow

            return Mlflow(section)
        case sections.WandbTracker():
            from tuner.trackers.wandb import Wandb

            return Wandb(section)
        case sections.PythonTracker():
            from tuner.trackers.own import Own

            return Own(section, base_dir)
