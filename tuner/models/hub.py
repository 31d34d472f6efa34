"""Networks that a repository offers in its hubconf.py."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.hub import Hub
from tuner.errors import ConfigError, MissingError, Place
from tuner.models.inputs import IMAGE_DIMENSIONS
from tuner.models.pretrained import begin_with, freeze, last_layer, read_weights, set_channels, set_outputs
from tuner.models.python_model import arguments_for, offered
from tuner.registry import find_path, load_target

HUBCONF = "hubconf.py"


def build_hub(config: Hub, site: Site) -> nn.Module:
    """Build what the entry gives, with as many outputs and channels as the data needs.

    Raises ConfigError when the repository, the entry or the head is not there, or it cannot be called so; MissingError
    when a repository cannot be downloaded. What its own code raises is passed on unchanged.
    """
    model = _entry(config, site)
    head = last_layer(model) if config.head is None else _named(config, model)
    set_outputs(model, head, site.n_outputs)
    is_image = len(site.info.input_shape) == IMAGE_DIMENSIONS
    stem = set_channels(model, site.info.input_shape[0]) if is_image else None
    if config.weights is not None and not site.is_restored:
        begin_with(model, read_weights(config.weights, site.base_dir), source=config.weights, head=head, stem=stem)
    part = head if config.head is not None else head.partition(".")[0]
    if part not in config.head_names and config.backbone_lr != 1.0:
        raise _error("backbone_lr", f"which part is the head? give model.head: {head}")
    freeze(model, config, part)
    return model


def _entry(config: Hub, site: Site) -> nn.Module:
    folder = _folder(config, site)
    entry = load_target(f"{folder / HUBCONF}:{config.entry}", site.base_dir)
    if not callable(entry):
        raise _error("entry", f"{config.entry} of {config.repo} is no function")
    takes_all = any(item.kind is item.VAR_KEYWORD for item in inspect.signature(entry).parameters.values())
    sizes = {} if takes_all else offered(site)  # entries pass on to anything what they do not know
    model = entry(**arguments_for(config.entry, entry, config.options, sizes))
    if not isinstance(model, nn.Module):
        raise _error("entry", f"{config.entry} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _folder(config: Hub, site: Site) -> Path:
    if config.source == "github":
        return _downloaded(config.repo)
    folder = find_path(config.repo, site.base_dir)
    if not (folder / HUBCONF).is_file():
        raise _error("repo", f"{config.repo}: no {HUBCONF} there")
    return folder


def _downloaded(repo: str) -> Path:
    try:
        # torch.hub.load would call the entry, whose signature is looked at before.
        fetch: Any = torch.hub._get_cache_or_reload  # noqa: SLF001
        folder = fetch(repo, False, True, verbose=False, skip_validation=True)
    except OSError as error:
        message = f"model.repo: {repo} cannot be downloaded ({error}); clone it, and give the folder with source: local"
        raise MissingError(message) from error
    return Path(folder)


def _named(config: Hub, model: nn.Module) -> str:
    assert config.head is not None
    names = [name for name, _ in model.named_modules()]
    if config.head not in names:
        raise _error("head", f"the network has no {config.head}; its last layer is {last_layer(model)}")
    return config.head


def _error(option: str, message: str) -> ConfigError:
    return ConfigError.of([Place(path=f"model.{option}", message=message)])
