"""What all kinds of models have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tuner.config.schema.base import Activation, Rates, Section, Widths

if TYPE_CHECKING:
    from torch import nn

    from tuner.data.info import DataInfo

Init = Literal["default", "kaiming", "xavier", "orthogonal", "normal"]
EmbeddingSize = Annotated[int, Field(ge=1, le=4096)] | Literal["auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a network is built for."""

    info: DataInfo
    n_outputs: int
    base_dir: Path
    """The folder of the space file, which paths in it are relative to."""
    is_restored: bool = False
    """Whether weights will be loaded over those of the new network; then it needs no file to start from."""


class ModelSection(Section):
    """What every model takes, and can do."""

    kind: str

    def build(self, site: Site) -> nn.Module:
        """The network, on the CPU and in training mode.

        It maps [B, *input shape] to [B, outputs], and tokens of a language to [B, L, outputs]. Weights are drawn from
        torch's generator, which is seeded. Raises ConfigError when options and data do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no build")

    @property
    def is_recordable(self) -> bool:
        """Whether the network does the same operations at every step, for inputs of one shape.

        Then a step can be recorded once and replayed without autograd (training/tape.py), and captured in a CUDA graph.
        Nobody knows it of a network that is not tuner's own.
        """
        return False

    def code(self) -> tuple[str, ...]:
        """What of the user's own is run to build it: python targets, repositories."""
        return ()

    def files(self) -> tuple[str, ...]:
        """Files and folders that its training depends on, beside python targets."""
        return ()

    def lr_scales(self) -> dict[str, float]:
        """Factors of the learning rate by the prefix of a parameter's name; 1 for those that are not named.

        The longest prefix counts; the empty one is that of all.
        """
        return {}


class OwnModel(ModelSection):
    """What networks of tuner's own share."""

    init: Init = "default"
    """How weights begin: torch's default of each layer, kaiming, xavier, orthogonal, or normal (0, 0.02)."""

    @property
    def is_recordable(self) -> bool:
        return True


class LayeredModel(OwnModel):
    """What models of equal layers share: one value for all layers, or a list with one a layer."""

    depth: Annotated[int, Field(ge=0, le=64)] = 2
    width: Widths = 128
    dropout: Rates = 0.0
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _one_value_a_layer(self) -> LayeredModel:
        for name in ("width", "dropout"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.depth:
                raise ValueError(f"{name}: {len(value)} values for {self.depth} layers; give one value, or one a layer")
        return self
