"""torchvision's networks of classification.

Shapes: B batch, C channels, H W, K outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision import models

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.pretrained import DEFAULT_WEIGHTS, HEADS
from tuner.config.schema.model_kinds.torchvision import Torchvision
from tuner.errors import ConfigError, MissingError, Place
from tuner.models.inputs import image_shape
from tuner.models.pretrained import Weights, begin_with, freeze, last_layer, read_weights, set_channels

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def build_torchvision(config: Torchvision, site: Site) -> nn.Module:
    """Build [B, C, H, W] -> [B, K].

    Raises ConfigError when the images are too small, or the weights of another network; MissingError when weights
    cannot be downloaded.
    """
    channels, *sides = image_shape("torchvision", site.info)
    model = _network(config, site, sides)
    stem = set_channels(model, channels)
    head = next(name for name, _ in model.named_children() if name in HEADS)
    if not site.is_restored:
        _try_out(config, model, site)
        if config.weights is not None:
            weights = _downloaded(config) if config.weights == DEFAULT_WEIGHTS else None
            given = weights or read_weights(config.weights, site.base_dir)
            begin_with(model, given, source=config.weights, head=last_layer(model), stem=stem)
    freeze(model, config, head)
    return model


def _network(config: Torchvision, site: Site, sides: list[int]) -> nn.Module:
    options: dict[str, Any] = {"num_classes": site.n_outputs}
    if config.name.startswith("vit_"):
        options["image_size"] = _side(config, sides)
    if config.name.startswith("maxvit_"):
        options["input_size"] = tuple(sides)
    if config.name in WITH_AUXILIARY_HEADS:
        options |= {"aux_logits": False, "init_weights": not site.is_restored, "transform_input": False}
    try:
        model: nn.Module = models.get_model(config.name, weights=None, **{**options, **config.options})
    except TypeError as error:
        raise _error("options", f"{config.name} does not take them: {error}") from error
    except ValueError as error:
        if config.name.startswith("maxvit_"):
            raise _too_small(config, sides, error) from error
        raise _error("name" if "Unknown model" in str(error) else "options", str(error)) from error
    return model


def _side(config: Torchvision, sides: list[int]) -> int:
    patch = int(config.name.rpartition("_")[2])
    if sides[0] != sides[1] or sides[0] % patch:
        where = f"got {sides[0]} by {sides[1]}"
        message = f"{config.name} takes square images whose side is a multiple of {patch}, {where}; set data.resize"
        raise _error("name", message)
    return sides[0]


def _try_out(config: Torchvision, model: nn.Module, site: Site) -> None:
    """Refuse images that are smaller than what the network makes of them."""
    with torch.no_grad():
        try:
            model.eval()(torch.zeros(1, *site.info.input_shape))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _too_small(config, list(site.info.input_shape[1:]), error) from error
    model.train()


def _too_small(config: Torchvision, sides: list[int], error: Exception) -> ConfigError:
    smallest = models.get_model_weights(config.name).DEFAULT.meta["min_size"]
    reason = str(error).partition("\n")[0]
    size = f"{sides[0]} by {sides[1]}"
    return _error("name", f"{config.name} takes no images of {size} ({reason}); set data.resize: {max(smallest)}")


def _downloaded(config: Torchvision) -> Weights:
    default = models.get_model_weights(config.name).DEFAULT
    try:
        weights: Weights = default.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        message = f"model.weights: {default.url} cannot be downloaded ({error}); give the file that you have of it"
        raise MissingError(message) from error
    return weights


def _error(option: str, message: str) -> ConfigError:
    return ConfigError.of([Place(path=f"model.{option}", message=message)])
