"""Networks that a repository offers in its hubconf.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.pretrained import Pretrained

if TYPE_CHECKING:
    from torch import nn


class Hub(Pretrained):
    """A network of torch.hub; the entry gets the options, and input_shape, n_outputs, n_classes where it asks for them.

    Weights come from the entry itself (`options: {pretrained: true}`, say), or from a file.
    """

    kind: Literal["hub"] = "hub"
    repo: str
    """A folder with a hubconf.py, relative to the space file; or with `source: github` owner/name[:branch]."""
    entry: str
    """Name of the function in hubconf.py."""
    source: Literal["local", "github"] = "local"
    head: str | None = None
    """Name of the layer that is made anew for the data; null: the last linear layer."""

    @property
    def has_own_weights(self) -> bool:
        return True

    @property
    def head_names(self) -> tuple[str, ...]:
        return super().head_names if self.head is None else (self.head,)

    def code(self) -> tuple[str, ...]:
        return (self.repo if self.source == "local" else f"https://github.com/{self.repo}",)

    def files(self) -> tuple[str, ...]:
        return (*((self.repo,) if self.source == "local" else ()), *super().files())

    def build(self, site: Site) -> nn.Module:
        from tuner.models.hub import build_hub

        return build_hub(self, site)
