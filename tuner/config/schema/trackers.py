"""Who is told what a search does: programs that keep experiments, and the user's own classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuner.config.schema.base import Section


class JsonlTracker(Section):
    """A file with a JSON object a line: when the study, each trial and each epoch began or ended."""

    kind: Literal["jsonl"] = "jsonl"
    path: str | None = None
    """A file, relative to the working directory; null is events.jsonl in the folder of the study's runs."""


class TensorboardTracker(Section):
    """Event files for TensorBoard, a folder a trial: every metric by epoch, and the table of hyperparameters."""

    kind: Literal["tensorboard"] = "tensorboard"
    folder: str = "tensorboard"
    """Where the study gets a folder of its own, relative to the working directory."""


class MlflowTracker(Section):
    """A run of MLflow for the study, and one inside it for each trial; `tuner best` adds the exported model."""

    kind: Literal["mlflow"] = "mlflow"
    uri: str | None = None
    """Of the tracking server or database; null is what MLFLOW_TRACKING_URI says, or MLflow's own default."""
    experiment: str | None = None
    """Its name; null is the study's."""


class WandbTracker(Section):
    """A run of Weights & Biases for each trial, in a group for the study."""

    kind: Literal["wandb"] = "wandb"
    project: str | None = None
    """Its name; null is the study's."""
    entity: str | None = None
    mode: Literal["online", "offline"] | None = None
    """`offline` writes files that `wandb sync` sends; null is what WANDB_MODE says, or online."""
    folder: str | None = None
    """Where its files are written; null is the working directory."""


class PythonTracker(Section):
    """A class of the user's own; of the methods of `tuner.trackers.base.Tracker` it needs those that it wants."""

    kind: Literal["python"] = "python"
    target: Annotated[str, Field(min_length=3)]
    """`package.module:Class` or `file.py:Class`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the class."""


TrackerSection = JsonlTracker | TensorboardTracker | MlflowTracker | WandbTracker | PythonTracker
TRACKER_KINDS: dict[str, type[TrackerSection]] = {
    "jsonl": JsonlTracker,
    "tensorboard": TensorboardTracker,
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
    "python": PythonTracker,
}
