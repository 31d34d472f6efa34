"""The data sets that scikit-learn carries."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from tuner.config.schema.base import Task
from tuner.config.schema.sources import DataSection


class SklearnData(DataSection):
    """One of the small data sets that scikit-learn carries."""

    kind: Literal["digits", "iris", "wine", "breast_cancer", "diabetes"]

    @property
    def own_task(self) -> Task:
        return "regression" if self.kind == "diabetes" else "classification"

    @model_validator(mode="after")
    def _images_alone_are_augmented(self) -> SklearnData:
        if self.kind != "digits":
            self.refuse_augment(f"the rows of {self.kind}")
        return self
