"""The data sets that scikit-learn carries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Task
from tuner.config.schema.sources import DataSection
from tuner.config.schema.tables import Scale


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


class SklearnNamed(DataSection):
    """Any data set of `sklearn.datasets`: what scikit-learn carries, downloads or generates."""

    kind: Literal["sklearn"] = "sklearn"
    name: str
    """The function, without or with its `load_`, `fetch_` or `make_`: wine, california_housing, moons."""
    options: dict[str, Any] = {}
    """Its arguments, such as {n_samples: 500, noise: 0.2}; `random_state` follows from the seed."""
    scale: Scale = "standard"
    """How numbers are scaled, as for csv."""
    n_bins: Annotated[int, Field(ge=2, le=256)] = 16
    """Features that `piecewise` makes of a number; other scales ignore it."""

    @model_validator(mode="after")
    def _images_alone_are_augmented(self) -> SklearnNamed:
        self.refuse_augment(f"the rows of {self.name}")
        return self
