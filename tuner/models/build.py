"""From a model's config section to a Module."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tuner.config.schema.model_kinds.base import ModelSection, OwnModel, Site
from tuner.config.schema.model_kinds.python import PythonModel
from tuner.data.info import DataInfo
from tuner.errors import ConfigError, Place
from tuner.models.initial import initialise
from tuner.registry import load_target


def build_model(
    config: ModelSection, *, info: DataInfo, n_outputs: int, base_dir: Path, seed: int, is_restored: bool = False
) -> nn.Module:
    """Build the model on the CPU, in training mode; its parameters depend on the arguments and on nothing else.

    `seed` is in [0, 2**63). The caller's random state stays as it was. With `is_restored` the caller loads weights over
    the new ones, so that a file which the config begins with need not be there. Raises ConfigError when model and data
    do not fit.
    """
    site = Site(info=info, n_outputs=n_outputs, base_dir=base_dir, is_restored=is_restored)
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, PythonModel):
            load_target(config.target, base_dir)  # before seeding: a file that seeds torch does so at its first import
        _seed_cpu(seed)
        model = config.build(site)
        if isinstance(config, OwnModel):
            initialise(model, config.init)
        return model


def check_output(model: nn.Module, x_B: Tensor, n_outputs: int, *, per_token: bool = False) -> None:
    """Run one batch through the model and raise ConfigError unless it gives floats of shape [B, n_outputs].

    `per_token` expects them for every position, [B, L, n_outputs].

    The batch is on the model's device. Mode, gradients and random state stay as they were; what the model's own code
    raises is passed on unchanged.
    """
    was_training = model.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output: object = model.eval()(x_B)
    finally:
        model.train(was_training)
    shape = (*x_B.shape[:2], n_outputs) if per_token else (len(x_B), n_outputs)
    axes = "(rows, positions, outputs)" if per_token else "(rows, outputs)"
    expected = f"the model must return a float tensor of shape {shape} {axes}"
    got = _described(output)
    if got != f"a float tensor of shape {shape}":
        raise ConfigError.of([Place(path="model", message=f"{expected} for inputs {tuple(x_B.shape)}, got {got}")])


def _described(output: object) -> str:
    if not isinstance(output, Tensor):
        return f"a {type(output).__name__}"
    kind = "float" if output.is_floating_point() else str(output.dtype).removeprefix("torch.")
    return f"a {kind} tensor of shape {tuple(output.shape)}"


def _seed_cpu(seed: int) -> None:
    # torch.manual_seed would reseed the accelerators too, whose state nobody restores.
    torch.default_generator.manual_seed(seed)
