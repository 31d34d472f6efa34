"""A user's own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tuner.config.schema.model_kinds.base import ModelSection, Site

if TYPE_CHECKING:
    from torch import nn


class PythonModel(ModelSection):
    """A user's own Module class, or a function that returns a Module."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `model.options.NAME`."""

    def code(self) -> tuple[str, ...]:
        return (self.target,)

    def build(self, site: Site) -> nn.Module:
        from tuner.models.python_model import build_python_model

        return build_python_model(self, site)
