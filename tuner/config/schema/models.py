"""What is trained: one section class for each kind of model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Activation, Rates, Section, Widths


class ModelSection(Section):
    """What every model takes."""

    def lr_scales(self) -> dict[str, float]:
        """Factors of the learning rate by the prefix of a parameter's name; 1 for those that are not named."""
        return {}


class LayeredModel(ModelSection):
    """What models of equal layers share: one value for all layers, or a list with one a layer."""

    depth: Annotated[int, Field(ge=0, le=64)] = 2
    width: Widths = 128
    dropout: Rates = 0.0

    @model_validator(mode="after")
    def _one_value_a_layer(self) -> LayeredModel:
        for name in ("width", "dropout"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.depth:
                raise ValueError(f"{name}: {len(value)} values for {self.depth} layers; give one value, or one a layer")
        return self


class Mlp(LayeredModel):
    """Linear layers, each with normalisation, activation and dropout, and a linear head."""

    kind: Literal["mlp"] = "mlp"
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer"] = "none"


class Convnet(LayeredModel):
    """Blocks of convolution, normalisation, activation, pooling by 2 and dropout; a hidden layer and a linear head."""

    kind: Literal["convnet"] = "convnet"
    width: Widths = 32
    kernel: Annotated[int, Field(ge=1, le=31)] = 3
    activation: Activation = "relu"
    norm: Literal["none", "batch", "group"] = "batch"
    pool: Literal["max", "avg"] = "max"
    head_width: Annotated[int, Field(ge=0, le=65536)] = 128
    """Width of the hidden layer before the head; 0 leaves it out."""

    @model_validator(mode="after")
    def _odd_kernel(self) -> Convnet:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, got {self.kernel}")
        return self


class PythonModel(ModelSection):
    """A user's own Module class, or a function that returns a Module."""

    kind: Literal["python"] = "python"
    target: str
    """`package.module:Name` or `file.py:Name`; a file is relative to the space file."""
    options: dict[str, Any] = {}
    """Keyword arguments for the target; searchable as `model.options.NAME`."""


Model = Mlp | Convnet | PythonModel
MODEL_KINDS: dict[str, type[Model]] = {"mlp": Mlp, "convnet": Convnet, "python": PythonModel}
