"""A user's own model: a Module class, or a function that returns a Module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tuner.config.schema.model_kinds.base import Site
from tuner.config.schema.model_kinds.python import PythonModel
from tuner.data.info import DataInfo
from tuner.errors import ConfigError, Place
from tuner.models.named_inputs import give_by_name
from tuner.registry import load_target


def build_python_model(config: PythonModel, site: Site) -> nn.Module:
    """Call the target with its options and with what its signature asks for of input_shape, n_classes, n_outputs.

    `n_classes` is there in classification only, `n_tokens` and `padding` where inputs are tokens, `input_shapes` where
    items have several inputs; an option of the same name wins. Raises ConfigError when the target cannot be called so
    or returns no Module; what its own code raises is passed on unchanged.
    """
    target = _callable(config.target, load_target(config.target, site.base_dir))
    arguments = arguments_for(config.target, target, config.options, offered(site))
    model = target(**arguments)
    if not isinstance(model, nn.Module):
        raise _error(f"{config.target!r} must return a torch.nn.Module, got {type(model).__name__}")
    if site.info.inputs:
        give_by_name(model, site.info.inputs, config.target)
    if any(nn.parameter.is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        _materialise(model, site.info)
    return model


def offered(site: Site) -> dict[str, Any]:
    """What a signature may ask for."""
    info = site.info
    sizes: dict[str, Any] = {"input_shape": info.input_shape, "n_outputs": site.n_outputs}
    if info.n_tokens is not None:
        sizes |= {"n_tokens": info.n_tokens, "padding": info.padding}
    if info.inputs:
        sizes["input_shapes"] = {field.name: field.shape for field in info.inputs}
    return {**sizes, "n_classes": info.n_targets} if info.task == "classification" else sizes


def arguments_for(
    name: str, target: Callable[..., Any], options: dict[str, Any], sizes: dict[str, Any]
) -> dict[str, Any]:
    """The options, and those of the sizes that the signature asks for; ConfigError when it cannot be called so."""
    try:
        signature = inspect.signature(target)
    except ValueError:  # written in C: it tells no signature, so it gets the options alone
        return dict(options)
    parameters = signature.parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    asked_for = {key: value for key, value in sizes.items() if takes_all or key in parameters}
    arguments = {**asked_for, **options}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        message = f"{name!r} cannot be called: {error}; its signature is {signature}. Give under model.options"
        raise _error(f"{message} what it needs, besides {', '.join(sizes)}", path="model.options") from error
    return arguments


def _callable(name: str, target: object) -> Callable[..., Any]:
    if isinstance(target, nn.Module):
        raise _error(f"{name!r} is a Module that is built already; all trials would share its weights: name its class")
    if not callable(target):
        raise _error(
            f"{name!r} must be a Module class or a function that returns a Module, got {type(target).__name__}"
        )
    return target


def _materialise(model: nn.Module, info: DataInfo) -> None:
    """Give lazy layers their shapes now: optimizers need the parameters, and the seed has to decide their values."""
    was_training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(2, *info.input_shape, dtype=getattr(torch, info.input_dtype)))
    model.train(was_training)


def _error(message: str, path: str = "model.target") -> ConfigError:
    return ConfigError.of([Place(path=path, message=message)])
