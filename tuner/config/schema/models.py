"""The table of models. A line here and a file in `model_kinds/` are all that a kind needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from tuner.config.schema.model_kinds.bag import Bag
from tuner.config.schema.model_kinds.base import LayeredModel, ModelSection, OwnModel
from tuner.config.schema.model_kinds.convnet import Convnet
from tuner.config.schema.model_kinds.hub import Hub
from tuner.config.schema.model_kinds.linear import Linear
from tuner.config.schema.model_kinds.mlp import Mlp
from tuner.config.schema.model_kinds.moe import Moe
from tuner.config.schema.model_kinds.python import PythonModel
from tuner.config.schema.model_kinds.recurrent import Recurrent
from tuner.config.schema.model_kinds.resnet import Resnet
from tuner.config.schema.model_kinds.torchvision import Torchvision
from tuner.config.schema.model_kinds.transformer import Transformer

__all__ = ["MODEL_KINDS", "Convnet", "LayeredModel", "Mlp", "Model", "ModelSection", "OwnModel", "PythonModel"]

MODEL_KINDS: dict[str, type[ModelSection]] = {
    "mlp": Mlp,
    "linear": Linear,
    "moe": Moe,
    "convnet": Convnet,
    "resnet": Resnet,
    "bag": Bag,
    "recurrent": Recurrent,
    "transformer": Transformer,
    "torchvision": Torchvision,
    "hub": Hub,
    "python": PythonModel,
}

if TYPE_CHECKING:
    Model = ModelSection
else:
    Model = Union[tuple(MODEL_KINDS.values())]  # noqa: UP007 - of a table
